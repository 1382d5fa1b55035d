"""Provides liquidity on the devnet with the product's plans, sent by an unlocked test account."""

from __future__ import annotations

from dataclasses import dataclass

from chain import ChainClient, Receipt
from chain.devnet import TEST_ADDRESSES, Devnet
from dex import PoolSpec, devnet_pools
from dex.liquidity import Order, Planned, PositionContracts, PositionReader
from dex.liquidity.allowances import plan_allowances
from dex.pools import ZERO_ADDRESS
from domain import ChainId, native_asset, token_asset
from domain.ids import PoolId
from domain.plans import TransactionPlan

OWNER = TEST_ADDRESSES[3]
FAR = 2**40
RICH = {"WETH": 10**22, "USDC": 10**14, "WBTC": 10**12}


@dataclass
class Provider:
    devnet: Devnet
    client: ChainClient

    def __post_init__(self) -> None:
        self.contracts = PositionContracts.named(self.devnet.world.contracts)
        self.reader = PositionReader(self.client, self.contracts)
        self._count = 0
        self.gas_wei = 0
        """What all of its transactions paid."""

    def spec(self, kind: str, a: str, b: str, fee: int) -> PoolSpec:
        address = self.devnet.world.pool(kind, a, b, fee).address
        return next(spec for spec in devnet_pools(self.devnet.world).values() if spec.address == address)

    def v4_spec(self, *, is_of_coin: bool) -> PoolSpec:
        """A V4 pool without hooks, of the coin itself or of two tokens."""
        world = self.devnet.world
        entry = next(
            pool
            for pool in world.pools
            if pool.kind == "v4" and pool.hooks == ZERO_ADDRESS and (pool.token0 == ZERO_ADDRESS) == is_of_coin
        )
        chain = ChainId(world.chain_id)
        assets = {t.address: token_asset(chain, t.address, symbol, t.decimals) for symbol, t in world.tokens.items()}
        assets[ZERO_ADDRESS] = native_asset(chain)
        return PoolSpec(
            PoolId(f"eip155:{chain}/{entry.address}/{entry.pool_id}"),
            "v4",
            entry.address,
            chain,
            assets[entry.token0],
            assets[entry.token1],
            entry.token0,
            entry.token1,
            entry.fee,
            pool_id=entry.pool_id,
            tick_spacing=entry.tick_spacing,
        )

    def order(self, *, tolerance_bps: int = 50, deadline_s: int = FAR) -> Order:
        self._count += 1
        return Order(
            intent_id=f"lp{self._count}",
            strategy="lp",
            sender=OWNER,
            contracts=self.contracts,
            deadline_s=deadline_s,
            tolerance_bps=tolerance_bps,
        )

    async def send(self, plan: TransactionPlan) -> Receipt:
        request = {
            "from": plan.sender,
            "to": plan.to,
            "data": "0x" + plan.data.hex(),
            "gas": hex(plan.gas_limit),
            "value": hex(plan.value_wei),
        }
        tx_hash = await self.client.rpc.request("eth_sendTransaction", request)
        receipt = await self.client.wait_receipt(tx_hash, poll_s=0.002)
        assert receipt.gas_used < plan.gas_limit
        self.gas_wei += receipt.gas_cost_wei
        return receipt

    async def carry_out(self, planned: Planned) -> tuple[int, int]:
        """Allow what is needed, send, and give what the owner gained of each of the two tokens."""
        for plan in await plan_allowances(self.client, planned.needs, planned.plan):
            assert (await self.send(plan)).succeeded
        before = await self.balances(planned)
        receipt = await self.send(planned.plan)
        assert receipt.succeeded
        after = await self.balances(planned)
        return after[0] - before[0], after[1] - before[1]

    async def balances(self, planned: Planned) -> list[int]:
        return [await self.client.token_balance(token, OWNER) for token in planned.tokens]
