"""Members: invited by people who may as much, let go at once, never by strangers."""

from __future__ import annotations

from base64 import b32decode

import pytest

from custody.audit import list_audit
from runtime.base64url import decode64
from tests.api.callers import Caller, Person

USERS = "/v1/users"


async def test_a_member_has_the_scopes_of_the_role_it_was_invited_with(ann):
    bob = await ann.invite("bob@acme.example", "trader", portfolios=["main"])
    _, me = await bob.ask("GET", "/v1/auth/me")
    assert me["portfolios"] == ["main"]
    assert "orders:write" in me["scopes"]
    assert "withdrawals:write" not in me["scopes"]
    _, listed = await ann.ask("GET", USERS)
    assert [(user["email"], user["roles"]) for user in listed] == [
        ("bob@acme.example", ["trader"]), ("owner@acme.example", ["owner"])
    ]  # fmt: skip


async def test_an_invitation_is_good_once_and_for_a_week(ann, services):
    request = {"email": "bob@acme.example", "name": "Bob", "roles": ["viewer"]}
    _, made = await ann.ask_confirmed("POST", USERS, request)
    word = {"invitation": made["invitation"], "password": "correct horse battery"}
    assert (await ann.send("POST", "/v1/auth/invitations", word | {"password": "short"}))[0] == 422
    assert (await ann.send("POST", "/v1/auth/invitations", word))[0] == 201
    assert (await ann.send("POST", "/v1/auth/invitations", word))[0] == 401
    await ann.refresh()
    _, made = await ann.ask_confirmed("POST", USERS, request | {"email": "cid@acme.example"})
    services.clock.advance(seconds=7 * 86_400)
    assert (await ann.send("POST", "/v1/auth/invitations", word | {"invitation": made["invitation"]}))[0] == 401


async def test_who_is_known_already_joins_with_the_password_it_has(ann, client, services):
    globex = await Person.owner(Caller.owner(client, services, "globex")).log_in()
    _, made = await ann.ask_confirmed("POST", USERS, {"email": globex.email, "name": "x", "roles": ["viewer"]})
    accepted = {"invitation": made["invitation"], "password": "a password of my own"}
    assert (await globex.send("POST", "/v1/auth/invitations", accepted))[0] == 401
    assert len((await ann.ask("GET", USERS))[1]) == 1
    assert (await globex.send("POST", "/v1/auth/invitations", accepted | {"password": globex.password}))[0] == 201
    await globex.log_in(organisation="acme")
    assert (await globex.ask("GET", "/v1/auth/me"))[1]["has_totp"] is True


async def test_nobody_gives_or_takes_what_reaches_beyond_ones_own(ann, owner):
    bob = await ann.invite("bob@acme.example", "admin")
    bob.seed = await enrol(bob)
    for roles in (["owner"], ["treasurer"], ["trader", "admin"]):
        status, problem = await bob.ask_confirmed("POST", USERS, {"email": "c@d.example", "name": "c", "roles": roles})
        assert (status, problem["code"]) == (403, "missing_scope"), roles
    assert (await bob.ask("DELETE", f"{USERS}/{owner.user}"))[1]["code"] == "missing_scope"
    demoted = await bob.ask_confirmed("PUT", f"{USERS}/{owner.user}/membership", {"roles": ["viewer"]})
    assert demoted[1]["code"] == "missing_scope"
    assert (await bob.ask_confirmed("POST", USERS, {"email": "c@d.example", "name": "c", "roles": ["auditor"]}))[
        0
    ] == 201


async def enrol(person):
    _, seed = await person.ask("POST", "/v1/auth/totp")
    person.seed = b32decode(seed["seed"])
    assert (await person.ask("POST", "/v1/auth/totp/confirmation", {"code": person.code()}))[0] == 200
    return person.seed


async def test_a_changed_role_counts_at_once_and_needs_a_confirmation(ann):
    bob = await ann.invite("bob@acme.example", "viewer")
    _, me = await bob.ask("GET", "/v1/auth/me")
    path, request = f"{USERS}/{me['user']}/membership", {"roles": ["trader"], "portfolios": ["main"]}
    assert (await ann.ask("PUT", path, request))[1]["code"] == "step_up_required"
    assert (await ann.ask_confirmed("PUT", path, request))[1]["roles"] == ["trader"]
    await bob.refresh()
    assert "orders:write" in (await bob.ask("GET", "/v1/auth/me"))[1]["scopes"]
    await ann.ask_confirmed("PUT", path, {"roles": ["viewer"]})
    assert "orders:write" not in (await bob.ask("GET", "/v1/auth/me"))[1]["scopes"]


