"""The books and the audit log over HTTP: all of them for the house, of others what is their own."""

from __future__ import annotations

import pytest
from sqlmodel import Session, select, text

from api.auth.tables import ApiKeyRow
from api.portfolios.directory import assign
from api.portfolios.tables import PortfolioRow
from custody.audit import AuditRow, canonical, record_hash
from custody.ledger import Entry, Posting
from tests.api.custody.lab import COIN, TENANT, USDC, opened
from tests.api.lab import ANYBODY


@pytest.fixture
def house(tmp_path):
    with opened(tmp_path) as house:
        yield house


@pytest.fixture
def anywhere(tmp_path, database_url):
    """A house on each database the product runs on."""
    with opened(tmp_path, url=database_url if database_url.startswith("postgresql") else "") as house:
        yield house


async def data(house, path, who=ANYBODY):
    status, found = await house.ask("GET", path, who=who)
    assert status == 200, found
    return found["data"]


async def test_accounts_are_paged_by_name_and_told_as_amounts(house):
    house.owe("ulla", USDC, 250_000_000)
    await house.withdraw()
    first = (await house.ask("GET", "/ledger/accounts?limit=2"))[1]
    second = (await house.ask("GET", f"/ledger/accounts?limit=2&cursor={first['next']}"))[1]
    third = (await house.ask("GET", f"/ledger/accounts?limit=2&cursor={second['next']}"))[1]
    every = first["data"] + second["data"] + third["data"]
    assert every == sorted(every, key=lambda one: (one["account"], one["asset"]))
    assert {(one["account"], one["symbol"], one["amount"]) for one in every} == {
        ("equity/opening", "ETH", "5"), ("equity/opening", "USDC", "250"), ("user/ulla/available", "USDC", "-250"),
        ("user/ulla/available", "ETH", "-3.499999999999999993"), ("user/ulla/held", "ETH", "-1.500000000000000007"),
    }  # fmt: skip
    assert third["next"] is None
    assert [one["account"] for one in await data(house, "/ledger/accounts?prefix=user/ulla/held")] == ["user/ulla/held"]
    assert len(await data(house, f"/ledger/accounts?asset={USDC.id}")) == 2
    assert (await house.ask("GET", "/ledger/accounts?prefix=user/%25"))[0] == 422


async def test_entries_are_told_newest_first_with_every_leg_and_sum_to_zero(house):
    made = (await house.withdraw())[1]["id"]
    await house.ask("DELETE", f"/withdrawals/{made}")
    entries = await data(house, "/ledger/entries")
    assert [entry["kind"] for entry in entries] == ["withdrawal-released", "withdrawal-held", "grant"]
    assert all(sum(int(leg["raw"]) for leg in entry["postings"]) == 0 for entry in entries)
    assert [
        one["kind"] for one in await data(house, "/ledger/entries?account=user/ulla/held&kind=withdrawal-held")
    ] == ["withdrawal-held"]
    first = (await house.ask("GET", "/ledger/entries?limit=2"))[1]
    rest = (await house.ask("GET", f"/ledger/entries?limit=2&cursor={first['next']}"))[1]
    assert [one["id"] for one in first["data"] + rest["data"]] == [one["id"] for one in entries]


async def test_a_tenant_sees_its_clients_and_strategies_and_no_other_leg(anywhere):
    house = anywhere
    tina = await house.tenant_client()
    custody = house.services.custody
    with house.services.database.transaction() as session:
        theirs = session.exec(select(PortfolioRow).where(PortfolioRow.organisation == TENANT.organisation)).one()
        assign(session, "theirs", theirs.id)
    await house.services.directory.refresh(now=True)
    for strategy in ("theirs", "ours"):
        legs = (Posting(f"fees/{strategy}", COIN.id, 3), Posting("venue/one", COIN.id, -3))
        custody.ledger.post(Entry(f"fee/{strategy}", "fee", legs, strategy=strategy))
    accounts = {one["account"] for one in await data(house, "/ledger/accounts", TENANT)}
    assert accounts == {f"user/{tina}/available", "fees/theirs"}
    entries = await data(house, "/ledger/entries", TENANT)
    assert [(one["key"], [leg["account"] for leg in one["postings"]]) for one in entries] == [
        ("fee/theirs", ["fees/theirs"]), (f"grant/{tina}/ETH", [f"user/{tina}/available"]),
    ]  # fmt: skip
    for path in ("accounts?prefix=user/ulla", "entries?account=user/ulla", "entries?account=equity/opening"):
        assert await data(house, f"/ledger/{path}", TENANT) == []
    assert (await house.ask("GET", "/ledger/balances", who=TENANT))[1]["code"] == "house_only"


