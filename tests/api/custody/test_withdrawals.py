"""Withdrawals over HTTP: asked for once, by who may, of one's own clients, and stopped while that is possible."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from sqlmodel import select

from api.webhooks.tables import EndpointRow, EventRow
from custody.audit import AuditRow
from custody.transactions.records import Wish
from custody.transactions.tables import TransactionRow
from custody.withdrawals import State
from tests.api.callers import Caller
from tests.api.custody.lab import COIN, RECIPIENT, TENANT, opened
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


async def test_it_is_asked_for_once_and_its_funds_are_held(house):
    status, made = await house.withdraw(key="wages-2026-11")
    assert (status, made["state"], made["amount"], made["fee_raw"]) == (201, "requested", "1.5", "7")
    assert (made["asked_by"], made["to"]["address"], made["client"]) == ("anybody@example.com", RECIPIENT, "ulla")
    assert (house.owed("ulla"), house.owed("ulla", "held")) == (35 * 10**17 - 7, 15 * 10**17 + 7)
    assert (await house.withdraw(key="wages-2026-11"))[1] == made
    assert (await house.withdraw(amount="2", key="wages-2026-11"))[1]["code"] == "idempotency_key_reused"
    assert house.owed("ulla") == 35 * 10**17 - 7
    found = (await house.ask("GET", f"/withdrawals/{made['id']}"))[1]
    assert [step["step"] for step in found["history"]] == ["requested"]
    assert found["wish"] is None
    assert house.services.custody.ledger.verify().is_sound


async def test_many_at_once_never_hold_more_than_there_is(house):
    answers = await asyncio.gather(*(house.withdraw(amount="1", key=f"at-once-{n % 8}") for n in range(16)))
    made = {answer["id"] for status, answer in answers if status == 201}
    refused = {answer["rule"] for status, answer in answers if status != 201}
    assert (len(made), refused) == (4, {"funds"})
    assert house.owed("ulla") == 10**18 - 4 * 7


async def test_what_makes_no_sense_is_refused_and_nothing_is_held(house):
    for change, status, said in (
        ({"amount": "0"}, 422, "positive"),
        ({"amount": "1.0000000000000000001"}, 422, "decimals"),
        ({"client": "nobody.knows", "amount": "1"}, 403, "funds"),
        ({"amount": "6"}, 403, "funds"),
    ):
        answered, told = await house.withdraw(**change)
        assert (answered, said in told["detail"] or said == told.get("rule")) == (status, True), told
    body = {"client": "ulla", "asset": "ETH", "amount": "1", "to": {"address": RECIPIENT}}
    for change, said in (
        ({"asset": "DOGE"}, "no asset"),
        ({"to": {"address": RECIPIENT[:-1]}}, "address"),
        ({"to": {"address": house.services.custody.vault.address}}, "itself"),
        ({"to": {"address": "x", "venue": "one", "network": "ETH"}}, "nothing is withdrawn from one"),
        ({"to": {"address": "x", "venue": "two", "network": "ETH"}}, "no venue"),
        ({"to": {"address": "x", "venue": "one"}}, "network"),
        ({"client": "house"}, "house"),
    ):
        status, told = await house.ask("POST", "/withdrawals", body | change)
        assert (status, said in told["detail"]) == (422, True), told
    assert house.owed("ulla") == 5 * 10**18
    assert (await house.ask("GET", "/withdrawals"))[1]["data"] == []


async def test_hold_release_and_cancel_before_anything_is_recorded(house):
    made = (await house.withdraw())[1]
    path = f"/withdrawals/{made['id']}"
    assert (await house.ask("DELETE", f"{path}/hold"))[1]["code"] == "conflict"
    held = (await house.ask("PUT", f"{path}/hold", {"reason": "call first"}))[1]
    assert (held["state"], held["reason"]) == ("held", "call first")
    assert (await house.ask("DELETE", f"{path}/hold"))[1]["state"] == "requested"
    for _ in range(2):  # Safe to send again.
        status, cancelled = await house.ask("DELETE", path)
        assert (status, cancelled["state"]) == (200, "cancelled")
    assert [step["step"] for step in cancelled["history"]] == ["requested", "held", "released", "cancelled"]
    assert house.owed("ulla") == 5 * 10**18
    assert (await house.ask("PUT", f"{path}/hold", {"reason": "late"}))[1]["code"] == "too_late"
    assert (await house.ask("PUT", f"{path}/resolution", {"ref": "x"}))[0] == 409


async def test_a_transaction_that_is_recorded_is_told_and_who_told_it_is_audited(house):
    made = (await house.withdraw())[1]
    custody = house.services.custody
    await custody.desk._submit(custody.store.find(made["id"]))  # What the process with the key does first.
    status, told = await house.ask("DELETE", f"/withdrawals/{made['id']}")
    assert (status, told["state"], told["wish"]) == (200, "screened", "cancel")
    with house.services.database.snapshot() as session:
        row = session.exec(select(TransactionRow)).one()
        assert (row.wish, row.initiator) == (Wish.CANCEL, "anybody@example.com")
        query = select(AuditRow.detail).where(AuditRow.kind == "withdrawal.asked")
        assert json.loads(session.exec(query).one()) == {"by": ANYBODY.actor, "word": "cancel"}


async def test_lists_are_paged_and_filtered(house):
    ids = [(await house.withdraw(amount="0.5"))[1]["id"] for _ in range(5)]
    await house.ask("DELETE", f"/withdrawals/{ids[0]}")
    first = (await house.ask("GET", "/withdrawals?limit=3"))[1]
    second = (await house.ask("GET", f"/withdrawals?limit=3&cursor={first['next']}"))[1]
    assert [one["id"] for one in first["data"] + second["data"]] == ids[::-1]
    assert second["next"] is None
    assert (await house.ask("GET", f"/withdrawals?open=true&cursor={first['next']}"))[1]["code"] == "invalid_cursor"
    assert len((await house.ask("GET", "/withdrawals?open=true"))[1]["data"]) == 4
    assert [one["id"] for one in (await house.ask("GET", "/withdrawals?state=cancelled"))[1]["data"]] == ids[:1]
    assert (await house.ask("GET", "/withdrawals?client=other"))[1]["data"] == []


async def test_organisations_see_and_move_only_what_is_their_own_clients(anywhere):
    house = anywhere
    tina = await house.tenant_client()
    mine = (await house.withdraw())[1]["id"]
    theirs = (await house.withdraw(tina, "0.1", who=TENANT))[1]["id"]
    for who, own, other, client in ((ANYBODY, mine, theirs, tina), (TENANT, theirs, mine, "ulla")):
        assert [one["id"] for one in (await house.ask("GET", "/withdrawals", who=who))[1]["data"]] == [own]
        none = (await house.ask("GET", f"/withdrawals/w-{'0' * 24}", who=who))[1]["detail"].replace("0" * 24, "")
        for method, path, body in (
            ("GET", "", None), ("DELETE", "", None), ("PUT", "/hold", {"reason": "x"}), ("DELETE", "/hold", None),
        ):  # fmt: skip
            status, told = await house.ask(method, f"/withdrawals/{other}{path}", body, who=who)
            assert (status, told["detail"].replace(other[2:], "")) == (404, none)
        status, told = await house.withdraw(client, "0.1", who=who)
        assert (status, told["code"]) == (404, "not_found")
        assert (await house.ask("GET", f"/clients/{client}", who=who))[0] == 404
    assert (await house.withdraw("org_tenant:unknown", who=ANYBODY))[0] == 404
    assert (await house.ask("PUT", f"/withdrawals/{theirs}/resolution", {"ref": ""}, who=TENANT))[0] == 403
    listed = (await house.ask("GET", "/clients", who=TENANT))[1]["data"]
    assert listed == [{"id": tina, "name": "tina"}]
    assert [one["id"] for one in (await house.ask("GET", "/clients"))[1]["data"]] == ["ulla"]
    assert house.services.custody.store.find(theirs).state is State.REQUESTED


async def test_the_same_idempotency_key_of_two_organisations_is_two_withdrawals(house):
    tina = await house.tenant_client()
    mine = (await house.withdraw("ulla", key="the-same-key"))[1]
    theirs = (await house.withdraw(tina, "0.1", who=TENANT, key="the-same-key"))[1]
    assert mine["id"] != theirs["id"]


async def test_a_client_is_told_what_it_is_owed_and_registered_once(house):
    await house.withdraw()
    found = (await house.ask("GET", "/clients/ulla"))[1]
    assert found["balances"] == [
        {
            "asset": COIN.id, "symbol": "ETH", "available": "3.499999999999999993",
            "available_raw": "3499999999999999993", "pending_raw": "0", "held_raw": "1500000000000000007",
        }
    ]  # fmt: skip
    for _ in range(2):
        assert await house.ask("POST", "/clients", {"name": "vera"}) == (201, {"id": "vera", "name": "vera"})
    assert (await house.ask("POST", "/clients", {"name": "org_zoe"}))[1] == {"id": "org_zoe", "name": "org_zoe"}
    assert [one["id"] for one in (await house.ask("GET", "/clients?limit=3"))[1]["data"]] == ["org_zoe", "ulla", "vera"]
    house.owe("org_tenant:eve")  # Somebody's name in the books before the tenant takes it.
    assert (await house.ask("POST", "/clients", {"name": "eve"}, who=TENANT))[0] == 409


async def test_a_caller_of_some_portfolios_has_no_custody(house):
    some = replace(ANYBODY, portfolios=frozenset({"pf_1"}))
    for path in ("/withdrawals", "/approvals", "/clients"):
        assert (await house.ask("GET", path, who=some))[1]["code"] == "all_portfolios_only"


async def test_webhooks_hear_of_each_step_in_its_own_transaction(house):
    with house.services.database.transaction() as session:
        for who in (ANYBODY, TENANT):
            session.add(
                EndpointRow(
                    id=f"whk_{who.user}", organisation=who.organisation, url="https://example.com", description="",
                    kinds="", enabled=True, created_ns=1,
                )
            )  # fmt: skip
    made = (await house.withdraw())[1]
    assert (await house.withdraw(amount="100"))[0] == 403
    await house.ask("DELETE", f"/withdrawals/{made['id']}")
    with house.services.database.snapshot() as session:
        events = [(row.organisation, row.kind, json.loads(row.body)["data"]) for row in session.exec(select(EventRow))]
    assert sorted((of, kind) for of, kind, _ in events) == [
        (ANYBODY.organisation, "withdrawal.changed"), (ANYBODY.organisation, "withdrawal.ended"),
    ]  # fmt: skip
    assert all((data["id"], data["raw"]) == (made["id"], str(15 * 10**17)) for _, _, data in events)


async def test_without_a_persons_confirmation_nothing_is_asked_for(house):
    house.client.app.state.gate = house.services.auth.gate
    owner = Caller.owner(house.client, house.services, "acme")
    body = {"client": "ulla", "asset": "ETH", "amount": "1", "to": {"address": RECIPIENT}}
    status, told = await owner.ask("POST", "/v1/withdrawals", body)
    assert (status, told["code"]) == (403, "step_up_required")
    assert house.owed("ulla") == 5 * 10**18
