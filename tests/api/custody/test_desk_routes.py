"""Addresses, deposits, vaults and transactions over HTTP: each of its organisation, and crossed by nobody."""

from __future__ import annotations

import pytest
from sqlmodel import select

from api.core.errors import Forbidden
from api.custody.tables import VaultRow
from chain.devnet import TEST_ADDRESSES
from custody import freeze
from custody.audit import AuditLog, AuditRow
from custody.deposits.bookings import entries_of
from custody.deposits.states import DepositStep
from custody.deposits.store import Verdict
from custody.deposits.tables import DepositCursorRow, DepositEventRow, DepositRow
from custody.ledger import Entry, Posting, vault_account
from custody.transactions.tables import TransactionRow
from custody.withdrawals import AddressBook
from tests.api.custody.lab import CHAIN, COIN, RECIPIENT, TENANT, USDC, VAULT, opened
from tests.api.lab import ANYBODY


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path) as house:
        yield house


# --- addresses


async def test_an_address_waits_for_its_cool_down_and_is_new_again_when_entered_again(tmp_path):
    with opened(tmp_path) as house:
        services, custody = house.services, house.services.custody
        book = AddressBook(services.database, services.auth.audit, services.clock.now_ns, cool_down_s=3_600)
        object.__setattr__(custody, "addresses", book)
        custody.desk._addresses = book
        assert (await house.withdraw())[1]["rule"] == "unknown-address"
        body = {"client": "ulla", "address": RECIPIENT, "label": "home"}
        status, made = await house.ask("POST", "/addresses", body)
        assert (status, made["label"], made["place"]) == (201, "home", "1337")
        assert (await house.ask("POST", "/addresses", body))[1] == made  # It keeps its age.
        assert made["usable_at"] > made["added_at"]
        assert (await house.withdraw())[1]["rule"] == "cool-down"
        services.clock.advance(seconds=3_600)
        assert (await house.withdraw())[0] == 201
        assert (await house.ask("DELETE", f"/addresses/{made['id']}"))[0] == 204
        assert (await house.ask("DELETE", f"/addresses/{made['id']}"))[0] == 404
        again = (await house.ask("POST", "/addresses", body))[1]
        assert again["id"] != made["id"]
        assert (await house.withdraw(amount="0.1"))[1]["rule"] == "cool-down"
        assert (await house.ask("POST", "/addresses", body | {"address": "0x12"}))[0] == 422


async def test_addresses_are_their_organisations_and_paged(house):
    tina = await house.tenant_client()
    made = []
    for client, who in (("ulla", ANYBODY), (tina, TENANT)):
        for address in (RECIPIENT, VAULT):
            body = {"client": client, "address": address}
            made.append((await house.ask("POST", "/addresses", body, who=who))[1]["id"])
    for who, own, other, client in ((ANYBODY, made[:2], made[2], tina), (TENANT, made[2:], made[0], "ulla")):
        assert [one["id"] for one in (await house.ask("GET", "/addresses", who=who))[1]["data"]] == own[::-1]
        assert (await house.ask("GET", f"/addresses?client={client}", who=who))[1]["data"] == []
        assert (await house.ask("DELETE", f"/addresses/{other}", who=who))[0] == 404
        assert (await house.ask("POST", "/addresses", {"client": client, "address": RECIPIENT}, who=who))[0] == 404
    first = (await house.ask("GET", "/addresses?limit=1"))[1]
    assert [one["id"] for one in (await house.ask("GET", f"/addresses?cursor={first['next']}"))[1]["data"]] == made[:1]
    assert (await house.ask("GET", f"/addresses?cursor={first['next']}", who=TENANT))[0] == 400


# --- deposits


async def test_a_deposit_address_is_the_same_whenever_it_is_asked_for(house):
    tina = await house.tenant_client()
    given = (await house.ask("POST", "/deposit-addresses", {"client": "ulla"}))[1]
    assert (given["network"], given["client"], given["kind"]) == ("eip155:1337", "ulla", "forwarder")
    assert (await house.ask("POST", "/deposit-addresses", {"client": "ulla"}))[1] == given
    other = (await house.ask("POST", "/deposit-addresses", {"client": tina}, who=TENANT))[1]
    assert other["address"] != given["address"]
    assert (await house.ask("POST", "/deposit-addresses", {"client": tina}))[0] == 404
    assert (await house.ask("POST", "/deposit-addresses", {"client": "ulla"}, who=TENANT))[0] == 404
    assert (await house.ask("GET", "/deposit-addresses"))[1]["data"] == [given]
    assert (await house.ask("GET", "/deposit-addresses", who=TENANT))[1]["data"] == [other]
    assert (await house.ask("POST", "/deposit-addresses", {"client": "ulla", "kind": "key"}))[0] == 422


