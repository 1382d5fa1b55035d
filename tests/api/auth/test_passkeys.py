"""Passkeys: made after a login, good for the next one and for confirmations, and for no other site's."""

from __future__ import annotations

import copy
import json
import random

import pytest

from api.auth.signing import request_digest
from api.auth.tables import PasskeyRow
from runtime.base64url import decode64, encode64
from tests.api.callers import Caller, Person
from tests.support.passkey import PRESENT, SoftPasskey

PASSKEYS = "/v1/auth/passkeys"


@pytest.fixture
async def bob(ann):
    """A member without a second factor."""
    return await ann.invite("bob@acme.example", "admin")


@pytest.fixture
async def phone(bob):
    """Bob's passkey."""
    return await enrol(bob, SoftPasskey("phone"))


async def enrol(person, passkey, **lies):
    _, options = await person.ask("POST", f"{PASSKEYS}/registration")
    request = {"name": "phone", "credential": passkey.make(options["public_key"], **lies)}
    status, made = await person.ask("POST", PASSKEYS, request)
    assert status == 201, made
    return passkey


async def begin(person):
    _, options = await person.send("POST", f"{PASSKEYS}/login/options")
    return options["public_key"]


async def test_a_passkey_logs_in_without_a_name_or_a_password(bob, phone):
    options = await begin(bob)
    assert options["rpId"] == "localhost"
    assert options["userVerification"] == "required"
    status, tokens = await bob.send("POST", f"{PASSKEYS}/login", {"credential": phone.use(options)})
    assert status == 200
    assert tokens["user"] == bob.tokens["user"]
    _, listed = await bob.ask("GET", PASSKEYS)
    assert [(entry["name"], entry["used_at"] is None) for entry in listed] == [("phone", False)]


async def test_a_password_alone_is_not_enough_once_there_is_a_passkey(bob, phone):
    status, problem = await bob.send("POST", "/v1/auth/login", {"email": bob.email, "password": bob.password})
    assert (status, problem["code"]) == (401, "passkey_required")


async def test_an_answer_passes_once_and_for_five_minutes(bob, phone, services):
    options = await begin(bob)
    request = {"credential": phone.use(options)}
    assert (await bob.send("POST", f"{PASSKEYS}/login", request))[0] == 200
    assert (await bob.send("POST", f"{PASSKEYS}/login", request))[0] == 401
    late = {"credential": phone.use(await begin(bob))}
    services.clock.advance(seconds=301)
    assert (await bob.send("POST", f"{PASSKEYS}/login", late))[1]["code"] == "invalid_passkey"


@pytest.mark.parametrize(
    "lies",
    [
        {"origin": "http://evil.example"}, {"type": "webauthn.create"}, {"challenge": "AAAA"}, {"flags": PRESENT},
        {"flags": 0}, {"crossOrigin": True}, {"crossOrigin": None}, {"topOrigin": "http://evil.example"},
    ],
)  # fmt: skip
async def test_other_sites_other_challenges_and_unverified_people_are_refused(bob, phone, lies):
    answer = phone.use(await begin(bob), **lies)
    status, problem = await bob.send("POST", f"{PASSKEYS}/login", {"credential": answer})
    assert (status, problem["code"]) == (401, "invalid_passkey")


async def test_another_sites_authenticator_and_another_key_are_refused(bob, phone):
    options = await begin(bob)
    foreign = SoftPasskey("phone", rp_id="evil.example")
    foreign.counter = 9
    assert (await bob.send("POST", f"{PASSKEYS}/login", {"credential": foreign.use(options)}))[0] == 401
    other = SoftPasskey("other")
    other.id = phone.id
    answer = other.use(await begin(bob))
    assert (await bob.send("POST", f"{PASSKEYS}/login", {"credential": answer}))[0] == 401
    unknown = SoftPasskey("never made").use(await begin(bob))
    assert (await bob.send("POST", f"{PASSKEYS}/login", {"credential": unknown}))[0] == 401


async def test_a_counter_that_goes_backwards_is_a_copy(bob, phone):
    phone.counter = 5
    assert (await bob.send("POST", f"{PASSKEYS}/login", {"credential": phone.use(await begin(bob))}))[0] == 200
    phone.counter = 3
    assert (await bob.send("POST", f"{PASSKEYS}/login", {"credential": phone.use(await begin(bob))}))[0] == 401


async def test_a_passkey_confirms_one_request(bob, phone):
    path, value = "/v1/keys", {"name": "x", "algorithm": "hmac-sha256", "scopes": ["keys:read"]}
    digest = request_digest("POST", path, json.dumps(value).encode()).hex()
    _, begun = await bob.ask("POST", "/v1/auth/step-ups", {"digest": digest})
    assert begun["methods"] == ["passkey"]
    credential = phone.use(begun["public_key"])
    answer = {"challenge": begun["challenge"], "credential": credential}
    status, confirmed = await bob.ask("POST", "/v1/auth/step-ups/confirmation", answer)
    assert status == 201
    assert (await bob.ask("POST", path, value, step_up=confirmed["step_up"]))[0] == 201
    _, again = await bob.ask("POST", "/v1/auth/step-ups", {"digest": digest})
    # The assertion of one confirmation is none of another, nor of a login.
    replayed = {"challenge": again["challenge"], "credential": credential}
    assert (await bob.ask("POST", "/v1/auth/step-ups/confirmation", replayed))[0] == 403
    assert (await bob.send("POST", f"{PASSKEYS}/login", {"credential": phone.use(again["public_key"])}))[0] == 401


