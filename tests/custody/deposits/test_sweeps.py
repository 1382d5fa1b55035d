"""Final deposits come to the vault, through custody's door, and the books follow to the unit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chain import ChainClient
from chain.abi import address_word, selector, uint_word
from chain.devnet import Devnet
from custody import Custody, State
from custody.deposits.contracts import COIN
from custody.deposits.settings import DepositSettings
from custody.deposits.sweep_plans import Holding
from custody.deposits.sweeper import Sweeper, SweepReport, due_holdings
from domain import Address
from tests.custody.deposits.lab import NATIVE, PAYERS, SWEEPING, TANK, VAULT, Lab, until

pytestmark = pytest.mark.anvil


class Sweeps:
    """A lab with a sweeper, and desks that are started when they are asked for."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab, self.folder = lab, folder
        self.desks: dict[str, Custody] = {}
        self.refused: set[str] = set()
        self.sweeper = self.another()

    def another(self, **changes: object) -> Sweeper:
        return Sweeper(
            database=self.lab.database,
            chain=self.lab.client,
            settings=self.lab.settings.model_copy(update=changes),
            desks=self.desk,
            now_ns=self.lab.now_ns,
        )

    def desk(self, address: Address) -> Custody | None:
        if address in self.refused:
            return None
        if address not in self.desks:
            self.desks[address] = self.lab.desk(address, self.folder)
        return self.desks[address]

    async def finalize(self) -> None:
        """Let everything that is out be mined and become final."""
        for desk in self.desks.values():
            await desk.start(lambda _settled: None)
        for desk in self.desks.values():
            assert await desk.drain(60)
        await self.lab.mine(70)
        open_ = [sweep.id for sweep in self.sweeper.store.open()]
        for desk in list(self.desks.values()):
            states = [desk.state(sweep) for sweep in open_]
            await until(lambda d=desk: all(s is None or s.is_final for s in (d.state(x) for x in open_)))
            assert states is not None
            await desk.stop()
        self.desks.clear()
        await self.lab.scanner.catch_up()

    async def check(self) -> None:
        """The books are the chain's, the vault's included."""
        await self.lab.check()
        for symbol in ("USDC", "ETH"):
            for account in (VAULT, SWEEPING, TANK):
                booked = self.lab.ledger.balance(f"chain/1337/{account}", self.lab.asset(symbol))
                found = await self.lab.chain_balance(account, symbol)
                assert found == booked, (account, symbol)
        assert self.lab.ledger.balances("inflight") == {}

    async def remember(self) -> None:
        self.before = {
            (account, symbol): await self.lab.chain_balance(account, symbol)
            for account in (VAULT, SWEEPING, TANK)
            for symbol in ("USDC", "ETH")
        }


@pytest.fixture
async def sweeps(devnet: Devnet, chain_client: ChainClient, database_url: str, tmp_path: Path) -> AsyncIterator[Sweeps]:
    lab = await Lab.open(devnet, chain_client, database_url)
    sweeps = Sweeps(lab, tmp_path)
    await sweeps.remember()
    yield sweeps
    for desk in sweeps.desks.values():
        await desk.stop()
    lab.database.dispose()


async def final_deposits(sweeps: Sweeps, *paid: tuple[str, str, str, int]) -> None:
    """Pay in and let it become final: (user, kind, symbol, raw)."""
    for user, kind, symbol, raw in paid:
        address = sweeps.lab.addresses.assign(user, kind).address  # type: ignore[arg-type]
        await sweeps.lab.pay(address, symbol, raw)
    await sweeps.lab.mine(70)
    await sweeps.lab.scanner.catch_up()


async def test_forwarders_are_swept_in_one_transaction_without_gas_of_their_own(sweeps: Sweeps) -> None:
    await final_deposits(
        sweeps,
        ("alice", "forwarder", "USDC", 5_000_000),
        ("alice", "forwarder", "ETH", 10**18),
        ("bob", "forwarder", "USDC", 7_000_000),
    )
    assert await sweeps.sweeper.run() == SweepReport(closed=0, batches=1, transfers=0, grants=0)
    assert await sweeps.sweeper.run() == SweepReport(0, 0, 0, 0)  # all of it is under way
    await sweeps.finalize()
    assert await sweeps.sweeper.run() == SweepReport(1, 0, 0, 0)
    lab = sweeps.lab
    assert await lab.chain_balance(VAULT, "USDC") - sweeps.before[VAULT, "USDC"] == 12_000_000
    assert await lab.chain_balance(VAULT, "ETH") - sweeps.before[VAULT, "ETH"] == 10**18
    for user in ("alice", "bob"):
        assert await lab.chain_balance(lab.forwarder(user), "USDC") == 0
    assert lab.owed("alice", "available", "USDC") == 5_000_000  # what we owe does not change
    assert lab.ledger.balances("gas/sweeps")["gas/sweeps"][NATIVE] > 0
    await sweeps.check()


