"""People at the door: passwords, codes, refresh tokens, and who tries with none of them."""

from __future__ import annotations

import asyncio
import threading
from base64 import b32decode

import pytest
from sqlmodel import select
from starlette.requests import HTTPConnection

from api.auth.tables import MembershipRow, RecoveryCodeRow, SessionRow, UserRow
from api.core.errors import Unauthenticated
from custody.audit import list_audit
from tests.api.callers import Caller, Person

HERE = HTTPConnection({"type": "websocket", "client": ("127.0.0.1", 1), "headers": []})
LOGIN, ME = "/v1/auth/login", "/v1/auth/me"


def credentials(person, **changes):
    return {"email": person.email, "password": person.password} | changes


async def test_who_has_password_and_code_is_told_who_it_is(ann, owner):
    status, me = await ann.ask("GET", ME)
    assert status == 200
    assert (me["actor"], me["organisation"], me["has_totp"]) == (f"user:{owner.user}", owner.organisation, True)
    assert "withdrawals:write" in me["scopes"]


@pytest.mark.parametrize(
    "change", [{"password": "wrong"}, {"email": "nobody@acme.example"}, {"code": "000000"}, {"code": "abc"}]
)
async def test_whatever_is_wrong_is_answered_alike(owner, change):
    ann = Person.owner(owner)
    status, problem = await ann.send("POST", LOGIN, credentials(ann, code=ann.code()) | change)
    assert (status, problem["code"]) == (401, "invalid_login")


async def test_a_password_alone_is_not_enough_for_who_has_a_second_factor(owner):
    ann = Person.owner(owner)
    status, problem = await ann.send("POST", LOGIN, credentials(ann))
    assert (status, problem["code"]) == (401, "second_factor_required")


async def test_a_code_logs_in_once(owner):
    ann = Person.owner(owner)
    request = credentials(ann, code=ann.code())
    answers = await asyncio.gather(*(ann.send("POST", LOGIN, request) for _ in range(4)))
    assert sorted(status for status, _ in answers) == [200, 401, 401, 401]


async def test_who_guesses_codes_is_locked_out_even_with_the_right_one_and_let_in_later(owner, services):
    ann = Person.owner(owner)
    for guess in range(5):
        assert (await ann.send("POST", LOGIN, credentials(ann, code=f"{guess:06}")))[0] == 401
    status, problem = await ann.send("POST", LOGIN, credentials(ann, code=ann.code()))
    assert (status, problem["code"]) == (401, "locked")
    services.clock.advance(seconds=61)
    await ann.log_in()
    with services.database.snapshot() as session:
        assert session.exec(select(UserRow.failures)).one() == 0


async def test_attempts_are_counted_by_person_and_by_address(owner):
    ann = Person.owner(owner)
    seen = []
    for number in range(12):
        ann.address = f"203.0.113.{number}"
        seen.append((await ann.send("POST", LOGIN, credentials(ann, password="wrong")))[0])
    assert seen == [401] * 10 + [429] * 2
    ann.address, seen = "198.51.100.1", []
    for number in range(22):
        request = {"email": f"user{number}@acme.example", "password": "wrong"}
        seen.append((await ann.send("POST", LOGIN, request))[0])
    assert seen == [401] * 20 + [429] * 2
    seen = []
    for number in range(22):
        ann.address = f"2001:db8::{number + 1:x}"
        request = {"email": f"other{number}@acme.example", "password": "wrong"}
        seen.append((await ann.send("POST", LOGIN, request))[0])
    assert seen == [401] * 20 + [429] * 2


async def test_attempts_at_a_password_are_counted_by_whatever_route_it_is_tried(ann, owner, client, services):
    bob = await ann.invite("bob@acme.example", "viewer")
    services.clock.advance(seconds=60)
    request = {"current": "wrong", "new": "tractor plum seven lake"}
    assert [(await bob.ask("POST", "/v1/auth/password", request))[0] for _ in range(12)] == [401] * 10 + [429] * 2
    services.clock.advance(seconds=60)

    globex = await Person.owner(Caller.owner(client, services, "globex")).log_in()
    _, made = await globex.ask_confirmed("POST", "/v1/users", {"email": bob.email, "name": "B", "roles": ["viewer"]})
    seen, guess = [], {"invitation": made["invitation"], "password": "wrong"}
    for number in range(12):
        bob.address = f"203.0.113.{number}"
        seen.append((await bob.send("POST", "/v1/auth/invitations", guess))[0])
    assert seen == [401] * 10 + [429] * 2
    assert (await bob.send("POST", LOGIN, credentials(bob)))[0] == 429  # all of them count together


