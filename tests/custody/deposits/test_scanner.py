"""Deposits are found however they came, credited by depth, and undone with their block."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from chain import ChainClient
from chain.abi import selector
from chain.devnet import Devnet
from compliance import DenyListScreener
from custody.deposits.settings import DepositSettings
from custody.ledger import postings
from domain import Address, InputError, InvariantError
from tests.custody.deposits.lab import PAYERS, Lab

pytestmark = pytest.mark.anvil


@pytest.fixture(params=["trace", "transactions"])
async def lab(
    request: pytest.FixtureRequest, devnet: Devnet, chain_client: ChainClient, database_url: str
) -> AsyncIterator[Lab]:
    lab = await Lab.open(devnet, chain_client, database_url, native=request.param)
    yield lab
    lab.database.dispose()


@pytest.fixture
async def traced(devnet: Devnet, chain_client: ChainClient, tmp_path: Path) -> AsyncIterator[Lab]:
    lab = await Lab.open(devnet, chain_client, f"sqlite:///{tmp_path / 'books.db'}")
    yield lab
    lab.database.dispose()


async def test_a_token_deposit_is_pending_then_available_then_final(lab: Lab) -> None:
    alice = lab.addresses.assign("alice").address
    await lab.pay(alice, "USDC", 5_000_000)
    await lab.scanner.catch_up()
    assert (lab.owed("alice", "pending", "USDC"), lab.owed("alice", "available", "USDC")) == (5_000_000, 0)
    await lab.mine(1)
    await lab.scanner.catch_up()
    assert lab.owed("alice", "available", "USDC") == 0  # two deep of three
    await lab.mine(1)
    await lab.scanner.catch_up()
    assert (lab.owed("alice", "pending", "USDC"), lab.owed("alice", "available", "USDC")) == (0, 5_000_000)
    assert lab.states() == [("available", 5_000_000)]
    await lab.mine(70)  # anvil's finalized block is 64 behind
    await lab.scanner.catch_up()
    assert lab.states() == [("final", 5_000_000)]
    await lab.check()


async def test_coins_are_found_at_addresses_with_and_without_code_and_at_keys(lab: Lab) -> None:
    bare, key = lab.addresses.assign("bare").address, lab.addresses.assign("key", "key").address
    assigned = lab.addresses.assign("standing")
    standing = assigned.address
    await lab.pay(standing, "ETH", 5_000)
    await lab.scanner.catch_up()
    # Deployed by anybody: from now on it reports what it is sent.
    await lab.transaction(PAYERS[1], lab.contracts.factory, data=selector("deploy(bytes32)") + assigned.account)
    await lab.pay(standing, "ETH", 7_000)
    await lab.pay(bare, "ETH", 11_000)
    await lab.pay(key, "ETH", 13_000)
    relay = await lab.relay()
    await lab.transaction(PAYERS[2], relay, data=bytes(12) + bytes.fromhex(standing[2:]), value_wei=17_000)
    await lab.mine(3)
    await lab.scanner.catch_up()
    assert lab.owed("bare", "available", "ETH") == 11_000
    assert lab.owed("standing", "available", "ETH") == 5_000 + 7_000 + 17_000
    assert lab.owed("key", "available", "ETH") == 13_000
    senders = {row.raw: (row.sender, row.origin) for row in lab.store.deposits()}
    assert senders[17_000] == (relay, PAYERS[2])
    await lab.check()


async def test_coins_from_a_contract_to_an_address_without_code_need_traces(lab: Lab) -> None:
    alice = lab.addresses.assign("alice").address
    relay = await lab.relay()
    await lab.transaction(PAYERS[2], relay, data=bytes(12) + bytes.fromhex(alice[2:]), value_wei=17_000)
    await lab.mine(3)
    await lab.scanner.catch_up()
    found = lab.owed("alice", "available", "ETH")
    assert found == (17_000 if lab.settings.native == "trace" else 0)


async def test_several_deposits_in_one_block_are_each_counted_once(lab: Lab) -> None:
    users = [f"u{n}" for n in range(6)]
    for user in users:
        lab.addresses.assign(user)
    await lab.automine(False)
    for n, user in enumerate(users):
        await lab.pay(lab.forwarder(user), "USDC", 1_000 + n, payer=PAYERS[n % 4])
        await lab.pay(lab.forwarder(user), "ETH", 2_000 + n, payer=PAYERS[n % 4])
    await lab.mine(1)
    await lab.automine(True)
    await lab.mine(2)
    await lab.scanner.catch_up()
    await lab.scanner.catch_up()
    for n, user in enumerate(users):
        assert lab.owed(user, "available", "USDC") == 1_000 + n
        assert lab.owed(user, "available", "ETH") == 2_000 + n
    await lab.check()


async def test_dust_unknown_tokens_and_other_peoples_transfers_are_not_credited(lab: Lab) -> None:
    alice = lab.addresses.assign("alice").address
    await lab.pay(alice, "USDC", 99)
    await lab.pay(alice, "WBTC", 10**8)  # not listed
    await lab.pay(PAYERS[1], "USDC", 10**6)
    await lab.pay(alice, "USDC", 0)
    await lab.mine(3)
    await lab.scanner.catch_up()
    assert lab.states() == [("dust", 99)]
    assert lab.ledger.balances("user") == {}
    assert lab.ledger.balance("suspense/dust", lab.asset("USDC")) == -99
    await lab.check()


async def test_a_reverted_transfer_is_no_deposit(lab: Lab) -> None:
    alice = lab.addresses.assign("alice").address
    await lab.pay(alice, "USDC", 10**30)  # more than the payer has
    assigned = lab.addresses.assign("bob")
    await lab.transaction(PAYERS[1], lab.contracts.factory, data=selector("deploy(bytes32)") + assigned.account)
    # A forwarder that stands refuses calls with data: the coins sent along come back.
    await lab.transaction(PAYERS[0], assigned.address, data=b"what", value_wei=5_000)
    await lab.mine(3)
    await lab.scanner.catch_up()
    assert lab.states() == []


async def test_an_address_given_out_while_blocks_are_read_misses_nothing(lab: Lab) -> None:
    lab.addresses.assign("early")
    await lab.mine(5)
    await lab.scanner.catch_up()
    late = lab.addresses.assign("late").address
    await lab.pay(late, "USDC", 123_456)
    await lab.mine(2)
    await lab.scanner.catch_up()
    assert lab.owed("late", "available", "USDC") == 123_456


# --- reorganisations


async def test_a_reorganised_deposit_is_undone_and_comes_back_when_it_is_mined_again(lab: Lab) -> None:
    alice = lab.addresses.assign("alice").address
    mark = await lab.mark()
    first = await lab.pay(alice, "USDC", 1_000_000)
    coins = await lab.pay(alice, "ETH", 2_000_000)
    raws = [await lab.raw(first), await lab.raw(coins)]
    await lab.mine(1)
    await lab.scanner.catch_up()
    assert lab.owed("alice", "available", "USDC") == 1_000_000
    assert lab.owed("alice", "pending", "ETH") == 2_000_000
    await lab.fork(mark, 4)
    mark = await lab.mark()
    await lab.scanner.catch_up()
    assert lab.ledger.balances("user") == {}
    assert lab.states() == [("reorged", 1_000_000), ("reorged", 2_000_000)]
    await lab.check()
    await lab.fork(mark, 4, *raws)
    await lab.scanner.catch_up()
    assert lab.owed("alice", "available", "USDC") == 1_000_000
    assert lab.owed("alice", "available", "ETH") == 2_000_000
    assert [row.occurrence for row in lab.store.deposits()] == [1, 1]
    await lab.check()


async def test_a_rollback_without_new_blocks_is_followed(lab: Lab) -> None:
    alice = lab.addresses.assign("alice").address
    await lab.pay(alice, "USDC", 1_000_000)
    await lab.scanner.catch_up()
    await lab.client.rpc.request("anvil_rollback", 1)
    await lab.scanner.catch_up()
    assert lab.states() == [("reorged", 1_000_000)]
    assert lab.cursor().number == (await lab.client.head()).number


async def test_what_a_user_has_spent_of_a_reorganised_deposit_stands_in_suspense(traced: Lab) -> None:
    alice = traced.addresses.assign("alice").address
    mark = await traced.mark()
    await traced.pay(alice, "USDC", 1_000_000)
    await traced.mine(2)
    await traced.scanner.catch_up()
    traced.ledger.post(postings.withdrawal_held("w1", "alice", traced.asset("USDC"), 400_000))
    await traced.fork(mark, 3)
    await traced.scanner.catch_up()
    assert traced.owed("alice", "available", "USDC") == 0
    assert traced.owed("alice", "held", "USDC") == 400_000
    assert traced.ledger.balance("suspense/reorged", traced.asset("USDC")) == 400_000
    await traced.check()


async def test_a_chain_without_its_finalized_block_stops_the_scanner(traced: Lab) -> None:
    traced.addresses.assign("alice")
    await traced.mine(70)
    await traced.scanner.catch_up()
    before = traced.cursor().finalized
    mark = await traced.mark()
    await traced.mine(100)
    await traced.scanner.catch_up()
    assert traced.cursor().finalized > before
    await traced.fork(mark, 110)
    with pytest.raises(InvariantError, match="finality did not hold"):
        await traced.scanner.catch_up()


# --- screening


async def test_a_refused_sender_is_suspended_and_may_be_cleared_when_final(traced: Lab, tmp_path: Path) -> None:
    listing = tmp_path / "deny.txt"
    listing.write_text(f"{PAYERS[1]} stolen\n")
    traced.screener = DenyListScreener(listing)
    scanner = traced.another_scanner()
    alice = traced.addresses.assign("alice").address
    await traced.pay(alice, "USDC", 1_000_000, payer=PAYERS[1])
    await traced.pay(alice, "USDC", 2_000_000, payer=PAYERS[2])
    await traced.mine(3)
    await scanner.catch_up()
    assert traced.states() == [("suspended", 1_000_000), ("available", 2_000_000)]
    assert traced.owed("alice", "available", "USDC") == 2_000_000
    assert traced.ledger.balance("suspense/refused-senders", traced.asset("USDC")) == -1_000_000
    number = traced.store.deposits()[0].id
    with pytest.raises(InputError, match="not final"):
        traced.store.clear(number, operator="olga", reason="case 7 closed")
    await traced.mine(70)
    await scanner.catch_up()
    traced.store.clear(number, operator="olga", reason="case 7 closed")
    assert traced.owed("alice", "available", "USDC") == 3_000_000
    with pytest.raises(InputError, match="no suspended deposit"):
        traced.store.clear(number, operator="olga", reason="again")
    assert traced.ledger.verify().is_sound


async def test_a_suspended_deposit_is_undone_with_its_block(traced: Lab, tmp_path: Path) -> None:
    (tmp_path / "deny.txt").write_text(f"{PAYERS[1]} stolen\n")
    traced.screener = DenyListScreener(tmp_path / "deny.txt")
    scanner = traced.another_scanner()
    mark = await traced.mark()
    await traced.pay(traced.addresses.assign("alice").address, "USDC", 1_000_000, payer=PAYERS[1])
    await traced.mine(2)
    await scanner.catch_up()
    await traced.fork(mark, 3)
    await scanner.catch_up()
    assert traced.states() == [("reorged", 1_000_000)]
    assert traced.ledger.balances("suspense") == traced.ledger.balances("user") == {}


async def test_while_screening_cannot_tell_a_deposit_stays_pending(traced: Lab, tmp_path: Path) -> None:
    traced.screener = DenyListScreener(tmp_path / "missing.txt")
    scanner = traced.another_scanner()
    await traced.pay(traced.addresses.assign("alice").address, "USDC", 1_000_000)
    await traced.mine(70)
    await scanner.catch_up()
    assert traced.states() == [("pending", 1_000_000)]
    (tmp_path / "missing.txt").write_text("")
    await scanner.catch_up()
    assert traced.states() == [("final", 1_000_000)]


# --- many, and again


async def test_two_scanners_at_once_book_nothing_twice(lab: Lab) -> None:
    addresses = [lab.addresses.assign(f"u{n}").address for n in range(4)]
    for n in range(12):
        await lab.pay(addresses[n % 4], "USDC", 1_000 + n, payer=PAYERS[n % 3])
    await lab.mine(3)
    await asyncio.gather(*(lab.another_scanner().catch_up() for _ in range(3)))
    await lab.scanner.catch_up()
    assert sum(lab.owed(f"u{n}", "available", "USDC") for n in range(4)) == sum(1_000 + n for n in range(12))
    await lab.check()


async def test_downtime_is_filled_by_ranges_of_final_blocks(
    devnet: Devnet, chain_client: ChainClient, tmp_path: Path
) -> None:
    lab = await Lab.open(devnet, chain_client, f"sqlite:///{tmp_path / 'books.db'}", blocks_per_step=50)
    address = lab.addresses.assign("alice").address
    for n in range(5):
        await lab.pay(address, "USDC", 1_000 + n)
        await lab.mine(60)
    asked: list[dict[str, object]] = []
    plain = chain_client.batch

    async def batch(requests):  # type: ignore[no-untyped-def]
        asked.extend(dict(params[0]) for method, params in requests if method == "eth_getLogs")
        return await plain(requests)

    chain_client.batch = batch  # type: ignore[method-assign]
    await lab.scanner.catch_up()
    assert lab.owed("alice", "available", "USDC") == sum(1_000 + n for n in range(5))
    ranges = [question for question in asked if "fromBlock" in question]
    assert ranges
    assert len(asked) - len(ranges) <= 2  # those above the finalized block, by hash
    assert all("blockHash" in question for question in asked if question not in ranges)
    assert [state for state, _ in lab.states()] == ["final"] * 4 + ["available"]
    await lab.check()


def test_gas_tank_and_vault_are_different_accounts() -> None:
    with pytest.raises(ValidationError, match="account of its own"):
        DepositSettings(chain_id=1, vault=Address(PAYERS[0]), gas_tank=Address(PAYERS[0]))
    with pytest.raises(ValidationError, match="together"):
        DepositSettings(chain_id=1, factory=Address(PAYERS[0]))
    with pytest.raises(ValidationError, match="not on chain"):
        DepositSettings.model_validate({"chain_id": 1, "assets": {"eip155:2/slip44:60": {}}})