async def test_only_final_deposits_are_swept_and_the_rest_later(sweeps: Sweeps) -> None:
    await final_deposits(sweeps, ("alice", "forwarder", "USDC", 5_000_000))
    await sweeps.lab.pay(sweeps.lab.forwarder("alice"), "USDC", 1_000_000)
    await sweeps.lab.pay(sweeps.lab.forwarder("alice"), "USDC", 50)  # dust: never
    await sweeps.lab.mine(3)
    await sweeps.lab.scanner.catch_up()
    assert sweeps.lab.states() == [("final", 5_000_000), ("available", 1_000_000), ("dust", 50)]
    await sweeps.sweeper.run()
    await sweeps.finalize()
    assert await sweeps.lab.chain_balance(sweeps.lab.forwarder("alice"), "USDC") == 1_000_050
    await sweeps.sweeper.run()
    await sweeps.finalize()
    await sweeps.sweeper.run()
    assert await sweeps.lab.chain_balance(sweeps.lab.forwarder("alice"), "USDC") == 50
    await sweeps.check()


async def test_a_failing_item_does_not_hold_up_the_others_and_is_tried_again_later(sweeps: Sweeps) -> None:
    lab = sweeps.lab
    await final_deposits(sweeps, ("alice", "forwarder", "USDC", 5_000_000), ("bob", "forwarder", "USDC", 7_000_000))
    account = lab.addresses.assign("alice").account
    await lab.transaction(PAYERS[3], lab.contracts.factory, data=selector("deploy(bytes32)") + account)
    await sweeps.sweeper.run()
    # Alice's tokens are taken away before the sweep is sent: what an issuer may do, here the node does.
    await lab.client.rpc.request("anvil_impersonateAccount", lab.forwarder("alice"))
    await lab.client.rpc.request("anvil_setBalance", lab.forwarder("alice"), hex(10**18))
    token = lab.devnet.world.tokens["USDC"].address
    away = selector("transfer(address,uint256)") + address_word(PAYERS[3])
    await lab.transaction(lab.forwarder("alice"), token, data=away + uint_word(5_000_000))
    await sweeps.finalize()
    await sweeps.sweeper.run()
    by_user = {deposit.user: deposit.sweep_id for deposit in lab.store.deposits()}
    assert by_user["alice"] is None
    assert by_user["bob"] is not None
    assert await sweeps.sweeper.run() == SweepReport(0, 0, 0, 0)  # left alone for an hour
    lab.ns += 3601 * 10**9
    await lab.transaction(PAYERS[3], token, data=selector("transfer(address,uint256)") + address_word(
        lab.forwarder("alice")) + uint_word(5_000_000))  # fmt: skip
    assert (await sweeps.sweeper.run()).batches == 1
    await sweeps.finalize()
    assert await lab.chain_balance(lab.forwarder("alice"), "USDC") == 0
    assert (await sweeps.sweeper.run()).closed == 1
    assert lab.ledger.verify().is_sound


async def test_batches_are_cut_to_the_gas_that_policy_allows(sweeps: Sweeps) -> None:
    users = [f"u{n}" for n in range(12)]
    await final_deposits(sweeps, *((user, "forwarder", "USDC", 1_000_000) for user in users))
    report = await sweeps.another(sweep_gas_max=1_200_000).run()
    assert report.batches > 1
    await sweeps.finalize()
    assert (await sweeps.sweeper.run()).closed == report.batches
    assert all(deposit.sweep_id for deposit in sweeps.lab.store.deposits())
    await sweeps.check()


async def test_key_addresses_get_exactly_the_gas_they_need_and_sweep_themselves(sweeps: Sweeps) -> None:
    lab = sweeps.lab
    await final_deposits(sweeps, ("carol", "key", "USDC", 3_000_000), ("dave", "key", "ETH", 10**18))
    report = await sweeps.sweeper.run()
    assert report == SweepReport(closed=0, batches=0, transfers=1, grants=1)  # coins pay their own way
    carol = lab.addresses.of_user("carol")[0].address
    assert (await sweeps.sweeper.run()).grants == 0  # one is under way
    await sweeps.finalize()
    granted = await lab.chain_balance(carol, "ETH")
    assert 0 < granted < 10**16
    assert lab.states("carol") == [("final", 3_000_000)]  # the tank's gift is no deposit
    assert await sweeps.sweeper.run() == SweepReport(closed=1, batches=0, transfers=1, grants=0)
    await sweeps.finalize()
    await sweeps.sweeper.run()
    assert await lab.chain_balance(carol, "USDC") == 0
    assert await lab.chain_balance(VAULT, "USDC") - sweeps.before[VAULT, "USDC"] == 3_000_000
    left = await lab.chain_balance(carol, "ETH")
    assert left < granted
    await sweeps.check()


