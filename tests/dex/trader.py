"""Acts on the devnet's pools through the genuine routers: the world the replicas must match."""

from __future__ import annotations

from chain import ChainClient, Receipt
from chain.abi import address_array, address_word, compose, int_at, int_word, selector, uint_at, uint_word
from chain.devnet import DEPLOYER, Devnet, PoolEntry
from dex import PoolReplica, PoolSpec, devnet_pools, read_pools
from tests.dex.trader4 import V4Hand, quote_call

NO_DEADLINE = 2**40
_SINGLE = "(address,address,uint256,uint24,uint160)"


class Trader:
    """The deployer's hand: it has the tokens and the approvals for the position manager and the V2 router."""

    def __init__(self, devnet: Devnet, client: ChainClient) -> None:
        self.devnet = devnet
        self.client = client
        self.contracts = devnet.world.contracts
        specs = devnet_pools(devnet.world).values()
        self.specs = {spec.address: spec for spec in specs if spec.kind != "v4"}
        self._v4_specs = {spec.pool_id: spec for spec in specs if spec.kind == "v4"}
        self.v4 = V4Hand(devnet, client)

    async def prepare(self) -> None:
        for token in self.devnet.world.tokens.values():
            for spender in ("SwapRouter02", "UniswapV2Router02", "NonfungiblePositionManager"):
                data = selector("approve(address,uint256)") + address_word(self.contracts[spender])
                await self.send(token.address, data + uint_word(2**256 - 1))
        for symbol, raw in (("WETH", 10**24), ("USDC", 10**18), ("WBTC", 10**15)):
            await self.devnet.fund(DEPLOYER, 0, {symbol: raw})
        await self.devnet.fund(DEPLOYER, 10**25, {"DAI": 10**27, "USDT": 10**18})
        await self.v4.prepare()

    def spec(self, pool: PoolEntry) -> PoolSpec:
        return self._v4_specs[pool.pool_id] if pool.kind == "v4" else self.specs[pool.address]

    async def send(self, to: str, data: bytes) -> Receipt:
        request = {"from": DEPLOYER, "to": to, "data": "0x" + data.hex(), "gas": hex(8_000_000)}
        receipt = await self.client.wait_receipt(
            await self.client.rpc.request("eth_sendTransaction", request), poll_s=0.002
        )
        assert receipt.succeeded
        return receipt

    async def replica(self, pool: PoolEntry) -> PoolReplica:
        """A fresh replica of a pool, from the lens at the newest block."""
        spec, head = self.spec(pool), await self.client.head()
        (snapshot,) = await read_pools(self.client, [spec], block_hash=head.hash, block_number=head.number, time_ns=0)
        replica = spec.replica()
        replica.apply(snapshot)
        return replica

    async def chain_quotes_in(self, pool: PoolEntry, requests: list[tuple[str, int]]) -> list[int]:
        """What `QuoterV2` (V3) or the router (V2) gives for (token in, amount) each; one batch."""
        return await self._quotes(pool, requests, is_exact_in=True)

    async def chain_quotes_out(self, pool: PoolEntry, requests: list[tuple[str, int]]) -> list[int]:
        """What buying exactly (token out, amount) costs on chain; -1 where the contract reverts."""
        return await self._quotes(pool, requests, is_exact_in=False)

    async def _quotes(self, pool: PoolEntry, requests: list[tuple[str, int]], *, is_exact_in: bool) -> list[int]:
        calls = []
        for token, amount in requests:
            other = pool.token1 if token == pool.token0 else pool.token0
            token_in, token_out = (token, other) if is_exact_in else (other, token)
            if pool.kind == "v4":
                data, to = quote_call(pool, token, amount, is_exact_in=is_exact_in), self.contracts["V4Quoter"]
            elif pool.kind == "v3":
                name = "quoteExactInputSingle" if is_exact_in else "quoteExactOutputSingle"
                data = selector(name + f"({_SINGLE})") + address_word(token_in) + address_word(token_out)
                data += uint_word(amount) + uint_word(pool.fee) + uint_word(0)
                to = self.contracts["QuoterV2"]
            else:
                name = "getAmountsOut" if is_exact_in else "getAmountsIn"
                path = address_array([token_in, token_out])
                data = selector(name + "(uint256,address[])") + compose(uint_word(amount), path)
                to = self.contracts["UniswapV2Router02"]
            calls.append(("eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"]))
        answers = []
        for answer in await self.client.batch(calls):
            if isinstance(answer, Exception):
                answers.append(-1)
                continue
            raw = bytes.fromhex(answer[2:])
            # getAmounts…: offset, count, amount in, amount out.
            answers.append(uint_at(raw, 0 if pool.kind in ("v3", "v4") else (3 if is_exact_in else 2)))
        return answers

    async def swap(self, pool: PoolEntry, token_in: str, amount: int) -> Receipt:
        token_out = pool.token1 if token_in == pool.token0 else pool.token0
        if pool.kind == "v4":
            return await self.v4.swap(pool, token_in, amount)
        if pool.kind == "v3":
            method = selector("exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))")
            words = address_word(token_in) + address_word(token_out) + uint_word(pool.fee) + address_word(DEPLOYER)
            return await self.send(
                self.contracts["SwapRouter02"], method + words + uint_word(amount) + uint_word(0) + uint_word(0)
            )
        method = selector("swapExactTokensForTokens(uint256,uint256,address[],address,uint256)")
        data = compose(
            uint_word(amount),
            uint_word(0),
            address_array([token_in, token_out]),
            address_word(DEPLOYER),
            uint_word(NO_DEADLINE),
        )
        return await self.send(self.contracts["UniswapV2Router02"], method + data)

    async def mint(self, pool: PoolEntry, lower: int, upper: int, amount0: int, amount1: int) -> int:
        """Add a V3 position; give its number."""
        method = selector("mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))")
        words = address_word(pool.token0) + address_word(pool.token1) + uint_word(pool.fee)
        words += int_word(lower) + int_word(upper) + uint_word(amount0) + uint_word(amount1)
        words += uint_word(0) + uint_word(0) + address_word(DEPLOYER) + uint_word(NO_DEADLINE)
        receipt = await self.send(self.contracts["NonfungiblePositionManager"], method + words)
        last = receipt.logs[-1]  # IncreaseLiquidity(tokenId indexed, …)
        return int(last.topics[1], 16)

    async def burn(self, position: int, share_percent: int) -> None:
        """Take out part of a position."""
        manager = self.contracts["NonfungiblePositionManager"]
        held = uint_at(await self.client.call(manager, selector("positions(uint256)") + uint_word(position)), 7)
        method = selector("decreaseLiquidity((uint256,uint128,uint256,uint256,uint256))")
        amount = held * share_percent // 100
        if amount:
            words = (position, amount, 0, 0, NO_DEADLINE)
            await self.send(manager, method + b"".join(uint_word(word) for word in words))

    async def tick(self, pool: PoolEntry) -> int:
        return int_at(await self.client.call(pool.address, selector("slot0()")), 1)


def asset_id(spec: PoolSpec, address: str) -> str:
    return next(asset.id for asset, known in spec.tokens if known == address)