async def test_a_member_that_is_let_go_is_out_at_once(ann):
    bob = await ann.invite("bob@acme.example", "trader")
    _, me = await bob.ask("GET", "/v1/auth/me")
    assert (await ann.ask("DELETE", f"{USERS}/{me['user']}"))[0] == 200
    assert (await bob.ask("GET", "/v1/auth/me"))[0] == 401
    assert (await bob.refresh())[0] == 401
    status, problem = await bob.send("POST", "/v1/auth/login", {"email": bob.email, "password": bob.password})
    assert (status, problem["code"]) == (403, "no_membership")


async def test_who_was_let_go_and_comes_back_begins_anew(ann, services):
    bob = await ann.invite("bob@acme.example", "admin")
    await enrol(bob)
    request = {"name": "old", "algorithm": "hmac-sha256", "scopes": ["keys:read"]}
    _, made = await bob.ask_confirmed("POST", "/v1/keys", request)
    _, me = await bob.ask("GET", "/v1/auth/me")
    key = Caller(bob.client, services, made["id"], decode64(made["secret"]), me["user"], me["organisation"])
    robot = {"name": "robot", "scopes": ["keys:read"], "acts_alone": True}
    _, robot = await bob.ask_confirmed("POST", "/v1/oauth-clients", robot)
    assert (await key.ask("GET", "/v1/keys"))[0] == 200
    assert (await ann.ask("DELETE", f"{USERS}/{me['user']}"))[0] == 200

    request = {"email": bob.email, "name": "Bob", "roles": ["admin"]}
    _, invited = await ann.ask_confirmed("POST", USERS, request)
    accepted = {"invitation": invited["invitation"], "password": bob.password}
    assert (await bob.send("POST", "/v1/auth/invitations", accepted))[0] == 201
    assert (await bob.ask("GET", "/v1/auth/me"))[0] == 401
    assert (await bob.refresh())[1]["code"] == "session_over"
    assert (await key.ask("GET", "/v1/keys"))[0] == 401
    assert [
        (client["id"], client["acts_alone"]) for client in (await ann.ask("GET", "/v1/oauth-clients"))[1]
    ] == [(robot["id"], False)]  # fmt: skip
    await bob.log_in()
    assert (await bob.ask("GET", "/v1/keys"))[0] == 200


@pytest.mark.parametrize("roles", [None, ["viewer"], ["auditor"]])
async def test_an_invitation_is_good_while_its_giver_might_give_it(ann, roles):
    bob = await ann.invite("bob@acme.example", "admin")
    await enrol(bob)
    _, me = await bob.ask("GET", "/v1/auth/me")
    request = {"email": "cid@acme.example", "name": "Cid", "roles": ["admin"]}
    _, invited = await bob.ask_confirmed("POST", USERS, request)
    if roles is None:
        assert (await ann.ask("DELETE", f"{USERS}/{me['user']}"))[0] == 200
    else:
        path = f"{USERS}/{me['user']}/membership"
        assert (await ann.ask_confirmed("PUT", path, {"roles": roles}))[0] == 200
    accepted = {"invitation": invited["invitation"], "password": "correct horse battery"}
    status, problem = await ann.send("POST", "/v1/auth/invitations", accepted)
    assert (status, problem["code"]) == (401, "invalid_invitation")
    assert "cid@acme.example" not in [user["email"] for user in (await ann.ask("GET", USERS))[1]]


async def test_an_invitation_to_every_portfolio_falls_with_its_givers_reach(ann):
    bob = await ann.invite("bob@acme.example", "admin")
    await enrol(bob)
    _, me = await bob.ask("GET", "/v1/auth/me")
    words = {}
    for portfolios in (None, ["main"]):
        request = {"email": "cid@acme.example", "name": "Cid", "roles": ["admin"], "portfolios": portfolios}
        _, made = await bob.ask_confirmed("POST", USERS, request)
        words[portfolios is None] = {"invitation": made["invitation"], "password": "correct horse battery"}
    limited = {"roles": ["admin"], "portfolios": ["main"]}
    assert (await ann.ask_confirmed("PUT", f"{USERS}/{me['user']}/membership", limited))[0] == 200
    assert (await ann.send("POST", "/v1/auth/invitations", words[True]))[0] == 401
    assert (await ann.send("POST", "/v1/auth/invitations", words[False]))[0] == 201