async def test_a_reorganised_sweep_is_undone_sent_again_and_booked_once(sweeps: Sweeps) -> None:
    lab = sweeps.lab
    await final_deposits(sweeps, ("alice", "forwarder", "USDC", 5_000_000))
    await lab.mine(1)
    mark = await lab.mark()
    await sweeps.sweeper.run()
    [sweep] = sweeps.sweeper.store.open()
    desk = sweeps.desks[SWEEPING]
    await desk.start(lambda _settled: None)
    assert await desk.drain(60)
    assert lab.ledger.balance(f"chain/1337/{VAULT}", lab.asset("USDC")) == 5_000_000
    await lab.fork(mark, 3)
    await until(lambda: [step.value for step, _ in desk.history(sweep.id)].count("reorged") == 1)
    await until(lambda: [step.value for step, _ in desk.history(sweep.id)].count("confirmed") == 2)
    assert lab.ledger.balance(f"chain/1337/{VAULT}", lab.asset("USDC")) == 5_000_000
    await desk.stop()
    sweeps.desks.clear()
    sweeps.desk(SWEEPING)
    await sweeps.finalize()
    assert (await sweeps.sweeper.run()).closed == 1
    assert await lab.chain_balance(VAULT, "USDC") - sweeps.before[VAULT, "USDC"] == 5_000_000
    await sweeps.check()


async def test_the_gas_tank_gives_no_more_in_an_hour_than_it_may(sweeps: Sweeps) -> None:
    await final_deposits(sweeps, *((f"k{n}", "key", "USDC", 1_000_000) for n in range(3)))
    holdings = sweeps.sweeper.store.holdings()
    assert len(holdings) == 3
    fee = int((await sweeps.lab.client.fees()).max_fee)
    capped = sweeps.another(tank_per_hour_wei=2 * 70_000 * fee)
    first = await capped.run()
    assert 0 < first.grants < 3
    await sweeps.finalize()
    assert (await capped.run()).grants == 0
    sweeps.lab.ns += 3601 * 10**9
    assert (await capped.run()).grants > 0


async def test_an_address_whose_key_is_not_at_hand_waits(sweeps: Sweeps) -> None:
    await final_deposits(sweeps, ("carol", "key", "USDC", 3_000_000), ("alice", "forwarder", "USDC", 1_000))
    sweeps.refused = {sweeps.lab.addresses.of_user("carol")[0].address, SWEEPING}
    assert await sweeps.sweeper.run() == SweepReport(0, 0, 0, 0)
    sweeps.refused = {TANK}
    assert await sweeps.sweeper.run() == SweepReport(0, 1, 0, 0)


async def test_a_refused_sweep_frees_its_deposits(sweeps: Sweeps) -> None:
    await final_deposits(sweeps, ("alice", "forwarder", "USDC", 5_000_000))
    strict = sweeps.lab.policy(contracts=())
    sweeps.desks[SWEEPING] = sweeps.lab.desk(SWEEPING, sweeps.folder, policy=strict)
    await sweeps.sweeper.run()
    [sweep] = sweeps.sweeper.store.open()
    await sweeps.finalize()
    assert sweeps.lab.desk(SWEEPING, sweeps.folder).state(sweep.id) is State.REFUSED
    assert (await sweeps.sweeper.run()).closed == 1
    sweeps.lab.ns += 3601 * 10**9
    assert (await sweeps.sweeper.run()).batches == 1
    await sweeps.finalize()
    await sweeps.sweeper.run()
    await sweeps.check()


async def test_what_somebody_else_sweeps_is_booked_undone_with_its_block_and_not_swept_again(sweeps: Sweeps) -> None:
    lab = sweeps.lab
    await final_deposits(sweeps, ("alice", "forwarder", "USDC", 5_000_000))
    mark = await lab.mark()
    account = lab.addresses.assign("alice").account
    call = selector("sweep(bytes32,address,uint256)") + account + address_word(lab.devnet.world.tokens["USDC"].address)
    tx_hash = await lab.transaction(PAYERS[3], lab.contracts.factory, data=call + uint_word(5_000_000))
    raw = await lab.raw(tx_hash)
    await lab.scanner.catch_up()
    assert lab.ledger.balance(f"chain/1337/{VAULT}", lab.asset("USDC")) == 5_000_000
    await sweeps.check()
    await lab.fork(mark, 2)
    mark = await lab.mark()
    await lab.scanner.catch_up()
    assert lab.ledger.balance(f"chain/1337/{VAULT}", lab.asset("USDC")) == 0
    await sweeps.check()
    await lab.fork(mark, 2, raw)
    await lab.scanner.catch_up()
    await sweeps.check()
    assert await sweeps.sweeper.run() == SweepReport(0, 0, 0, 0)
    assert lab.store.deposits()[0].sweep_id == "elsewhere"


def test_thresholds_and_age_decide_what_is_due() -> None:
    asset = "eip155:1/slip44:60"
    settings = DepositSettings.model_validate(
        {"chain_id": 1, "assets": {asset: {"sweep_raw": 100}}, "sweep_age_s": 3600}
    )

    def holding(raw: int, age_s: int) -> Holding:
        return Holding(COIN, "forwarder", b"", asset, raw, (1,), 10**13 - age_s * 10**9)

    rows = [holding(100, 0), holding(99, 3599), holding(1, 3600)]
    assert due_holdings(rows, settings, 10**13) == [rows[0], rows[2]]