async def test_an_access_token_is_over_after_ten_minutes_and_a_refresh_gives_the_next(ann, services):
    services.clock.advance(seconds=600)
    status, problem = await ann.ask("GET", ME)
    assert (status, problem["code"]) == (401, "expired_token")
    assert (await ann.refresh())[0] == 200
    assert (await ann.ask("GET", ME))[0] == 200


async def test_a_refresh_token_that_comes_back_ends_its_session(ann, services):
    stolen = ann.tokens["refresh_token"]
    await ann.refresh()
    await ann.refresh()
    assert (await ann.ask("GET", ME))[0] == 200
    status, problem = await ann.refresh(stolen)
    assert (status, problem["code"]) == (401, "reused_token")
    status, problem = await ann.refresh()  # the newest one is over too
    assert (status, problem["code"]) == (401, "session_over")
    services.clock.advance(seconds=1)
    assert (await ann.ask("GET", ME))[0] == 401  # and so is the access token, within a second


async def test_of_two_who_refresh_at_once_one_gets_the_next_and_the_session_ends(ann):
    token = ann.tokens["refresh_token"]
    answers = await asyncio.gather(ann.refresh(token), ann.refresh(token))
    assert sorted(status for status, _ in answers) == [200, 401]
    following = next(answer["refresh_token"] for status, answer in answers if status == 200)
    assert (await ann.refresh(following))[1]["code"] == "session_over"


async def test_tampered_refresh_tokens_are_none_and_end_nothing(ann):
    token = ann.tokens["refresh_token"]
    name, number, mac = token.split(".")
    flipped = mac[:-1] + ("A" if mac[-1] != "A" else "E")
    for forged in (
        f"{name}.{int(number) + 1}.{mac}", f"rt_{'a' * 16}.{number}.{mac}", f"{name}.{number}.{flipped}", token + "=",
        token[:-1], f"{name}.0{number}.{mac}", "", "rt_..", token.upper(),
    ):  # fmt: skip
        assert (await ann.refresh(forged))[1]["code"] in ("invalid_token", "invalid_request"), forged
    assert (await ann.refresh())[0] == 200


async def test_a_session_that_was_not_refreshed_for_two_weeks_is_over(ann, services):
    services.clock.advance(seconds=14 * 86_400)
    assert (await ann.refresh())[1]["code"] == "session_over"


async def test_a_session_is_over_after_ninety_days_whatever_was_refreshed(ann, services):
    for _ in range(9):
        services.clock.advance(seconds=9.9 * 86_400)
        assert (await ann.refresh())[0] == 200
    services.clock.advance(seconds=1 * 86_400)
    assert (await ann.refresh())[1]["code"] == "session_over"


async def test_logging_out_ends_the_session_at_once(ann):
    assert (await ann.ask("POST", "/v1/auth/logout"))[0] == 200
    assert (await ann.ask("GET", ME))[0] == 401
    assert (await ann.refresh())[0] == 401


async def test_a_person_ends_one_session_from_another_and_nobody_elses(ann, owner, services, client):
    phone = await Person.owner(owner).log_in()
    stranger = await Person.owner(Caller.owner(client, services, "globex")).log_in()
    path = f"/v1/auth/sessions/{phone.tokens['session']}"
    assert (await stranger.ask("DELETE", path))[0] == 404
    _, listed = await ann.ask("GET", "/v1/auth/sessions")
    assert {entry["id"]: entry["is_current"] for entry in listed} == {
        ann.tokens["session"]: True, phone.tokens["session"]: False
    }  # fmt: skip
    assert (await ann.ask("DELETE", path))[0] == 200
    assert (await phone.ask("GET", ME))[0] == 401


async def test_keys_do_not_manage_passwords_and_factors(owner):
    for method, path, body in [
        ("POST", "/v1/auth/totp", None), ("GET", "/v1/auth/sessions", None), ("POST", "/v1/auth/logout", None),
        ("POST", "/v1/auth/password", {"current": "x", "new": "y" * 12}),
    ]:  # fmt: skip
        status, problem = await owner.ask(method, path, body)
        assert (status, problem["code"]) == (403, "person_required")