async def test_deposits_are_told_to_whose_client_they_are(house):
    tina = await house.tenant_client()
    ours, theirs = arrived(house, "ulla", 1), arrived(house, tina, 2)
    for who, own, other in ((ANYBODY, ours, theirs), (TENANT, theirs, ours)):
        assert [one["id"] for one in (await house.ask("GET", "/deposits", who=who))[1]["data"]] == [own]
        assert (await house.ask("GET", f"/deposits/{other}", who=who))[0] == 404
    found = (await house.ask("GET", f"/deposits/{ours}"))[1]
    assert (found["amount"], found["symbol"], found["state"]) == ("2.5", "USDC", "pending")
    assert [step["step"] for step in found["history"]] == ["seen"]
    assert (await house.ask("GET", "/deposits?state=final"))[1]["data"] == []
    assert (await house.ask("GET", "/deposits?client=nobody"))[1]["data"] == []


async def test_what_screening_held_back_is_credited_once_by_a_person_of_the_house(house):
    tina = await house.tenant_client()
    number, theirs = arrived(house, "ulla", 1), arrived(house, tina, 2)
    arrivals, path = house.services.custody.arrivals, f"/deposits/{number}/clearances"
    shown = {"reason": "its source was shown"}
    assert (await house.ask("POST", path, shown))[1]["code"] == "conflict"  # It waits for its blocks.
    with house.services.database.transaction() as session:
        session.add(DepositCursorRow(chain_id=CHAIN, number=8, hash="0x" + "8" * 64, finalized=0))
        for row in session.exec(select(DepositRow)):
            house.services.custody.ledger.post_all_in(session, entries_of(row, DepositStep.SEEN))
    arrivals.decide([Verdict(number, 0, "sanctioned"), Verdict(theirs, 0, "sanctioned")], 1)
    assert (await house.ask("GET", f"/deposits/{number}"))[1]["state"] == "suspended"
    assert (await house.ask("POST", path, shown))[1]["detail"] == f"deposit {number} is not final yet"
    with house.services.database.transaction() as session:
        session.get_one(DepositCursorRow, CHAIN).finalized = 8
    for other in (path, f"/deposits/{theirs}/clearances"):
        assert (await house.ask("POST", other, shown, who=TENANT))[1]["code"] == "house_only"
    assert (await house.ask("POST", "/deposits/999/clearances", shown))[0] == 404
    assert (await house.ask("POST", path, {"reason": " "}))[0] == 422
    assert house.owed("ulla", asset=USDC) == 0
    status, cleared = await house.ask("POST", path, shown)
    assert (status, cleared["state"]) == (201, "final")
    assert cleared["history"][-1]["detail"] == {"operator": "anybody@example.com"} | shown
    assert house.owed("ulla", asset=USDC) == 2_500_000
    assert (await house.ask("POST", path, shown))[1]["code"] == "conflict"
    assert house.owed("ulla", asset=USDC) == 2_500_000


# --- vaults


async def test_a_vault_tells_what_it_holds_whose_it_is_and_that_it_is_frozen(house):
    services, account = house.services, vault_account(CHAIN, VAULT)
    legs = (Posting(account, COIN.id, 7 * 10**18), Posting("equity/opening", COIN.id, -7 * 10**18))
    services.custody.ledger.post(Entry("open/vault", "opening", legs))
    freezes = freeze.Freezes(services.database, AuditLog(services.database, lambda: 1), lambda: 10**18)
    freezes.impose(freeze.chain_scope(CHAIN), source="operator:olga", reason="drill")
    found = (await house.ask("GET", "/vaults/default"))[1]
    assert (await house.ask("GET", "/vaults"))[1]["data"] == [found]
    assert (found["address"], found["organisation"]) == (VAULT, ANYBODY.organisation)
    assert found["balances"] == [{"asset": COIN.id, "symbol": "ETH", "raw": str(7 * 10**18), "amount": "7"}]
    assert [one["reason"] for one in found["freezes"]] == ["drill"]
    for path in ("/vaults/other", "/vaults/default"):
        assert (await house.ask("GET", path, who=TENANT))[0] == 404
    assert (await house.ask("GET", "/vaults", who=TENANT))[1]["data"] == []


async def test_a_vault_that_is_given_away_takes_its_transactions_and_approvals_along(house):
    house.asks("swap-1", vault="default")
    intents = [recorded(house, "swap-1"), recorded(house, "swap-2")]
    given = {"organisation": TENANT.organisation}
    assert (await house.ask("PUT", "/vaults/default/owner", given, who=TENANT))[1]["code"] == "house_only"
    assert (await house.ask("PUT", "/vaults/other/owner", given))[0] == 404
    assert (await house.ask("PUT", "/vaults/default/owner", {"organisation": "org_none"}))[0] == 404
    for owner, other in ((ANYBODY, TENANT), (TENANT, ANYBODY), (ANYBODY, TENANT)):
        told = (await house.ask("PUT", "/vaults/default/owner", {"organisation": owner.organisation}))[1]
        assert told["organisation"] == owner.organisation
        for who, seen in ((owner, intents[::-1]), (other, [])):
            assert [one["id"] for one in (await house.ask("GET", "/transactions", who=who))[1]["data"]] == seen
            assert [one["id"] for one in (await house.ask("GET", "/approvals", who=who))[1]["data"]] == seen[1:]
    with house.services.database.snapshot() as session:
        assert len(session.exec(select(AuditRow).where(AuditRow.kind == "vault.given")).all()) == 3
        assert session.get_one(VaultRow, "default").organisation == ANYBODY.organisation


