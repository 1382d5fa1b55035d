"""Positions read from a chain, all at one block: from the position managers' own records and the pools'.

V3 lists an owner's positions. V4 does not: they are found by the transfers of their tokens, or named one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from chain import Block, CallReverted, ChainClient, NodeRefused, keccak256
from chain.abi import address_at, address_word, call_data, int_at, int_word, selector, topic, uint_at, uint_word
from chain.client import state_param
from chain.records import BlockRef
from dex.liquidity.contracts import PositionContracts
from dex.liquidity.maths import Range, fees_down, growth_inside
from dex.liquidity.positions import PoolNow, Position, PositionId
from dex.pools import ZERO_ADDRESS, PoolSpec
from dex.replicas.lens import read_tokens
from domain.assets import Asset, native_asset, token_asset
from domain.errors import InputError
from domain.ids import Address, ChainId, PoolId

_BALANCE_OF: Final = selector("balanceOf(address)")
_OWNER_OF: Final = selector("ownerOf(uint256)")
_TOKEN_OF_OWNER: Final = selector("tokenOfOwnerByIndex(address,uint256)")
_POSITIONS: Final = selector("positions(uint256)")
_GET_POOL: Final = selector("getPool(address,address,uint24)")
_SLOT0: Final = selector("slot0()")
_SPACING: Final = selector("tickSpacing()")
_GLOBAL: Final = (selector("feeGrowthGlobal0X128()"), selector("feeGrowthGlobal1X128()"))
_TICKS: Final = selector("ticks(int24)")

_POOL_AND_INFO: Final = selector("getPoolAndPositionInfo(uint256)")
_V4_SLOT0: Final = selector("getSlot0(bytes32)")
_V4_GROWTH: Final = selector("getFeeGrowthInside(bytes32,int24,int24)")
_V4_POSITION: Final = selector("getPositionInfo(bytes32,address,int24,int24,bytes32)")
_TRANSFER: Final = topic("Transfer(address,address,uint256)")

_POSITIONS_MAX: Final = 1_000
"""More than this many positions of one owner are not listed: name them."""


class PositionReader:
    """Asks one chain for positions. Tokens' names and decimals are asked once."""

    def __init__(self, client: ChainClient, contracts: PositionContracts) -> None:
        self._client = client
        self._contracts = contracts
        self._assets: dict[Address, Asset] = {ZERO_ADDRESS: native_asset(client.chain_id)}

    async def of_owner(self, owner: Address, *, from_block: int = 0) -> list[Position]:
        """Read every position an account owns, the newest block's state, in order of their numbers.

        Args:
            owner: Whose.
            from_block: Where to begin looking for V4 positions; what the node answers logs for.

        Raises:
            InputError: There are more than a list should hold.
        """
        at = await self._client.head()
        ids: list[PositionId] = []
        if self._contracts.v3 is not None:
            ids += [PositionId("v3", number) for number in await self._v3_numbers(owner, at.hash)]
        if self._contracts.v4 is not None:
            ids += [PositionId("v4", number) for number in await self._v4_numbers(owner, from_block, at)]
        return await self.read(ids, at=at)

    async def read(self, ids: Iterable[PositionId], *, at: Block | None = None) -> list[Position]:
        """Read positions by their names, in the order asked.

        Raises:
            InputError: There is no such position.
        """
        block = at or await self._client.head()
        wanted = list(dict.fromkeys(ids))
        found: dict[PositionId, Position] = {}
        for kind, read in (("v3", self._read_v3), ("v4", self._read_v4)):
            part = [each for each in wanted if each.kind == kind]
            if part:
                self._contracts.need(kind)
                found.update(await read(part, block))
        return [found[each] for each in wanted]

    async def pool(self, spec: PoolSpec) -> PoolNow:
        """Read where a pool stands now."""
        block = await self._client.head()
        if spec.kind == "v4":
            data = call_data(_V4_SLOT0, [bytes.fromhex(spec.pool_id[2:])])
            slot0 = await self._client.call(self._contracts.need("v4_state"), data, block.hash)
        else:
            slot0 = await self._client.call(spec.address, _SLOT0, block.hash)
        return _pool_now(spec, slot0, block)

    async def spacing(self, spec: PoolSpec) -> int:
        """A pool's tick spacing."""
        return spec.tick_spacing or int_at(await self._client.call(spec.address, _SPACING), 0)

    # --- V3

    async def _v3_numbers(self, owner: Address, at: str) -> list[int]:
        manager, owner_word = self._contracts.need("v3"), address_word(owner)
        count = uint_at(await self._client.call(manager, _BALANCE_OF + owner_word, at), 0)
        _check_count(count, owner)
        calls = [(manager, _TOKEN_OF_OWNER + owner_word + uint_word(index)) for index in range(count)]
        return sorted(uint_at(answer, 0) for answer in await self._ask(calls, at))

    async def _read_v3(self, ids: Sequence[PositionId], block: Block) -> dict[PositionId, Position]:
        manager, factory = self._contracts.need("v3"), self._contracts.need("v3_factory")
        numbers = [uint_word(each.number) for each in ids]
        calls = [(manager, method + number) for number in numbers for method in (_POSITIONS, _OWNER_OF)]
        answers = await self._ask(calls, block.hash, of=ids)
        kept, owners = answers[::2], [address_at(answer, 0) for answer in answers[1::2]]
        await self._learn([address_at(each, index) for each in kept for index in (2, 3)])
        pools = await self._ask([(factory, _GET_POOL + each[64:160]) for each in kept], block.hash)
        calls = []
        for each, pool in zip(kept, pools, strict=True):
            where = address_at(pool, 0)
            ends = [_TICKS + int_word(int_at(each, index)) for index in (5, 6)]
            calls += [(where, data) for data in (_SLOT0, _SPACING, *_GLOBAL, *ends)]
        states = await self._ask(calls, block.hash)
        found = {}
        for i, name in enumerate(ids):
            spec = self._v3_spec(address_at(pools[i], 0), kept[i], int_at(states[6 * i + 1], 0))
            found[name] = _v3_position(name, owners[i], spec, kept[i], states[6 * i : 6 * i + 6], block)
        return found

    def _v3_spec(self, pool: Address, kept: bytes, spacing: int) -> PoolSpec:
        chain = self._client.chain_id
        tokens = [address_at(kept, 2), address_at(kept, 3)]
        return PoolSpec(
            id=PoolId(f"eip155:{chain}/{pool}"),
            kind="v3",
            address=pool,
            chain_id=chain,
            token0=self._assets[tokens[0]],
            token1=self._assets[tokens[1]],
            token0_address=tokens[0],
            token1_address=tokens[1],
            fee_pips=uint_at(kept, 4),
            tick_spacing=spacing,
        )

    # --- V4

    async def _v4_numbers(self, owner: Address, from_block: int, at: Block) -> list[int]:
        manager, me = self._contracts.need("v4"), "0x" + address_word(owner).hex()
        logs = await self._client.logs(
            addresses=[manager], topics=[_TRANSFER, None, me], from_block=from_block, to_block=at.number
        )
        numbers = sorted({int(log.topics[3], 16) for log in logs})
        _check_count(len(numbers), owner)
        calls: list[tuple[str, BlockRef, bytes]] = [(manager, at.hash, _OWNER_OF + uint_word(n)) for n in numbers]
        answers = await self._client.batch([_request(*call) for call in calls])
        # A burnt position has no owner: the contract reverts.
        return [n for n, answer in zip(numbers, answers, strict=True) if _is_owner(answer, owner)]

    async def _read_v4(self, ids: Sequence[PositionId], block: Block) -> dict[PositionId, Position]:
        manager, state = self._contracts.need("v4"), self._contracts.need("v4_state")
        calls = [(manager, m + uint_word(each.number)) for each in ids for m in (_POOL_AND_INFO, _OWNER_OF)]
        answers = await self._ask(calls, block.hash, of=ids)
        kept, owners = answers[::2], [address_at(answer, 0) for answer in answers[1::2]]
        await self._learn([address_at(each, index) for each in kept for index in (0, 1)])
        specs = [self._v4_spec(each) for each in kept]
        spans = [_v4_span(each) for each in kept]
        calls = []
        for name, spec, span in zip(ids, specs, spans, strict=True):
            pool, ends = bytes.fromhex(spec.pool_id[2:]), int_word(span.lower) + int_word(span.upper)
            calls.append((state, _V4_SLOT0 + pool))
            calls.append((state, _V4_GROWTH + pool + ends))
            calls.append((state, _V4_POSITION + pool + address_word(manager) + ends + uint_word(name.number)))
        states = await self._ask(calls, block.hash)
        found = {}
        for i, name in enumerate(ids):
            slot0, growth, held = states[3 * i : 3 * i + 3]
            liquidity = uint_at(held, 0)
            fees = tuple(fees_down(uint_at(growth, k), uint_at(held, 1 + k), liquidity) for k in (0, 1))
            found[name] = Position(
                id=name,
                owner=owners[i],
                pool=_pool_now(specs[i], slot0, block),
                span=spans[i],
                liquidity=liquidity,
                fees=(fees[0], fees[1]),
            )
        return found

    def _v4_spec(self, kept: bytes) -> PoolSpec:
        chain, tokens = self._client.chain_id, [address_at(kept, 0), address_at(kept, 1)]
        pool_id = "0x" + keccak256(kept[:160]).hex()
        pools = self._contracts.need("v4_pools")
        return PoolSpec(
            id=PoolId(f"eip155:{chain}/{pools}/{pool_id}"),
            kind="v4",
            address=pools,
            chain_id=ChainId(chain),
            token0=self._assets[tokens[0]],
            token1=self._assets[tokens[1]],
            token0_address=tokens[0],
            token1_address=tokens[1],
            fee_pips=uint_at(kept, 2),
            pool_id=pool_id,
            tick_spacing=int_at(kept, 3),
            hooks=address_at(kept, 4),
        )

    # --- asking

    async def _ask(self, calls: Sequence[tuple[str, bytes]], at: str, *, of: Sequence[PositionId] = ()) -> list[bytes]:
        """Ask all calls in one round trip; `of` names the positions, an equal number of calls each."""
        answers = await self._client.batch([_request(to, at, data) for to, data in calls])
        for index, answer in enumerate(answers):
            if isinstance(answer, CallReverted) and of:
                missing = of[index * len(of) // len(calls)]
                raise InputError(f"there is no position {missing}", hint="It may have been burned.") from answer
            if isinstance(answer, Exception):
                raise answer
        return [bytes.fromhex(answer[2:]) for answer in answers]

    async def _learn(self, tokens: Iterable[Address]) -> None:
        unknown = [token for token in dict.fromkeys(tokens) if token not in self._assets]
        if not unknown:
            return
        for token, state in zip(unknown, await read_tokens(self._client, unknown, ZERO_ADDRESS), strict=True):
            if not state.is_readable:
                raise InputError(f"{token} is no token that can be read")
            self._assets[token] = token_asset(self._client.chain_id, token, state.symbol, state.decimals)


def _request(to: str, at: BlockRef, data: bytes) -> tuple[str, list[Any]]:
    call: Mapping[str, str] = {"to": to, "data": "0x" + data.hex()}
    return ("eth_call", [call, state_param(at)])


def _is_owner(answer: Any, owner: Address) -> bool:
    if isinstance(answer, NodeRefused):
        return False
    return address_at(bytes.fromhex(answer[2:]), 0) == owner


def _check_count(count: int, owner: Address) -> None:
    if count > _POSITIONS_MAX:
        raise InputError(
            f"{owner} owns {count} positions; {_POSITIONS_MAX} are listed at most", hint="Name the ones you mean."
        )


def _pool_now(spec: PoolSpec, slot0: bytes, block: Block) -> PoolNow:
    price = uint_at(slot0, 0)
    if not price:
        raise InputError(f"pool {spec.id} is not initialised")
    return PoolNow(
        spec=spec, sqrt_price_x96=price, tick=int_at(slot0, 1), block_number=block.number, block_hash=block.hash
    )


def _v3_position(
    name: PositionId, owner: Address, spec: PoolSpec, kept: bytes, states: Sequence[bytes], block: Block
) -> Position:
    """Put a position together from `positions()` and its pool's slot0, spacing, two global growths and two ticks."""
    slot0, _spacing, *rest = states
    pool = _pool_now(spec, slot0, block)
    span = Range(int_at(kept, 5), int_at(kept, 6), spec.tick_spacing)
    liquidity = uint_at(kept, 7)
    whole, ends = rest[:2], rest[2:]
    fees = []
    for k in (0, 1):
        # `ticks()`: gross, net, growth outside of token 0, then of token 1.
        below, above = (uint_at(end, 2 + k) for end in ends)
        growth = growth_inside(pool.tick, span, uint_at(whole[k], 0), below, above)
        earned = fees_down(growth, uint_at(kept, 8 + k), liquidity) if liquidity else 0
        fees.append(uint_at(kept, 10 + k) + earned)
    return Position(id=name, owner=owner, pool=pool, span=span, liquidity=liquidity, fees=(fees[0], fees[1]))


def _v4_span(kept: bytes) -> Range:
    """Unpack a V4 position's ticks: 8 bits flags, 24 bits lower, 24 bits upper, 200 bits of the pool's id."""
    info = uint_at(kept, 5)
    lower, upper = (_int24(info >> shift) for shift in (8, 32))
    return Range(lower, upper, int_at(kept, 3))


def _int24(bits: int) -> int:
    value = bits & 0xFFFFFF
    return value - (1 << 24) if value >> 23 else value