async def test_a_new_password_ends_every_other_session(ann, owner, services):
    phone = await Person.owner(owner).log_in()
    request = {"current": ann.password, "code": ann.code(), "new": "tractor plum seven lake"}
    assert (await ann.ask("POST", "/v1/auth/password", request | {"current": "wrong"}))[0] == 401
    for weak in ("short", "aaaaaaaaaaaaaaaa", "owner-is-my-name"):
        request["code"] = ann.code()
        assert (await ann.ask("POST", "/v1/auth/password", request | {"new": weak}))[0] == 422
    request["code"] = ann.code()
    status, ended = await ann.ask("POST", "/v1/auth/password", request)
    assert (status, ended["sessions"]) == (200, [phone.tokens["session"]])
    assert (await phone.ask("GET", ME))[0] == 401
    assert (await ann.ask("GET", ME))[0] == 200
    ann.password = request["new"]
    services.clock.advance(seconds=60)
    await ann.log_in()


async def test_a_first_seed_wants_a_fresh_login_and_a_second_one_the_first(ann, services):
    bob = await ann.invite("bob@acme.example", "trader")
    stale = await Person(bob.client, services, bob.email, bob.password, None).log_in()
    services.clock.advance(seconds=901)
    await stale.refresh()
    assert (await stale.ask("POST", "/v1/auth/totp"))[1]["code"] == "fresh_login_required"
    await bob.log_in()
    status, seed = await bob.ask("POST", "/v1/auth/totp")
    assert status == 201
    bob.seed = b32decode(seed["seed"])
    assert (await bob.ask("POST", "/v1/auth/totp/confirmation", {"code": "000000"}))[0] == 401
    status, codes = await bob.ask("POST", "/v1/auth/totp/confirmation", {"code": bob.code()})
    assert (status, len(set(codes["codes"]))) == (200, 10)
    status, problem = await bob.send("POST", LOGIN, credentials(bob))
    assert problem["code"] == "second_factor_required"
    assert (await bob.ask("POST", "/v1/auth/totp"))[1]["code"] == "step_up_required"
    assert (await bob.ask_confirmed("POST", "/v1/auth/totp"))[0] == 409

    lost = codes["codes"][0]
    assert (await bob.send("POST", LOGIN, credentials(bob, code=lost)))[0] == 200
    assert (await bob.send("POST", LOGIN, credentials(bob, code=lost)))[0] == 401
    with services.database.snapshot() as session:
        kept = session.exec(select(RecoveryCodeRow.digest)).all()
    assert len(kept) == 9
    assert not set(kept) & set(codes["codes"])

    assert (await bob.ask_confirmed("DELETE", "/v1/auth/totp"))[0] == 200
    assert (await bob.send("POST", LOGIN, credentials(bob)))[0] == 200


async def test_a_seed_that_nobody_proved_in_time_is_none(ann, services):
    bob = await ann.invite("bob@acme.example", "trader")
    _, seed = await bob.ask("POST", "/v1/auth/totp")
    bob.seed = b32decode(seed["seed"])
    services.clock.advance(seconds=15 * 60)
    await bob.refresh()
    status, problem = await bob.ask("POST", "/v1/auth/totp/confirmation", {"code": bob.code()})
    assert (status, problem["code"]) == (401, "invalid_code")
    assert (await bob.ask("GET", ME))[1]["has_totp"] is False


async def test_new_recovery_codes_take_the_place_of_the_old_and_are_written_down(ann, services):
    codes = [(await ann.ask_confirmed("POST", "/v1/auth/recovery-codes"))[1]["codes"] for _ in range(2)]
    assert (await ann.send("POST", LOGIN, credentials(ann, code=codes[0][0])))[0] == 401
    assert (await ann.send("POST", LOGIN, credentials(ann, code=codes[1][0])))[0] == 200
    with services.database.snapshot() as session:
        kinds = [record.kind for record in list_audit(session)]
    assert kinds.count("user.recovery-codes-renewed") == 2


async def test_a_confirmation_by_code_lets_one_request_pass_once(ann):
    request = {"name": "maker", "algorithm": "hmac-sha256", "scopes": ["orders:read"]}
    word = await ann.step_up("POST", "/v1/keys", request)
    status, problem = await ann.ask("POST", "/v1/keys", request | {"scopes": ["keys:write"]}, step_up=word)
    assert (status, problem["code"]) == (403, "invalid_step_up")
    assert (await ann.ask("POST", "/v1/keys", request, step_up=word))[0] == 403  # trying has used it up
    assert (await ann.ask_confirmed("POST", "/v1/keys", request))[0] == 201


