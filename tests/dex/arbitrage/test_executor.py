"""Cycles carried out by the genuine contracts pay what the replicas say, to the last unit, however they are funded."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import pytest

from chain import ChainClient, Receipt
from chain.codec import event, function
from chain.devnet import DEPLOYER as TRADER
from chain.devnet import Devnet
from dex import PoolReplica, PoolSpec, devnet_pools, read_pools
from dex.arbitrage import CycleIndex, CycleOptimum, CycleScanner, same_coin
from dex.arbitrage.deployment import DEPLOYER, Factories, Roles, deployed_address, deployment_data
from dex.arbitrage.executor import Funding, Loan, encode_execute, steps_of
from dex.arbitrage.funding import GAS, Venues, cheapest_loan, loans_for, read_lenders
from dex.arbitrage.planning import Bounds, least_profit
from domain import Address, ChainId
from tests.dex.trader import Trader
from tests.world import roll_back

pytestmark = pytest.mark.anvil
BENEFICIARY = Address("0x1111111111111111111111111111111111111111")
EXECUTED = event("Executed(address indexed token, uint8 indexed funding, uint256 amount, uint256 profit, uint256 tip)")
BALANCE_OF = function("balanceOf(address owner) returns (uint256)")
TRANSFER = function("transfer(address to, uint256 amount)")
NO_DEADLINE, NO_BLOCK = 2**40, 2**40


@dataclass
class Desk:
    """An executor on the devnet, and pools that somebody has just pushed apart."""

    trader: Trader
    client: ChainClient
    executor: Address
    venues: Venues
    specs: dict[str, PoolSpec]

    @property
    def weth(self) -> Address:
        return self.venues.wrapped

    async def replicas(self) -> dict[str, PoolReplica]:
        head = await self.client.head()
        snapshots = await read_pools(
            self.client, list(self.specs.values()), block_hash=head.hash, block_number=head.number, time_ns=0
        )
        found = {}
        for snapshot in snapshots:
            found[snapshot.pool] = self.specs[snapshot.pool].replica()
            found[snapshot.pool].apply(snapshot)
        return found

    async def cycles(self, token: Address) -> list[CycleOptimum]:
        replicas = await self.replicas()
        start = next(asset.id for spec in self.specs.values() for asset, at in spec.tokens if at == token)
        index = CycleIndex(
            {name: pool.tokens for name, pool in replicas.items()}, [start], same=same_coin(ChainId(1337), self.weth)
        )
        return CycleScanner(index, replicas).update()

    async def best(self, legs: int, token: Address) -> CycleOptimum:
        return next(optimum for optimum in await self.cycles(token) if len(optimum.cycle.legs) == legs)

    async def execute(self, optimum: CycleOptimum, loan: Loan, *, least: int = 0) -> Receipt:
        steps = steps_of(optimum, self.specs, self.weth)
        data = encode_execute(
            steps,
            loan,
            amount=optimum.amount_in,
            min_profit=least or optimum.profit - loan.fee,
            deadline_s=NO_DEADLINE,
            block_max=NO_BLOCK,
        )
        return await self.trader.send(self.executor, data)

    async def balance(self, token: Address, owner: Address) -> int:
        return int(BALANCE_OF.decode(await self.client.call(token, BALANCE_OF.encode(owner)))[0])


@pytest.fixture
async def desk(devnet: Devnet, chain_client: ChainClient) -> Desk:
    trader = Trader(devnet, chain_client)
    await trader.prepare()
    at = devnet.world.contracts
    zero = Address("0x" + "00" * 20)
    venues = Venues(
        devnet.world.tokens["WETH"].address,
        at.get("PoolManager", zero),
        at.get("AavePool", zero),
        at.get("BalancerVault", zero),
    )
    roles = Roles(owner=TRADER, operator=TRADER, pauser=TRADER, beneficiary=BENEFICIARY)
    data = deployment_data(roles, venues, Factories(at["UniswapV2Factory"], at["UniswapV3Factory"]))
    await trader.send(DEPLOYER, data)
    pools = {str(name): spec for name, spec in devnet_pools(devnet.world).items() if not spec.is_by_call}
    pushed = devnet.world.pool("v2", "WETH", "USDC")
    await trader.swap(pushed, devnet.world.tokens["USDC"].address, 150_000 * 10**6)
    return Desk(trader, chain_client, deployed_address(data), venues, pools)


async def _check(desk: Desk, optimum: CycleOptimum, loan: Loan) -> Receipt:
    """Carry a cycle out; the beneficiary gets what the replicas said, and the contract keeps what it had."""
    token = steps_of(optimum, desk.specs, desk.weth)[0].token_in
    before = await desk.balance(token, desk.executor), await desk.balance(token, BENEFICIARY)
    receipt = await desk.execute(optimum, loan)
    after = await desk.balance(token, desk.executor), await desk.balance(token, BENEFICIARY)
    assert after == (before[0], before[1] + optimum.profit - loan.fee)
    told = [log for log in receipt.logs if log.address == desk.executor and log.topics[0] == EXECUTED.topic]
    executed, funding, amount, profit, tip = EXECUTED.decode(told[0].topics, told[0].data)
    assert (executed, funding, amount) == (token, loan.funding, optimum.amount_in)
    assert (profit, tip) == (optimum.profit - loan.fee, 0)
    return receipt


async def test_cycles_through_every_kind_of_pool_pay_to_the_unit_what_replicas_predict(desk: Desk) -> None:
    lenders = await read_lenders(desk.client, desk.executor, desk.venues, desk.weth, list(desk.specs.values()))
    kinds: set[tuple[str, ...]] = set()
    for optimum in await desk.cycles(desk.weth):
        path = tuple(desk.specs[leg.pool].kind for leg in optimum.cycle.legs)
        if path in kinds:
            continue
        kinds.add(path)
        snapshot = await desk.client.rpc.request("evm_snapshot")
        steps = steps_of(optimum, desk.specs, desk.weth)
        pools = [leg.pool for leg in optimum.cycle.legs]
        loan = cheapest_loan(steps, pools, optimum.amount_in, lenders, Fraction(1))
        assert loan is not None
        await _check(desk, optimum, loan)
        left = [found.profit for found in await desk.cycles(desk.weth) if found.cycle == optimum.cycle]
        assert all(profit < optimum.profit // 1_000_000 for profit in left)
        await roll_back(desk.client, snapshot)
    assert {kind for path in kinds for kind in path} == {"v2", "v3", "v4", "balancer-stable", "balancer-weighted"}
    assert {len(path) for path in kinds} == {2, 3}


@pytest.mark.parametrize("symbol", ["WETH", "USDC"])
async def test_every_lender_that_has_the_token_lends_it_at_its_price(desk: Desk, symbol: str) -> None:
    token = desk.trader.devnet.world.tokens[symbol].address
    optimum = await desk.best(2, token)
    pools = [leg.pool for leg in optimum.cycle.legs]
    await desk.trader.send(token, TRANSFER.encode(desk.executor, optimum.amount_in))
    lenders = await read_lenders(desk.client, desk.executor, desk.venues, token, list(desk.specs.values()))
    assert lenders.executor_holds == optimum.amount_in
    steps = steps_of(optimum, desk.specs, desk.weth)
    loans = {loan.funding: loan for loan in loans_for(steps, pools, optimum.amount_in, lenders)}
    assert {Funding.OWN, Funding.FLASH_SWAP, Funding.FLASH_V3} <= set(loans)
    assert symbol != "USDC" or Funding.UNLOCK_V4 in loans
    gas = {}
    for loan in loans.values():
        snapshot = await desk.client.rpc.request("evm_snapshot")
        # The first swap of a second pays for writing down the pool's price: so that each loan's swaps are the first.
        await desk.client.rpc.request("evm_increaseTime", 60)
        gas[loan.funding] = (await _check(desk, optimum, loan)).gas_used
        await roll_back(desk.client, snapshot)
    # What is written down as the price of a detour is right within 10,000 gas.
    for funding, used in gas.items():
        assert abs(used - gas[Funding.OWN] - GAS[funding]) < 10_000, gas
    assert cheapest_loan(steps, pools, optimum.amount_in, lenders, Fraction(1)) == Loan(Funding.OWN)


async def test_a_profit_below_the_least_moves_nothing(desk: Desk) -> None:
    optimum = await desk.best(2, desk.weth)
    with pytest.raises(AssertionError):
        await desk.execute(optimum, Loan(Funding.FLASH_SWAP), least=optimum.profit + 1)
    assert await desk.balance(desk.weth, BENEFICIARY) == 0
    await _check(desk, optimum, Loan(Funding.FLASH_SWAP))


def test_the_least_profit_is_after_tip_and_tolerance_and_never_nothing() -> None:
    bounds = Bounds(tolerance_bps=100, deadline_s=1, block_max=1, tip_bps=2000)
    assert least_profit(10_000, bounds) == 7_920
    assert least_profit(1, bounds) == 1