async def test_who_has_passkeys_only_changes_the_password_with_a_confirmation(bob, phone):
    path, value = "/v1/auth/password", {"current": bob.password, "new": "tractor plum seven lake"}
    assert (await bob.ask("POST", path, value))[1]["code"] == "step_up_required"
    wrong = value | {"current": "wrong"}
    assert (await bob.ask("POST", path, wrong, step_up=await confirm(bob, phone, path, wrong)))[0] == 401
    assert (await bob.ask("POST", path, value, step_up=await confirm(bob, phone, path, value)))[0] == 200
    request = {"email": bob.email, "password": value["new"]}
    assert (await bob.send("POST", "/v1/auth/login", request))[1]["code"] == "passkey_required"


async def confirm(person, passkey, path, value):
    digest = request_digest("POST", path, json.dumps(value).encode()).hex()
    _, begun = await person.ask("POST", "/v1/auth/step-ups", {"digest": digest})
    answer = {"challenge": begun["challenge"], "credential": passkey.use(begun["public_key"])}
    status, confirmed = await person.ask("POST", "/v1/auth/step-ups/confirmation", answer)
    assert status == 201
    return confirmed["step_up"]


async def test_anothers_passkey_confirms_nothing(ann, bob, phone):
    spy = await enrol(await ann.invite("spy@acme.example", "viewer"), SoftPasskey("spy"))
    _, begun = await bob.ask("POST", "/v1/auth/step-ups", {"digest": "ab" * 32})
    answer = {"challenge": begun["challenge"], "credential": spy.use(begun["public_key"])}
    assert (await bob.ask("POST", "/v1/auth/step-ups/confirmation", answer))[0] == 403


async def test_a_passkey_within_another_sites_page_confirms_nothing(bob, phone):
    _, begun = await bob.ask("POST", "/v1/auth/step-ups", {"digest": "ab" * 32})
    answer = {"challenge": begun["challenge"], "credential": phone.use(begun["public_key"], crossOrigin=True)}
    assert (await bob.ask("POST", "/v1/auth/step-ups/confirmation", answer))[0] == 403


async def test_a_second_passkey_and_letting_one_go_need_the_first(bob, phone, services):
    assert (await bob.ask("POST", f"{PASSKEYS}/registration"))[1]["code"] == "step_up_required"
    path = f"{PASSKEYS}/{encode64(phone.id)}"
    assert (await bob.ask("DELETE", path))[1]["code"] == "step_up_required"
    with services.database.snapshot() as session:
        assert session.get(PasskeyRow, encode64(phone.id)) is not None


@pytest.mark.parametrize(
    "lies", [{"origin": "http://evil.example"}, {"flags": PRESENT}, {"challenge": "AAAA"}, {"crossOrigin": True}]
)
async def test_what_was_made_for_another_site_is_not_kept(bob, lies):
    _, options = await bob.ask("POST", f"{PASSKEYS}/registration")
    request = {"name": "x", "credential": SoftPasskey("x").make(options["public_key"], **lies)}
    assert (await bob.ask("POST", PASSKEYS, request))[1]["code"] == "invalid_passkey"
    assert (await bob.ask("GET", PASSKEYS))[1] == []


async def test_a_challenge_of_one_person_makes_no_passkey_of_another(ann, bob, client, services):
    stranger = await Person.owner(Caller.owner(client, services, "globex")).log_in()
    _, options = await bob.ask("POST", f"{PASSKEYS}/registration")
    request = {"name": "x", "credential": SoftPasskey("x").make(options["public_key"])}
    assert (await stranger.ask("POST", PASSKEYS, request))[0] == 401
    assert (await bob.ask("POST", PASSKEYS, request))[0] == 201


async def test_mangled_answers_are_refused_and_never_an_error_of_ours(bob, phone, services):
    rng = random.Random(7)
    for number in range(60):
        services.clock.advance(seconds=60)  # so that the rate is not what refuses
        answer = copy.deepcopy(phone.use(await begin(bob)))
        field = rng.choice(["clientDataJSON", "authenticatorData", "signature", "id", "type"])
        where = answer["response"] if field in answer["response"] else answer
        if number % 3 == 0:
            where[field] = rng.choice([None, 7, [], {}, "", "====", "é", "A" * 5000])
        else:
            raw = bytearray(decode64(where[field]) if field != "type" else b"public-key")
            raw[rng.randrange(len(raw))] ^= 1 << rng.randrange(8)
            where[field] = encode64(bytes(raw)) if number % 3 == 1 else encode64(bytes(raw[: rng.randrange(len(raw))]))
        status, _ = await bob.send("POST", f"{PASSKEYS}/login", {"credential": answer})
        assert status in (401, 422), (number, field)
