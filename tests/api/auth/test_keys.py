"""API keys: made with a person's confirmation, for less than their maker may do, seen by their organisation alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from api.auth.tables import ApiKeyRow, MembershipRow
from custody.audit import list_audit
from tests.api.callers import Caller
from tests.api.lab import START_NS

KEYS = "/v1/keys"
NEW = {"name": "maker", "algorithm": "hmac-sha256", "scopes": ["orders:read", "orders:write"]}


async def test_a_key_is_shown_once_with_its_secret_and_then_without(owner):
    status, made = await owner.ask("POST", KEYS, NEW, confirmed=True)
    assert status == 201
    assert len(made["secret"]) == 43
    assert made["created_at"] == datetime.fromtimestamp(START_NS // 10**9, UTC).isoformat().replace("+00:00", "Z")
    status, shown = await owner.ask("GET", f"{KEYS}/{made['id']}")
    assert status == 200
    assert "secret" not in shown
    assert shown == {name: value for name, value in made.items() if name != "secret"}


async def test_the_database_does_not_hold_the_secret(owner, services):
    _, made = await owner.ask("POST", KEYS, NEW, confirmed=True)
    with services.database.snapshot() as session:
        row = session.get(ApiKeyRow, made["id"])
        assert made["secret"] not in json.dumps(row.model_dump())


async def test_making_a_key_needs_a_persons_confirmation(owner):
    status, problem = await owner.ask("POST", KEYS, NEW)
    assert (status, problem["code"]) == (403, "step_up_required")
    assert len((await owner.ask("GET", KEYS))[1]["data"]) == 1


@pytest.mark.parametrize(
    "change",
    [{"user": "usr_somebodyelse1234"}, {"organisation": "org_elsewhere1234567"}, {"digest": "00" * 32}],
)
async def test_anothers_confirmation_or_one_of_another_request_does_not_count(owner, change):
    body = json.dumps(NEW).encode()
    headers = owner.headers("POST", KEYS, body) | owner.confirm("POST", KEYS, body, **change)
    answer = await owner.client.full("POST", KEYS, body, headers=headers)
    assert (answer.status, json.loads(answer.body)["code"]) == (403, "invalid_step_up")


async def test_a_confirmation_is_good_once_and_for_two_minutes(owner, services):
    body = json.dumps(NEW).encode()
    confirmed = owner.confirm("POST", KEYS, body)

    async def send(with_confirmation):
        headers = owner.headers("POST", KEYS, body) | with_confirmation
        return (await owner.client.full("POST", KEYS, body, headers=headers)).status

    assert await send(confirmed) == 201
    assert await send(confirmed) == 403
    late = owner.confirm("POST", KEYS, body)
    services.clock.advance(seconds=121)
    assert await send(late) == 403


async def test_nobody_gives_a_key_what_one_does_not_have(owner, services):
    less = await owner.with_key(scopes=["keys:read", "keys:write"], portfolios=["main"])
    status, problem = await less.ask("POST", KEYS, NEW, confirmed=True)
    assert (status, problem["code"]) == (403, "missing_scope")
    request = NEW | {"scopes": ["keys:read"], "portfolios": ["other"]}
    status, problem = await less.ask("POST", KEYS, request, confirmed=True)
    assert (status, problem["code"]) == (403, "foreign_portfolio")
    status, made = await less.ask("POST", KEYS, NEW | {"scopes": ["keys:read"]}, confirmed=True)
    assert (status, made["portfolios"]) == (201, ["main"])  # "all" means all of one's own


async def test_a_revoked_key_is_none_at_once_and_revoking_needs_no_confirmation(owner):
    other = await owner.with_key(scopes=["keys:read"])
    assert (await other.ask("GET", KEYS))[0] == 200
    status, gone = await owner.ask("DELETE", f"{KEYS}/{other.key}")
    assert status == 200
    assert gone["revoked_at"]
    assert (await other.ask("GET", KEYS))[0] == 401
    again = (await owner.ask("DELETE", f"{KEYS}/{other.key}"))[1]
    assert again["revoked_at"] == gone["revoked_at"]  # a second time changes nothing


async def test_a_key_ends_when_it_was_made_to_end(owner, services):
    other = await owner.with_key(scopes=["keys:read"], expires_in_days=1)
    assert (await other.ask("GET", KEYS))[0] == 200
    services.clock.advance(seconds=86_400)
    assert (await other.ask("GET", KEYS))[0] == 401


async def test_an_allow_list_keeps_others_out_and_needs_a_confirmation_to_change(owner):
    other = await owner.with_key(scopes=["keys:read"], networks=["203.0.113.0/24", "2001:db8::/32"])
    for address, expected in [
        ("203.0.113.7", 200), ("::ffff:203.0.113.7", 200), ("2001:db8::1", 200), ("198.51.100.1", 403), ("::1", 403)
    ]:  # fmt: skip
        other.address = address
        assert (await other.ask("GET", KEYS))[0] == expected, address
    path, wider = f"{KEYS}/{other.key}/networks", {"networks": ["0.0.0.0/0"]}
    assert (await owner.ask("PUT", path, wider))[0] == 403
    assert (await owner.ask("PUT", path, wider, confirmed=True))[1]["networks"] == ["0.0.0.0/0"]
    other.address = "198.51.100.1"
    assert (await other.ask("GET", KEYS))[0] == 200


async def test_another_organisation_sees_and_changes_nothing(owner, client, services):
    stranger = Caller.owner(client, services, "globex")
    path = f"{KEYS}/{owner.key}"
    for method, where, body in [
        ("GET", path, None),
        ("DELETE", path, None),
        ("PUT", f"{path}/networks", {"networks": []}),
    ]:
        status, problem = await stranger.ask(method, where, body, confirmed=True)
        assert (status, problem["code"]) == (404, "not_found")
    listed = (await stranger.ask("GET", KEYS))[1]["data"]
    assert [key["id"] for key in listed] == [stranger.key]
    assert (await owner.ask("GET", KEYS))[0] == 200


async def test_a_list_has_pages_and_a_cursor_is_its_organisations_own(owner, client, services):
    made = [owner.key]
    for _ in range(4):
        services.clock.advance(seconds=1)
        made.append((await owner.with_key()).key)
    seen, cursor = [], None
    while True:
        _, page = await owner.ask("GET", f"{KEYS}?limit=2" + (f"&cursor={cursor}" if cursor else ""))
        seen += [key["id"] for key in page["data"]]
        first, cursor = cursor, page["next"]
        if cursor is None:
            break
    assert seen == made[::-1]
    stranger = Caller.owner(client, services, "globex")
    status, problem = await stranger.ask("GET", f"{KEYS}?cursor={first}")
    assert (status, problem["code"]) == (400, "invalid_cursor")


@pytest.mark.parametrize(
    "change",
    [
        {"scopes": []}, {"scopes": ["orders:everything"]}, {"algorithm": "rsa"}, {"algorithm": "ed25519"},
        {"algorithm": "ed25519", "public_key": "AAAA"}, {"public_key": "A" * 43}, {"networks": ["10.0.0.1/8"]},
        {"networks": ["nowhere"]}, {"name": ""}, {"expires_in_days": 0}, {"surprise": 1},
    ],
)  # fmt: skip
async def test_what_is_no_key_request_is_refused(owner, change):
    status, problem = await owner.ask("POST", KEYS, NEW | change, confirmed=True)
    assert (status, problem["code"]) == (422, "invalid_request")
    assert len((await owner.ask("GET", KEYS))[1]["data"]) == 1


async def test_what_happens_to_keys_is_in_the_audit_log(owner, services):
    other = await owner.with_key()
    await owner.ask("DELETE", f"{KEYS}/{other.key}")
    with services.database.snapshot() as session:
        kinds = [record.kind for record in list_audit(session)]
    assert kinds == ["organisation.created", "key.created", "key.revoked"]


async def test_the_last_use_is_written_down(owner, services):
    await owner.ask("GET", KEYS)
    await services.batches.run(lambda session: None)  # queued behind it
    assert (await owner.ask("GET", f"{KEYS}/{owner.key}"))[1]["used_at"] == "2027-01-15T08:00:00Z"


async def test_a_member_of_one_portfolio_has_keys_of_one_portfolio(owner, services):
    with services.database.transaction() as session:
        session.get(MembershipRow, (owner.organisation, owner.user)).portfolios = '["main"]'
    services.clock.advance(seconds=1)
    status, made = await owner.ask("POST", KEYS, NEW, confirmed=True)
    assert (status, made["portfolios"]) == (201, ["main"])
