"""Snapshots of pools and tokens, read by deployless lens contracts: one `eth_call` for many, all at one block.

The lenses are ours (`contracts/src/lens`); their creation code lies in `dex/bytecode`, so that an installed platform
needs neither forge nor node.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from chain import ChainClient, NodeRefused
from chain.abi import address_array, address_at, address_word, compose, int_at, int_word, text_at, uint_at, uint_word
from chain.client import state_param
from dex.pools import PoolSpec
from domain.errors import InputError, InvariantError
from domain.events import PoolSnapshotted

_CODE: Final = Path(__file__).parents[1] / "bytecode"
_V2_PER_CALL: Final = 150
_TICKS_PER_CALL: Final = 600
_TICK_BYTES: Final = 35
_BEGINNING: Final = -(2**23)
_PAGES_MAX: Final = 200
"""A spacing of 1 has 6,932 words; even word by word of gas, a pool never needs so many pages."""


@dataclass(frozen=True, slots=True)
class TokenState:
    """What a token says of itself and of one owner. `is_readable` False: it is no ERC-20 token."""

    is_readable: bool
    decimals: int
    balance: int
    symbol: str


@dataclass(slots=True)
class _V3Read:
    """One V3 pool's pages so far."""

    spec: PoolSpec
    next_word: int = _BEGINNING
    head: bytes = b""
    ticks: bytes = b""
    is_done: bool = False


@lru_cache(maxsize=8)
def lens_code(name: str) -> bytes:
    """Give a lens contract's creation code, as `scripts/contract-bytecode` copied it from forge's output.

    Raises:
        InputError: There is no such lens.
    """
    path = _CODE / f"{name}.hex"
    try:
        return bytes.fromhex(path.read_text().strip())
    except FileNotFoundError as exc:
        raise InputError(f"there is no lens {name}", hint="After adding one, run scripts/contract-bytecode.") from exc


async def read_pools(
    client: ChainClient, specs: Sequence[PoolSpec], *, block_hash: str, block_number: int, time_ns: int
) -> list[PoolSnapshotted]:
    """Read the whole state of pools at one block, in the order asked.

    Raises:
        NodeRefused: The node does not (or no longer) know the block, or an address is no such pool.
        VenueUnavailable: No node answers.
    """
    found: dict[str, PoolSnapshotted] = {}
    pairs = [spec for spec in specs if spec.kind == "v2"]
    for start in range(0, len(pairs), _V2_PER_CALL):
        part = pairs[start : start + _V2_PER_CALL]
        code = lens_code("V2PoolLens") + compose(address_array([spec.address for spec in part]))
        answer = await client.call(None, code, block_hash)
        for index, spec in enumerate(part):
            # Word 0 points at the struct; words 1..3 are block, offset and count; then four words per pair.
            token0, token1, reserve0, reserve1 = (4 + 4 * index + i for i in range(4))
            _ensure_tokens(spec, address_at(answer, token0), address_at(answer, token1))
            found[spec.id] = PoolSnapshotted(
                time_ns=time_ns,
                pool=spec.id,
                block_number=block_number,
                kind="v2",
                token0=spec.token0.id,
                token1=spec.token1.id,
                fee_pips=spec.fee_pips,
                reserve0=str(uint_at(answer, reserve0)),
                reserve1=str(uint_at(answer, reserve1)),
            )
    for read in await _read_v3(client, [spec for spec in specs if spec.kind == "v3"], block_hash):
        found[read.spec.id] = _v3_snapshot(read, block_number, time_ns)
    return [found[spec.id] for spec in specs]


async def read_tokens(client: ChainClient, tokens: Sequence[str], owner: str) -> list[TokenState]:
    """Read symbol, decimals and an owner's balance of many tokens in one call."""
    code = lens_code("TokenLens") + compose(address_array(tokens), address_word(owner))
    answer = await client.call(None, code)
    body = answer[64:]  # Past the array's offset and its count.
    states = []
    for index in range(uint_at(answer, 1)):
        entry = body[uint_at(body, index) :]
        states.append(TokenState(bool(uint_at(entry, 0)), uint_at(entry, 1), uint_at(entry, 2), text_at(entry, 3)))
    return states


async def _read_v3(client: ChainClient, specs: Sequence[PoolSpec], block_hash: str) -> list[_V3Read]:
    """Read page after page, the same page of all pools in one batch."""
    reads = [_V3Read(spec) for spec in specs]
    code = lens_code("V3PoolLens") if reads else b""
    for _ in range(_PAGES_MAX):
        open_reads = [read for read in reads if not read.is_done]
        if not open_reads:
            return reads
        requests: list[tuple[str, list[Any]]] = []
        for read in open_reads:
            arguments = address_word(read.spec.address) + int_word(read.next_word) + uint_word(_TICKS_PER_CALL)
            requests.append(("eth_call", [{"data": "0x" + (code + arguments).hex()}, state_param(block_hash)]))
        for read, answer in zip(open_reads, await client.batch(requests), strict=True):
            if isinstance(answer, NodeRefused):
                raise answer
            _take_page(read, bytes.fromhex(answer[2:])[32:])
    raise InvariantError(f"a V3 pool's bitmap did not end in {_PAGES_MAX} pages")


def _take_page(read: _V3Read, page: bytes) -> None:
    next_word, last_word = int_at(page, 8), int_at(page, 9)
    if next_word <= read.next_word:
        raise InvariantError(f"pool {read.spec.id}: the lens made no progress at word {next_word}")
    at = uint_at(page, 10)
    length = uint_at(page[at:], 0)
    read.head = page
    read.ticks += page[at + 32 : at + 32 + length]
    read.next_word = next_word
    read.is_done = next_word > last_word


def _v3_snapshot(read: _V3Read, block_number: int, time_ns: int) -> PoolSnapshotted:
    spec, head = read.spec, read.head
    _ensure_tokens(spec, address_at(head, 1), address_at(head, 2))
    if uint_at(head, 3) != spec.fee_pips:
        raise InputError(f"pool {spec.id} charges {uint_at(head, 3)} pips, configured are {spec.fee_pips}")
    ticks, gross = [], []
    for offset in range(0, len(read.ticks), _TICK_BYTES):
        entry = read.ticks[offset : offset + _TICK_BYTES]
        tick = int.from_bytes(entry[:3], "big", signed=True)
        ticks.append((tick, str(int.from_bytes(entry[3:19], "big", signed=True))))
        gross.append(str(int.from_bytes(entry[19:], "big")))
    return PoolSnapshotted(
        time_ns=time_ns,
        pool=spec.id,
        block_number=block_number,
        kind="v3",
        token0=spec.token0.id,
        token1=spec.token1.id,
        fee_pips=spec.fee_pips,
        tick_spacing=int_at(head, 4),
        sqrt_price_x96=str(uint_at(head, 5)),
        tick=int_at(head, 6),
        liquidity=str(uint_at(head, 7)),
        ticks=tuple(ticks),
        ticks_gross=tuple(gross),
    )


def _ensure_tokens(spec: PoolSpec, token0: str, token1: str) -> None:
    if (token0, token1) != (spec.token0_address, spec.token1_address):
        raise InputError(
            f"pool {spec.id} trades {token0}/{token1}, configured are {spec.token0_address}/{spec.token1_address}"
        )