# --- transactions


async def test_a_wish_is_written_once_with_who_wants_it(house):
    recorded(house, "swap-1")
    path = "/transactions/swap-1"
    for _ in range(2):
        assert (await house.ask("POST", f"{path}/wishes", {"wish": "hold"}, key="hold-it-please"))[0] == 202
    found = (await house.ask("GET", path))[1]
    assert (found["wish"], found["state"], found["purpose"]) == ("hold", "created", "swap")
    with house.services.database.snapshot() as session:
        asked = session.exec(select(AuditRow).where(AuditRow.kind == "transaction.asked")).all()
        assert [row.detail for row in asked] == [f'{{"by":"{ANYBODY.actor}","wish":"hold"}}']
    assert (await house.ask("POST", f"{path}/wishes", {"wish": ""}))[0] == 422
    assert (await house.ask("POST", f"{path}/wishes", {"wish": "release"}))[0] == 202
    assert (await house.ask("POST", "/transactions/none/wishes", {"wish": "hold"}))[0] == 404


async def test_what_is_signed_is_not_held_any_more(house):
    recorded(house, "swap-1", state="broadcast")
    assert (await house.ask("POST", "/transactions/swap-1/wishes", {"wish": "hold"}))[1]["code"] == "too_late"
    assert (await house.ask("POST", "/transactions/swap-1/wishes", {"wish": "speed-up"}))[0] == 202
    recorded(house, "swap-2", state="final")
    assert [one["id"] for one in (await house.ask("GET", "/transactions"))[1]["data"]] == ["swap-1"]
    everything = (await house.ask("GET", "/transactions?all=true"))[1]["data"]
    assert [one["id"] for one in everything] == ["swap-2", "swap-1"]


async def test_going_on_is_confirmed_by_a_person_and_stopping_is_not(house):
    recorded(house, "swap-1")

    async def refuse(_request, _principal):
        raise Forbidden("confirm it", code="step_up_required")

    house.gate.confirm = refuse
    for wish in ("hold", "cancel"):
        assert (await house.ask("POST", "/transactions/swap-1/wishes", {"wish": wish}))[0] == 202
    for wish in ("release", "speed-up"):
        assert (await house.ask("POST", "/transactions/swap-1/wishes", {"wish": wish}))[1]["code"] == "step_up_required"
    assert (await house.ask("GET", "/transactions/swap-1"))[1]["wish"] == "cancel"


async def test_a_tenant_follows_its_withdrawals_transaction_and_moves_no_vault_of_the_house(house):
    tina = await house.tenant_client()
    theirs = (await house.withdraw(tina, "0.1", who=TENANT))[1]["id"]
    for intent in (theirs, "swap-1"):
        recorded(house, intent)
    assert [one["id"] for one in (await house.ask("GET", "/transactions", who=TENANT))[1]["data"]] == [theirs]
    assert (await house.ask("GET", "/transactions/swap-1", who=TENANT))[0] == 404
    for intent in (theirs, "swap-1"):
        assert (await house.ask("POST", f"/transactions/{intent}/wishes", {"wish": "cancel"}, who=TENANT))[0] == 404
        assert (await house.ask("GET", f"/transactions/{intent}"))[1]["wish"] == ""


def recorded(house, intent_id: str, *, state: str = "created") -> str:
    with house.services.database.transaction() as session:
        session.add(
            TransactionRow(
                intent_id=intent_id, strategy="arb", purpose="swap", chain_id=CHAIN, sender=VAULT, initiator="engine",
                vault="default", plan="{}", digest="0" * 64, state=state, created_ns=1, updated_ns=1,
            )
        )  # fmt: skip
    return intent_id


def arrived(house, client: str, number: int) -> int:
    with house.services.database.transaction() as session:
        row = DepositRow(
            chain_id=CHAIN, tx_hash=f"0x{number:064x}", log_index=0, leg=0, occurrence=0, block_number=number,
            block_hash="0x" + "1" * 64, user=client, address=TEST_ADDRESSES[1], asset=USDC.id, raw=2_500_000,
            sender=TEST_ADDRESSES[2], origin=TEST_ADDRESSES[2], state="pending", seen_ns=10**18,
        )  # fmt: skip
        session.add(row)
        session.flush()
        session.add(DepositEventRow(deposit_id=row.id, event="seen", state="pending", detail="{}", time_ns=10**18))
        return row.id or 0