async def test_the_audit_log_is_told_of_what_is_ones_own(house):
    tina = await house.tenant_client()
    theirs = (await house.withdraw(tina, "0.1", who=TENANT))[1]["id"]
    mine = (await house.withdraw())[1]["id"]
    audit, planted = house.services.auth.audit, f'"organisation":"{TENANT.organisation}"'
    with house.services.database.transaction() as session:
        session.add(_key("key_theirs", TENANT.organisation))
        audit.append(session, "key.created", "key/key_theirs", {"actor": "x"})
        audit.append(session, "key.created", "key/key_ours", {"actor": "x"})
        audit.append(session, "user.removed", "user/usr_1", {"organisation": TENANT.organisation})
        audit.append(session, "user.removed", "user/usr_2", {"organisation": ANYBODY.organisation})
        audit.append(session, "kill.pressed", "kill_1", {"reason": planted})
    told = await data(house, "/audit", TENANT)
    assert {(one["kind"], one["subject"]) for one in told} == {
        ("client.created", f"user/{tina}"), ("withdrawal.state", f"withdrawal/{theirs}"),
        ("key.created", "key/key_theirs"), ("user.removed", "user/usr_1"),
    }  # fmt: skip
    assert await data(house, f"/audit?subject=withdrawal/{mine}", TENANT) == []
    everything = await data(house, "/audit")
    assert {f"withdrawal/{mine}", f"withdrawal/{theirs}", "kill_1"} < {one["subject"] for one in everything}
    assert [one["subject"] for one in await data(house, "/audit?kind=kill.")] == ["kill_1"]
    first = (await house.ask("GET", "/audit?limit=5"))[1]
    rest = (await house.ask("GET", f"/audit?limit=5&cursor={first['next']}"))[1]
    assert first["data"] + rest["data"] == everything[:10]


async def test_a_record_can_be_checked_by_whoever_reads_it_and_the_whole_by_the_house(house):
    await house.withdraw()
    with house.services.database.transaction() as session:
        house.services.auth.audit.append(session, "key.created", "key/k", {"actor": "ü"})
    for one in await data(house, "/audit"):
        row = _record(house, one["sequence"])
        named = (one["sequence"], int(one["time_ns"]), one["kind"], one["subject"])
        assert record_hash(*named, row.detail, one["previous"]) == one["hash"]
        assert canonical(one["detail"]) == row.detail
    found = (await house.ask("GET", "/audit/verification"))[1]
    assert (found["is_sound"], found["records"], found["first_bad"]) == (True, 2, None)
    assert (await house.ask("GET", "/audit/verification", who=TENANT))[1]["code"] == "house_only"
    _tamper(house, "UPDATE audit_log SET subject = 'key/other' WHERE sequence = 2")
    found = (await house.ask("GET", "/audit/verification"))[1]
    assert (found["is_sound"], found["first_bad"]) == (False, 2)


def _key(name, organisation):
    return ApiKeyRow(
        id=name, organisation=organisation, user="usr_anybody", name=name, algorithm="hmac-sha256", material="x",
        scopes="", networks="[]", created_ns=1,
    )  # fmt: skip


def _record(house, sequence) -> AuditRow:
    with house.services.database.snapshot() as session:
        return AuditRow(**session.get_one(AuditRow, sequence).model_dump())


def _tamper(house, statement):
    """As somebody who owns the database can, and nobody else: without the triggers that keep the log append-only."""
    with house.services.database.transaction() as session:
        assert isinstance(session, Session)
        triggers = session.execute(
            text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'audit_log'")
        )
        for (name,) in triggers.all():
            session.execute(text(f'DROP TRIGGER "{name}"'))
        session.execute(text(statement))