async def test_a_challenge_is_answered_once_by_the_person_it_is_for(ann, services):
    bob = await ann.invite("bob@acme.example", "admin")
    _, begun = await ann.ask("POST", "/v1/auth/step-ups", {"digest": "ab" * 32})
    answer = {"challenge": begun["challenge"], "code": ann.code()}
    path = "/v1/auth/step-ups/confirmation"
    assert (await bob.ask("POST", path, answer))[1]["code"] == "invalid_step_up"
    assert (await ann.ask("POST", path, answer | {"code": "000000"}))[0] == 403
    assert (await ann.ask("POST", path, answer))[0] == 403  # a wrong code has used it up
    assert (await bob.ask("POST", "/v1/auth/step-ups", {"digest": "ab" * 32}))[1]["code"] == "no_factor"


async def test_who_is_in_several_organisations_says_which(ann, owner, services, client):
    globex = Caller.owner(client, services, "globex")
    with services.database.transaction() as session:
        session.add(MembershipRow(organisation=globex.organisation, user=owner.user, roles="viewer", created_ns=1))
    status, problem = await ann.send("POST", LOGIN, credentials(ann, code=ann.code()))
    assert (status, problem["code"]) == (400, "organisation_required")
    await ann.log_in(organisation="globex")
    _, me = await ann.ask("GET", ME)
    assert me["organisation"] == globex.organisation
    assert "orders:write" not in me["scopes"]
    status, problem = await ann.send("POST", LOGIN, credentials(ann, code=ann.code(), organisation="other"))
    assert (status, problem["code"]) == (403, "no_membership")


async def test_a_ticket_opens_once_for_half_a_minute_and_falls_with_its_role(ann, owner, services):
    auth = services.auth
    _, made = await ann.ask("POST", "/v1/stream-tickets")
    who = await auth.tickets.redeem(made["ticket"])
    assert (who.user, who.organisation) == (owner.user, owner.organisation)
    with pytest.raises(Unauthenticated, match="used"):
        await auth.gate.ticket(made["ticket"], HERE)
    assert await auth.gate.still(who, HERE) == who
    with services.database.transaction() as session:
        session.get(MembershipRow, (owner.organisation, owner.user)).roles = "viewer"
    services.clock.advance(seconds=1)
    now = await auth.gate.still(who, HERE)
    assert now is not None
    assert not now.may("orders:write")
    with services.database.transaction() as session:
        session.get(SessionRow, who.session).revoked_ns = 1
    services.clock.advance(seconds=1)
    assert await auth.gate.still(who, HERE) is None
    _, late = await owner.ask("POST", "/v1/stream-tickets")
    services.clock.advance(seconds=31)
    with pytest.raises(Unauthenticated, match="over"):
        await auth.gate.ticket(late["ticket"], HERE)


async def test_of_many_tickets_at_once_each_opens_once_as_whoever_asked_for_it(owner, services, client):
    other = Caller.owner(client, services, "globex")
    callers = [owner, other] * 6
    made = await asyncio.gather(*(caller.ask("POST", "/v1/stream-tickets") for caller in callers))
    words = [answer["ticket"] for _, answer in made]
    assert len(set(words)) == len(words)
    # Queued behind one that waits, all of them are one batch, each twice.
    go = threading.Event()
    services.batches.submit(lambda _session: go.wait(60))
    redeemed = [asyncio.ensure_future(services.auth.tickets.redeem(word)) for word in [*words, *words, "tk_made_up"]]
    await asyncio.sleep(0)
    go.set()
    told = await asyncio.gather(*redeemed, return_exceptions=True)
    assert [who.organisation for who in told[: len(words)]] == [caller.organisation for caller in callers]
    assert all(isinstance(refusal, Unauthenticated) for refusal in told[len(words) :])


async def test_people_are_not_logged_by_password_or_token(ann, capsys):
    stolen = ann.tokens["refresh_token"]
    await ann.log_in()
    await ann.send("POST", LOGIN, credentials(ann, code="000000"))
    for _ in range(2):
        await ann.refresh(stolen)
    told = capsys.readouterr().out
    for event in ("auth.login", "auth.refused", "auth.refresh_token_reused"):
        assert event in told
    for secret in (ann.password, ann.tokens["access_token"], ann.tokens["refresh_token"], stolen):
        assert secret not in told


async def test_the_audit_log_has_confirmations(ann, services):
    await ann.step_up("POST", "/v1/keys", {})
    with services.database.snapshot() as session:
        assert [record.kind for record in list_audit(session)][-1] == "step-up.confirmed"
