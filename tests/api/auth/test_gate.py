"""Signed requests to the whole application: who passes, and every way to try without being let in."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from starlette.requests import HTTPConnection

from api.auth import Principal
from api.auth.tables import MembershipRow, OrganisationRow, UserRow
from api.core.errors import Unauthenticated
from api.v1.stream import stream
from runtime.base64url import encode64
from tests.api.callers import Caller, Person
from tests.api.lab import Client, api_services, application
from tests.api.streams.socket import Socket

READ = "/v1/keys"


@contextmanager
def house(tmp_path, url=""):
    with api_services(tmp_path, url=url) as services:
        yield services, Client(application(services))


def connection(address="127.0.0.1"):
    return HTTPConnection({"type": "websocket", "client": (address, 1), "headers": []})


def code(answer):
    problem = json.loads(answer.body)
    return answer.status, problem["code"]


async def test_a_signed_request_passes_and_says_what_is_left_of_the_rate(owner):
    answer = await owner.full("GET", READ)
    assert answer.status == 200
    assert answer.headers["ratelimit-limit"] == "1200"
    assert answer.headers["ratelimit-remaining"] == "1199"


async def test_nobody_is_told_how_to_say_who_one_is(client):
    answer = await client.full("GET", READ)
    assert code(answer) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("authorization", ["Bearer ", "Bearer x.y.z", "Basic abc", "bearer", "Bearer é"])
async def test_tokens_that_are_none_of_ours_are_refused(client, authorization):
    answer = await client.full("GET", READ, headers={"authorization": authorization})
    assert answer.status == 401


async def test_a_request_passes_once(owner):
    headers = owner.headers("GET", READ)
    assert (await owner.client.full("GET", READ, headers=headers)).status == 200
    assert code(await owner.client.full("GET", READ, headers=headers)) == (401, "replayed_request")


async def test_of_many_copies_at_once_one_passes(owner):
    headers = owner.headers("GET", READ)
    answers = await asyncio.gather(*(owner.client.full("GET", READ, headers=headers) for _ in range(20)))
    assert sorted(answer.status for answer in answers) == [200] + [401] * 19


async def test_a_nonce_is_remembered_for_as_long_as_its_request_is_good(owner, services):
    headers = owner.headers("GET", READ, window_ms=30_000)
    assert (await owner.client.full("GET", READ, headers=headers)).status == 200
    services.clock.advance(seconds=29.9)
    assert code(await owner.client.full("GET", READ, headers=headers)) == (401, "replayed_request")
    services.clock.advance(seconds=0.2)
    assert code(await owner.client.full("GET", READ, headers=headers)) == (401, "stale_request")


@pytest.mark.parametrize("late_ms", [-1_001, 5_001, 3_600_000])
async def test_skewed_clocks_are_refused_and_told_ours(owner, services, late_ms):
    now_ms = services.clock.now_ns() // 1_000_000
    headers = owner.headers("GET", READ, now_ms=now_ms - late_ms)
    answer = await owner.client.full("GET", READ, headers=headers)
    assert code(answer) == (401, "stale_request")
    assert str(now_ms) in json.loads(answer.body)["hint"]


async def test_what_was_signed_before_this_server_started_is_refused(owner):
    # Its predecessor may have answered it a moment ago, and its nonces are gone.
    headers = owner.headers("GET", READ, now_ms=owner.services.clock.now_ns() // 1_000_000 - 1)
    assert code(await owner.client.full("GET", READ, headers=headers)) == (401, "stale_request")


BODY = b'{"networks": []}'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("DELETE", "/v1/keys/key_aaaaaaaaaaaaaaaa", b""),
        ("GET", "/v1/keys", b""),
        ("PUT", "/v1/keys/key_aaaaaaaaaaaaaaaa/networks?x=1", BODY),
        ("PUT", "/v1/keys/key_aaaaaaaaaaaaaaab/networks", BODY),
        ("PUT", "/v1/keys/key_aaaaaaaaaaaaaaaa/networks", BODY + b" "),
    ],
)
async def test_a_signature_for_another_request_is_refused(owner, method, path, body):
    headers = owner.headers("PUT", "/v1/keys/key_aaaaaaaaaaaaaaaa/networks", BODY)
    assert code(await owner.client.full(method, path, body, headers=headers)) == (401, "invalid_signature")
    answer = await owner.client.full("GET", READ, headers=owner.headers("GET", READ))
    assert len(json.loads(answer.body)["data"]) == 1  # nothing was changed


async def test_unknown_keys_and_wrong_signatures_are_answered_alike(owner):
    wrong = owner.headers("GET", READ) | {"API-Signature": encode64(bytes(32))}
    unknown = owner.headers("GET", READ) | {"API-Key": "key_aaaaaaaaaaaaaaaa"}
    answers = [await owner.client.full("GET", READ, headers=headers) for headers in (wrong, unknown)]
    told = [json.loads(answer.body) for answer in answers]
    for problem in told:
        del problem["request_id"]
    assert told[0] == told[1]
    assert answers[0].status == 401


async def test_a_signature_and_a_token_at_once_is_refused(owner):
    headers = owner.headers("GET", READ) | {"authorization": "Bearer x"}
    assert (await owner.client.full("GET", READ, headers=headers)).status == 400


async def test_an_ed25519_key_does_what_it_was_made_for_and_no_more(owner):
    secret = Ed25519PrivateKey.generate()
    public = encode64(secret.public_key().public_bytes_raw())
    reader = await owner.with_key(secret, algorithm="ed25519", public_key=public, scopes=["keys:read"])
    assert (await reader.ask("GET", READ))[0] == 200
    status, problem = await reader.ask("DELETE", f"/v1/keys/{owner.key}")
    assert (status, problem["code"]) == (403, "missing_scope")


async def test_a_role_that_is_taken_away_is_gone_within_a_second(owner, services):
    assert (await owner.ask("GET", READ))[0] == 200
    with services.database.transaction() as session:
        session.get(MembershipRow, (owner.organisation, owner.user)).roles = "viewer"
    services.clock.advance(seconds=1)
    status, problem = await owner.ask("GET", READ)
    assert (status, problem["code"]) == (403, "missing_scope")


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (UserRow, {"disabled_ns": 1}),
        (OrganisationRow, {"closed_ns": 1}),
    ],
)
async def test_keys_of_people_and_organisations_that_are_gone_are_none(owner, services, row, change):
    assert (await owner.ask("GET", READ))[0] == 200
    with services.database.transaction() as session:
        found = session.get(row, owner.user if row is UserRow else owner.organisation)
        for name, value in change.items():
            setattr(found, name, value)
    services.clock.advance(seconds=1)
    assert (await owner.ask("GET", READ))[0] == 401


async def test_a_member_that_was_removed_takes_its_keys_along(owner, services):
    with services.database.transaction() as session:
        session.delete(session.get(MembershipRow, (owner.organisation, owner.user)))
    services.clock.advance(seconds=1)
    assert (await owner.ask("GET", READ))[0] == 401


async def test_calls_beyond_the_rate_are_refused_until_it_has_flowed_off(owner, services):
    with services.database.transaction() as session:
        session.get(OrganisationRow, owner.organisation).rate_limit = 60
    answers = [await owner.full("GET", READ) for _ in range(61)]
    assert [answer.status for answer in answers] == [200] * 60 + [429]
    assert answers[-1].headers["retry-after"] == "1"
    services.clock.advance(seconds=1)
    assert (await owner.full("GET", READ)).status == 200


async def test_an_address_that_is_wrong_too_often_is_told_so(owner):
    seen = []
    for _ in range(70):
        headers = owner.headers("GET", READ) | {"API-Signature": encode64(bytes(32))}
        seen.append((await owner.client.full("GET", READ, headers=headers, address="203.0.113.9")).status)
    assert seen == [401] * 60 + [429] * 10
    assert (await owner.full("GET", READ)).status == 200  # from elsewhere, and right


async def test_a_stream_opens_and_stays_where_the_allow_list_has_its_caller(owner, services):
    gate = services.auth.gate
    listed = await owner.with_key(networks=["127.0.0.1"])
    words = [(await listed.ask("POST", "/v1/stream-tickets"))[1]["ticket"] for _ in range(2)]
    with pytest.raises(Unauthenticated, match="may not be here"):
        await gate.ticket(words[0], connection("198.51.100.1"))
    who = await gate.ticket(words[1], connection())
    assert await gate.still(who, connection()) == who
    path = f"{READ}/{listed.key}/networks"
    assert (await owner.ask("PUT", path, {"networks": ["198.51.100.0/24"]}, confirmed=True))[0] == 200
    assert await gate.still(who, connection()) is None


@pytest.mark.parametrize(("networks", "heard"), [(["127.0.0.1"], "ready"), ([], "ready"), (None, "closed")])
async def test_the_stream_looks_at_its_caller_again_as_it_opens(owner, services, client, networks, heard):
    key = await owner.with_key()
    word = (await key.ask("POST", "/v1/stream-tickets"))[1]["ticket"]
    if networks is None:
        assert (await owner.ask("DELETE", f"{READ}/{key.key}"))[0] == 200
    else:
        path = f"{READ}/{key.key}/networks"
        assert (await owner.ask("PUT", path, {"networks": networks}, confirmed=True))[0] == 200
    socket = Socket(f"ticket={word}")
    socket.server.scope["app"] = client.app
    serving = asyncio.create_task(stream(socket.server))
    assert (await socket.hear())["t"] == heard
    socket.leave()
    async with asyncio.timeout(60):
        await serving


async def test_both_databases_admit_refuse_and_let_pass_once(tmp_path, database_url: str):
    with house(tmp_path, database_url) as (services, client):
        owner = Caller.owner(client, services)
        other = Caller.owner(client, services, "globex")
        assert (await owner.ask("GET", READ))[0] == 200
        assert (await owner.ask("GET", f"{READ}/{other.key}"))[0] == 404
        made = await owner.with_key(scopes=["keys:read"])
        assert [key["id"] for key in (await made.ask("GET", READ))[1]["data"]] == sorted([made.key, owner.key])

        ann = Person.owner(owner)
        login = {"email": ann.email, "password": ann.password, "code": ann.code()}
        answers = await asyncio.gather(*(ann.send("POST", "/v1/auth/login", login) for _ in range(4)))
        assert sorted(status for status, _ in answers) == [200, 401, 401, 401]  # a code passes once
        ann.tokens = next(tokens for status, tokens in answers if status == 200)
        bob = await ann.invite("bob@acme.example", "viewer")
        token = bob.tokens["refresh_token"]
        answers = await asyncio.gather(*(bob.refresh(token) for _ in range(4)))
        assert sum(status == 200 for status, _ in answers) == 1  # a refresh token passes once
        request = {"name": "x", "algorithm": "hmac-sha256", "scopes": ["keys:read"]}
        word = await ann.step_up("POST", READ, request)
        answers = await asyncio.gather(*(ann.ask("POST", READ, request, step_up=word) for _ in range(4)))
        assert sorted(status for status, _ in answers) == [201, 403, 403, 403]  # a confirmation passes once
        _, ticket = await ann.ask("POST", "/v1/stream-tickets")
        found = await asyncio.gather(
            *(services.auth.gate.ticket(ticket["ticket"], connection()) for _ in range(4)), return_exceptions=True
        )
        assert sum(isinstance(one, Principal) for one in found) == 1
        assert (await ann.ask_confirmed("DELETE", "/v1/auth/totp"))[0] == 200