async def test_the_last_owner_stays(ann, owner):
    assert (await ann.ask("DELETE", f"{USERS}/{owner.user}"))[0] == 409
    assert (await ann.ask_confirmed("PUT", f"{USERS}/{owner.user}/membership", {"roles": ["admin"]}))[0] == 409
    assert (await ann.ask("GET", USERS))[1][0]["roles"] == ["owner"]


async def test_another_organisations_members_are_none(ann, owner, client, services):
    stranger = await Person.owner(Caller.owner(client, services, "globex")).log_in()
    path = f"{USERS}/{owner.user}"
    assert (await stranger.ask("DELETE", path))[0] == 404
    assert (await stranger.ask_confirmed("PUT", f"{path}/membership", {"roles": ["viewer"]}))[0] == 404
    assert [user["email"] for user in (await stranger.ask("GET", USERS))[1]] == ["owner@globex.example"]


# --- the organisation

ORGANISATION = "/v1/organisation"
BRANDING = {
    "name": "Acme Desk", "logo": "https://acme.example/logo.svg", "primary": "#112233", "accent": "#445566",
    "background": "#000000",
}  # fmt: skip
FEES = {
    "tiers": [
        {"volume_30d": "0", "maker_bps": "2", "taker_bps": "7.5"},
        {"volume_30d": "1000000", "maker_bps": "-0.5", "taker_bps": "4"},
    ],
    "withdrawals": {"BTC": "0.0002"},
}


async def test_looks_are_public_and_each_organisations_own(ann, client, services):
    stranger = await Person.owner(Caller.owner(client, services, "globex")).log_in()
    assert (await ann.ask("PUT", f"{ORGANISATION}/branding", BRANDING))[1]["branding"] == BRANDING
    assert await ann.send("GET", "/v1/branding/acme") == (200, BRANDING)
    with services.database.snapshot() as session:
        assert [record.kind for record in list_audit(session)][-1] == "organisation.branding-changed"
    assert (await stranger.ask("GET", ORGANISATION))[1]["name"] == "Globex"
    assert (await ann.send("GET", "/v1/branding/nobody"))[0] == 404


@pytest.mark.parametrize(
    "change",
    [
        {"logo": "http://acme.example/l.png"}, {"logo": "javascript:alert(1)"}, {"logo": "https://a/\"onload="},
        {"primary": "red"}, {"name": ""}, {"extra": 1},
    ],
)  # fmt: skip
async def test_looks_that_are_none_are_refused(ann, change):
    assert (await ann.ask("PUT", f"{ORGANISATION}/branding", BRANDING | change))[0] == 422


async def test_fees_need_a_confirmation_and_are_kept_exactly(ann):
    assert (await ann.ask("PUT", f"{ORGANISATION}/fees", FEES))[1]["code"] == "step_up_required"
    assert (await ann.ask_confirmed("PUT", f"{ORGANISATION}/fees", FEES))[1]["fees"] == FEES
    assert (await ann.ask("GET", ORGANISATION))[1]["fees"] == FEES


@pytest.mark.parametrize(
    "tiers",
    [
        [{"volume_30d": "1", "maker_bps": "0", "taker_bps": "1"}],
        [{"volume_30d": "0", "maker_bps": "-2", "taker_bps": "1"}],
        [{"volume_30d": "0", "maker_bps": "0", "taker_bps": "1001"}],
        [{"volume_30d": "0", "maker_bps": "0", "taker_bps": "1"}] * 2,
    ],
)
async def test_fees_that_pay_out_or_go_down_the_stairs_are_refused(ann, tiers):
    status, problem = await ann.ask_confirmed("PUT", f"{ORGANISATION}/fees", {"tiers": tiers})
    assert (status, problem["code"]) == (422, "invalid_request")


async def test_an_allow_list_of_the_organisation_binds_people_and_keys(ann, owner):
    path = f"{ORGANISATION}/networks"
    assert (await ann.ask_confirmed("PUT", path, {"networks": ["203.0.113.0/24"]}))[1]["code"] == "would_lock_out"
    assert (await ann.ask_confirmed("PUT", path, {"networks": ["127.0.0.0/8"]}))[0] == 200
    ann.address = owner.address = "198.51.100.1"
    assert (await ann.ask("GET", "/v1/auth/me"))[1]["code"] == "foreign_address"
    assert (await owner.ask("GET", "/v1/auth/me"))[1]["code"] == "foreign_address"
