"""Acts on the devnet's V4 pools through the genuine UniversalRouter and PositionManager."""

from __future__ import annotations

from chain import ChainClient, Receipt
from chain.abi import Dynamic, address_word, bytes_array, bytes_words, compose, int_word, selector, uint_at, uint_word
from chain.devnet import DEPLOYER, NATIVE_COIN, Devnet, PoolEntry

NO_DEADLINE = 2**40
_V4_SWAP = b"\x10"
_SWAP_IN, _SETTLE_ALL, _TAKE_ALL = 0x06, 0x0C, 0x0F
_INCREASE, _DECREASE, _MINT, _SETTLE_PAIR, _TAKE_PAIR, _SWEEP = 0x00, 0x01, 0x02, 0x0D, 0x11, 0x14
_NOTHING = Dynamic(bytes_words(b""))
_SINGLE = "(((address,address,uint24,int24,address),bool,uint128,bytes))"


def key(pool: PoolEntry) -> bytes:
    tokens = address_word(pool.token0) + address_word(pool.token1)
    return tokens + uint_word(pool.fee) + int_word(pool.tick_spacing) + address_word(pool.hooks)


def quote_call(pool: PoolEntry, token: str, amount: int, *, is_exact_in: bool) -> bytes:
    """The question to `V4Quoter`."""
    name = "quoteExactInputSingle" if is_exact_in else "quoteExactOutputSingle"
    zero_for_one = (token == pool.token0) == is_exact_in
    body = compose(key(pool) + uint_word(int(zero_for_one)) + uint_word(amount), _NOTHING)
    return selector(name + _SINGLE) + compose(Dynamic(body))


class V4Hand:
    """The deployer's hand on V4 pools."""

    def __init__(self, devnet: Devnet, client: ChainClient) -> None:
        self.client = client
        self.contracts = devnet.world.contracts
        self.tokens = devnet.world.tokens

    async def prepare(self) -> None:
        """Let the UniversalRouter take the deployer's tokens through Permit2."""
        for token in self.tokens.values():
            words = address_word(token.address) + address_word(self.contracts["UniversalRouter"])
            allow = selector("approve(address,address,uint160,uint48)") + words + uint_word(2**160 - 1)
            await self.send(self.contracts["Permit2"], allow + uint_word(2**48 - 1))

    async def send(self, to: str, data: bytes, value_wei: int = 0) -> Receipt:
        request = {
            "from": DEPLOYER,
            "to": to,
            "data": "0x" + data.hex(),
            "value": hex(value_wei),
            "gas": hex(8_000_000),
        }
        receipt = await self.client.wait_receipt(
            await self.client.rpc.request("eth_sendTransaction", request), poll_s=0.002
        )
        assert receipt.succeeded
        return receipt

    async def swap(self, pool: PoolEntry, token_in: str, amount: int) -> Receipt:
        zero = token_in == pool.token0
        swap = compose(key(pool) + uint_word(int(zero)) + uint_word(amount) + uint_word(0), _NOTHING)
        parts = (
            compose(Dynamic(swap)),
            address_word(token_in) + uint_word(amount),
            address_word(pool.token1 if zero else pool.token0) + uint_word(0),
        )
        command = compose(Dynamic(bytes_words(bytes((_SWAP_IN, _SETTLE_ALL, _TAKE_ALL)))), bytes_array(parts))
        call = compose(Dynamic(bytes_words(_V4_SWAP)), bytes_array([command]), uint_word(NO_DEADLINE))
        value = amount if token_in == NATIVE_COIN else 0
        return await self.send(
            self.contracts["UniversalRouter"], selector("execute(bytes,bytes[],uint256)") + call, value
        )

    async def mint(self, pool: PoolEntry, lower: int, upper: int, liquidity: int) -> int:
        """Add a position; give its number."""
        manager = self.contracts["PositionManager"]
        number = uint_at(await self.client.call(manager, selector("nextTokenId()")), 0)
        head = key(pool) + int_word(lower) + int_word(upper) + uint_word(liquidity)
        most = uint_word(2**127) + uint_word(2**127) + address_word(DEPLOYER)
        mint = compose(head + most, _NOTHING)
        pair = address_word(pool.token0) + address_word(pool.token1)
        sweep = address_word(NATIVE_COIN) + address_word(DEPLOYER)
        value = 10**24 if pool.token0 == NATIVE_COIN else 0
        if value:
            await self.client.rpc.request("anvil_setBalance", DEPLOYER, hex(10**25))
        await self._modify([(_MINT, mint), (_SETTLE_PAIR, pair), (_SWEEP, sweep)], value)
        return number

    async def burn(self, pool: PoolEntry, position: int, share_percent: int) -> None:
        """Take out part of a position."""
        manager = self.contracts["PositionManager"]
        held = uint_at(
            await self.client.call(manager, selector("getPositionLiquidity(uint256)") + uint_word(position)), 0
        )
        amount = held * share_percent // 100
        take = compose(uint_word(position) + uint_word(amount) + uint_word(0) + uint_word(0), _NOTHING)
        pair = address_word(pool.token0) + address_word(pool.token1) + address_word(DEPLOYER)
        if amount:
            await self._modify([(_DECREASE, take), (_TAKE_PAIR, pair)], 0)

    async def set_protocol_fee(self, pool: PoolEntry, on_token0: int, on_token1: int) -> None:
        """Charge the protocol's fee, as its owner would through a controller."""
        manager = self.contracts["PoolManager"]
        await self.send(manager, selector("setProtocolFeeController(address)") + address_word(DEPLOYER))
        method = selector("setProtocolFee((address,address,uint24,int24,address),uint24)")
        await self.send(manager, method + key(pool) + uint_word(on_token0 | on_token1 << 12))

    async def _modify(self, steps: list[tuple[int, bytes]], value_wei: int) -> None:
        actions = Dynamic(bytes_words(bytes(action for action, _ in steps)))
        unlock = compose(actions, bytes_array([part for _, part in steps]))
        data = selector("modifyLiquidities(bytes,uint256)") + compose(
            Dynamic(bytes_words(unlock)), uint_word(NO_DEADLINE)
        )
        await self.send(self.contracts["PositionManager"], data, value_wei)
