"""OAuth: people let clients in by code and PKCE, clients act for themselves, and nobody gets more than was allowed.

PKCE's vector is that of RFC 7636, Appendix B.
"""

from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete

from api.auth.oauth import challenge_of, check_redirect, is_registered
from api.auth.tables import SigningKeyRow
from custody.audit import list_audit
from domain import InputError
from tests.api.callers import Caller, Person
from tests.api.logs import logging

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
BACK = "https://tax.example/callback"
FORM = {"content-type": "application/x-www-form-urlencoded"}
CLIENT = {"name": "<Tax & co>", "redirects": [BACK, "http://127.0.0.1/cb"], "scopes": ["orders:read", "ledger:read"]}


class App:
    """A client of the organisation's, asking as one does."""

    def __init__(self, ann, made):
        self.client, self.id, self.secret = ann.client, made["id"], made["secret"]

    def question(self, **changes):
        asked = {
            "response_type": "code", "client_id": self.id, "redirect_uri": BACK, "scope": "orders:read", "state": "s1",
            "code_challenge": CHALLENGE, "code_challenge_method": "S256",
        }  # fmt: skip
        return asked | changes

    async def page(self, **changes):
        return await self.client.full("GET", f"/v1/oauth/authorize?{urlencode(self.question(**changes))}")

    async def decide(self, person, decision="allow", **changes):
        fields = self.question() | {"email": person.email, "password": person.password, "decision": decision}
        if person.seed:
            fields["code"] = person.code()
        return await self.post("/v1/oauth/authorize", fields | changes)

    async def post(self, path, fields, **headers):
        return await self.client.full("POST", path, urlencode(fields).encode(), headers=FORM | headers)

    async def ask(self, fields, path="/v1/oauth/token", *, basic=False):
        headers = {}
        if basic:
            headers["authorization"] = "Basic " + base64.b64encode(f"{self.id}:{self.secret}".encode()).decode()
        else:
            fields = {"client_id": self.id} | ({"client_secret": self.secret} if self.secret else {}) | fields
        answer = await self.post(path, fields, **headers)
        return answer.status, json.loads(answer.body)

    async def code(self, person):
        answer = await self.decide(person)
        assert answer.status == 303
        return parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]

    def exchange(self, code, /, **changes):
        fields = {"grant_type": "authorization_code", "code": code, "redirect_uri": BACK, "code_verifier": VERIFIER}
        return self.ask(fields | changes)


@pytest.fixture
async def tax(ann):
    status, made = await ann.ask_confirmed("POST", "/v1/oauth-clients", CLIENT)
    assert status == 201, made
    return App(ann, made)


def test_pkce_as_in_rfc_7636():
    assert challenge_of(VERIFIER) == CHALLENGE


async def test_a_person_lets_a_client_in_and_it_gets_no_more_than_that(ann, tax, owner):
    page = await tax.page()
    assert page.status == 200
    assert b"&lt;Tax &amp; co&gt;" in page.body
    assert b"<Tax" not in page.body
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    answer = await tax.decide(ann)
    assert answer.status == 303
    back = urlsplit(answer.headers["location"])
    told = parse_qs(back.query)
    assert f"{back.scheme}://{back.netloc}{back.path}" == BACK
    assert (told["state"], told["iss"]) == (["s1"], ["http://localhost:8460"])

    status, tokens = await tax.exchange(told["code"][0])
    assert (status, tokens["scope"]) == (200, "orders:read")
    _, me = await ann.send("GET", "/v1/auth/me", authorization=f"Bearer {tokens['access_token']}")
    assert (me["actor"], me["scopes"]) == (f"user:{owner.user}", ["orders:read"])
    for path in ("/v1/auth/sessions", "/v1/keys"):  # neither the person's own affairs nor other scopes
        status, _ = await ann.send("GET", path, authorization=f"Bearer {tokens['access_token']}")
        assert status == 403
    status, following = await tax.ask({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]})
    assert (status, following["scope"]) == (200, "orders:read")
    with logging() as written:
        status, problem = await tax.ask({"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]})
    assert (status, problem["error"]) == (400, "invalid_grant")  # used twice: over
    session = written.one(event="auth.refresh_token_reused")["session"]
    line = written.one(event="api.request")
    assert (line["code"], line["claimed"], line["address"]) == ("reused_token", f"session:{session}", "127.0.0.1")
    written.check(tokens["refresh_token"], following["refresh_token"], tax.secret)
    again = {"grant_type": "refresh_token", "refresh_token": following["refresh_token"]}
    assert (await tax.ask(again))[0] == 400


async def test_a_code_that_is_used_twice_ends_what_it_began(ann, tax, services):
    code = await tax.code(ann)
    _, tokens = await tax.exchange(code)
    with logging() as written:
        for _ in range(2):
            assert (await tax.exchange(code))[1]["error"] == "invalid_grant"
    assert [line["client"] for line in written.all(event="auth.code_reused")] == [tax.id] * 2
    assert [line["code"] for line in written.all(event="api.request")] == ["invalid_grant"] * 2
    written.check(code, tokens["refresh_token"], tax.secret)
    with services.database.snapshot() as session:
        ended = [record.detail for record in list_audit(session) if record.kind == "session.token-reused"]
    assert len(ended) == 1
    assert "reused code" in ended[0]
    services.clock.advance(seconds=1)
    status, _ = await ann.send("GET", "/v1/auth/me", authorization=f"Bearer {tokens['access_token']}")
    assert status == 401


@pytest.mark.parametrize(
    "change", [{"code_verifier": "A" * 43}, {"code_verifier": ""}, {"redirect_uri": BACK + "2"}, {"code": "ac_x"}]
)
async def test_a_code_is_for_its_verifier_and_its_redirect(ann, tax, change):
    code = await tax.code(ann)
    status, problem = await tax.exchange(code, **change)
    assert (status, problem["error"]) == (400, "invalid_grant")
    assert (await tax.exchange(code))[0] == 200  # trying has not used it up for its owner


async def test_a_code_is_over_after_a_minute_and_no_other_clients(ann, tax, services):
    _, made = await ann.ask_confirmed("POST", "/v1/oauth-clients", CLIENT | {"is_confidential": False})
    other = App(ann, made)
    assert other.secret is None
    code = await tax.code(ann)
    assert (await other.exchange(code))[1]["error"] == "invalid_grant"
    services.clock.advance(seconds=60)
    assert (await tax.exchange(code))[1]["error"] == "invalid_grant"
    assert (await other.exchange(await other.code(ann)))[0] == 200  # public, by PKCE alone


async def test_a_no_and_a_bad_question_go_back_to_the_client_and_a_wrong_redirect_nowhere(ann, tax):
    answer = await tax.decide(ann, "deny")
    assert parse_qs(urlsplit(answer.headers["location"]).query)["error"] == ["access_denied"]
    for change, error in [
        ({"scope": "withdrawals:write"}, "invalid_scope"), ({"scope": ""}, "invalid_scope"),
        ({"scope": "nonsense"}, "invalid_scope"), ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge_method": "plain"}, "invalid_request"), ({"code_challenge": "short"}, "invalid_request"),
    ]:  # fmt: skip
        page = await tax.page(**change)
        assert page.status == 303, change
        assert parse_qs(urlsplit(page.headers["location"]).query)["error"] == [error]
    for change in (
        {"redirect_uri": "https://evil.example"}, {"redirect_uri": BACK + "/.."}, {"client_id": "app_aaaaaaaaaaaaaaaa"}
    ):  # fmt: skip
        page = await tax.page(**change)
        assert page.status == 400
        assert "location" not in page.headers


async def test_wrong_passwords_strangers_and_members_of_others_are_told_on_the_page(ann, tax, client, services):
    answer = await tax.decide(ann, password="wrong")
    assert (answer.status, b'role="alert"' in answer.body) == (401, True)
    stranger = Person.owner(Caller.owner(client, services, "globex"))
    answer = await tax.decide(stranger)
    assert answer.status == 403
    assert "location" not in answer.headers
    answer = await tax.decide(ann, email='"><script>alert(1)</script>', password="x")
    assert b"<script>" not in answer.body


async def test_a_page_of_ones_own_lets_a_client_in_for_who_has_logged_in(ann, tax, owner, services):
    assert (await ann.ask("POST", "/v1/oauth/grants", tax.question()))[1]["code"] == "step_up_required"
    status, told = await ann.ask_confirmed("POST", "/v1/oauth/grants", tax.question())
    assert status == 201
    code = parse_qs(urlsplit(told["location"]).query)["code"][0]
    _, tokens = await tax.exchange(code)
    assert tokens["scope"] == "orders:read"
    assert (await owner.ask("POST", "/v1/oauth/grants", tax.question()))[0] == 403  # no person
    status, _ = await ann.send(
        "POST", "/v1/oauth/grants", tax.question(), authorization=f"Bearer {tokens['access_token']}"
    )
    assert status == 403  # a client does not let clients in

    bob = await ann.invite("bob@acme.example", "viewer")
    assert (await bob.ask("POST", "/v1/oauth/grants", tax.question()))[0] == 201
    services.clock.advance(seconds=901)
    await bob.refresh()
    assert (await bob.ask("POST", "/v1/oauth/grants", tax.question()))[1]["code"] == "fresh_login_required"


async def test_a_client_that_acts_for_itself_has_its_own_scopes(ann, services):
    _, made = await ann.ask_confirmed("POST", "/v1/oauth-clients", CLIENT | {"redirects": [], "acts_alone": True})
    robot = App(ann, made)
    grant = {"grant_type": "client_credentials"}
    status, tokens = await robot.ask(grant | {"scope": "ledger:read"}, basic=True)
    assert (status, tokens["scope"]) == (200, "ledger:read")
    assert "refresh_token" not in tokens
    bearer = f"Bearer {tokens['access_token']}"
    _, me = await ann.send("GET", "/v1/auth/me", authorization=bearer)
    assert (me["actor"], me["scopes"]) == (f"client:{robot.id}", ["ledger:read"])
    assert (await robot.ask(grant | {"scope": "orders:write"}))[1]["error"] == "invalid_scope"
    assert (await ann.ask("DELETE", f"/v1/oauth-clients/{robot.id}"))[0] == 200
    assert (await ann.send("GET", "/v1/auth/me", authorization=bearer))[0] == 401
    assert (await robot.ask(grant))[1]["error"] == "invalid_client"


async def test_clients_prove_themselves_in_one_way_and_rightly(tax):
    for fields in (
        {"client_secret": "wrong"}, {"client_secret": ""}, {"client_id": "app_aaaaaaaaaaaaaaaa"}, {"client_id": ""}
    ):  # fmt: skip
        status, problem = await tax.ask({"grant_type": "client_credentials"} | fields)
        assert (status, problem["error"]) == (401, "invalid_client"), fields
    both = "Basic " + base64.b64encode(b"a:b").decode()
    answer = await tax.post("/v1/oauth/token", {"client_secret": "x"}, authorization=both)
    assert json.loads(answer.body)["error"] == "invalid_request"
    assert (await tax.ask({"grant_type": "client_credentials"}))[1]["error"] == "unauthorized_client"
    assert (await tax.ask({"grant_type": "password"}))[1]["error"] == "unsupported_grant_type"
    answer = await tax.client.full("POST", "/v1/oauth/token", b"a=1&a=2", headers=FORM)
    assert json.loads(answer.body)["error"] == "invalid_request"
    answer = await tax.client.full("POST", "/v1/oauth/token", b"\xff\xfe=%ff", headers=FORM)
    assert answer.status == 400
    answer = await tax.client.full("POST", "/v1/oauth/authorize", b"a=1&a=2", headers=FORM)
    assert answer.status == 400


async def test_a_client_revokes_its_own_and_nobody_elses(ann, tax):
    _, tokens = await tax.exchange(await tax.code(ann))
    assert await tax.ask({"token": ann.tokens["refresh_token"]}, "/v1/oauth/revoke") == (200, {})
    assert (await ann.ask("GET", "/v1/auth/me"))[0] == 200
    assert await tax.ask({"token": "nonsense"}, "/v1/oauth/revoke") == (200, {})
    assert await tax.ask({"token": tokens["refresh_token"]}, "/v1/oauth/revoke") == (200, {})
    status, _ = await ann.send("GET", "/v1/auth/me", authorization=f"Bearer {tokens['access_token']}")
    assert status == 401


async def test_tokens_verify_by_the_published_keys_and_keys_rotate_without_a_gap(ann, services):
    async def published():
        _, keys = await ann.send("GET", "/.well-known/jwks.json")
        return {key["kid"]: key for key in keys["keys"]}

    first = await published()
    assert len(first) == 1
    token = ann.tokens["access_token"]
    header = jwt.get_unverified_header(token)
    assert header["typ"] == "at+jwt"
    key = jwt.PyJWK(first[header["kid"]])
    timeless = {"verify_exp": False, "verify_iat": False}
    claims = jwt.decode(token, key, algorithms=["EdDSA"], audience="http://localhost:8460", options=timeless)
    assert claims["iss"] == "http://localhost:8460"
    assert claims["amr"] == ["pwd", "otp", "mfa"]
    services.clock.advance(seconds=29 * 86_400 + 60)
    assert set(await published()) > set(first)  # the next one is announced a day before it signs
    ann.tokens["refresh_token"] = (
        await Person(ann.client, services, ann.email, ann.password, ann.seed).log_in()
    ).tokens["refresh_token"]
    await ann.refresh()
    assert jwt.get_unverified_header(ann.tokens["access_token"])["kid"] in first
    services.clock.advance(seconds=86_400 - 120)
    await ann.refresh()
    last = ann.tokens["access_token"]
    services.clock.advance(seconds=121)
    assert (await ann.ask("GET", "/v1/auth/me"))[0] == 200  # signed by the old key, which signs no more
    await ann.refresh()
    assert jwt.get_unverified_header(ann.tokens["access_token"])["kid"] not in first
    assert jwt.get_unverified_header(last)["kid"] in first
    services.clock.advance(seconds=2 * 3_600)
    assert not set(await published()) & set(first)


def b64(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


async def test_tampered_access_tokens_are_refused(ann, services):
    header, claims, signature = ann.tokens["access_token"].split(".")
    told = json.loads(base64.urlsafe_b64decode(claims + "=="))
    head = json.loads(base64.urlsafe_b64decode(header + "=="))
    public = json.loads(json.dumps(await services.auth.tokens.key_set()))["keys"][0]["x"]

    def other(head_changes, claim_changes, sign=signature):
        return ".".join(
            (b64(json.dumps(head | head_changes).encode()), b64(json.dumps(told | claim_changes).encode()), sign)
        )

    hmac_signed = jwt.encode(told, base64.urlsafe_b64decode(public + "=="), "HS256", headers=head | {"alg": "HS256"})
    stranger = jwt.encode(
        told, Ed25519PrivateKey.generate(),
        "EdDSA", headers=head,
    )  # fmt: skip
    flipped = signature[:-4] + ("AAAA" if signature[-4:] != "AAAA" else "BBBB")
    for token in (
        other({"alg": "none"}, {}, ""), other({"alg": "none"}, {}), other({}, {"scope": "withdrawals:write"}),
        other({}, {"exp": told["exp"] + 3600}), other({"kid": "sig_aaaaaaaaaaaaaaaa"}, {}), other({"typ": "JWT"}, {}),
        other({"crit": ["x"], "x": 1}, {}), hmac_signed, stranger, f"{header}.{claims}.{flipped}",
        f"{header}.{claims}.", f"{header}.{claims}", ann.tokens["access_token"] + "A", "A" * 5000, "..",
    ):  # fmt: skip
        status, problem = await ann.send("GET", "/v1/auth/me", authorization=f"Bearer {token}")
        assert (status, problem["code"]) == (401, "invalid_token"), token[:60]
    assert (await ann.ask("GET", "/v1/auth/me"))[0] == 200


async def test_a_token_that_was_checked_once_is_over_with_its_time_and_its_key(ann, services):
    for _ in range(3):
        assert (await ann.ask("GET", "/v1/auth/me"))[0] == 200
    with services.database.transaction() as session:
        session.execute(delete(SigningKeyRow))
    services.auth.tokens.forget_keys()
    assert (await ann.ask("GET", "/v1/auth/me"))[1]["code"] == "invalid_token"
    await ann.refresh()
    assert (await ann.ask("GET", "/v1/auth/me"))[0] == 200
    services.clock.advance(seconds=600)
    assert (await ann.ask("GET", "/v1/auth/me"))[1]["code"] == "expired_token"


async def test_a_refresh_token_is_no_access_token_and_the_other_way_round(ann):
    status, _ = await ann.send("GET", "/v1/auth/me", authorization=f"Bearer {ann.tokens['refresh_token']}")
    assert status == 401
    assert (await ann.refresh(ann.tokens["access_token"][:200]))[0] == 401


async def test_another_organisations_clients_are_none(ann, tax, client, services):
    stranger = await Person.owner(Caller.owner(client, services, "globex")).log_in()
    assert (await stranger.ask("GET", "/v1/oauth-clients"))[1] == []
    assert (await stranger.ask("DELETE", f"/v1/oauth-clients/{tax.id}"))[0] == 404
    assert [row["id"] for row in (await ann.ask("GET", "/v1/oauth-clients"))[1]] == [tax.id]


# --- redirects


@pytest.mark.parametrize(
    "uri",
    ["https://a.example/cb", "https://a.example:8443/cb?x=1", "http://127.0.0.1:7000/", "http://[::1]/cb", "http://localhost/cb",
     "com.example.app:/cb"],
)  # fmt: skip
def test_redirects_that_only_the_client_hears(uri):
    check_redirect(uri)
    assert is_registered(uri, [uri])


@pytest.mark.parametrize(
    "uri",
    ["http://a.example/cb", "javascript:alert(1)", "data:text/html,x", "myapp:/cb", "https://", "https://a@b.example",
     "https://a.example/#x", "https://a.example/ x", "//a.example", "", "https://a.example/\n", "https://a.example;x",
     "https://a.example/'x", "https://é.example"],
)  # fmt: skip
def test_redirects_that_others_may_hear_are_refused(uri):
    with pytest.raises(InputError):
        check_redirect(uri)


def test_of_a_loopback_redirect_the_port_is_free_and_nothing_else():
    known = ["http://127.0.0.1/cb", "https://a.example/cb"]
    assert is_registered("http://127.0.0.1:53123/cb", known)
    for uri in (
        "http://127.0.0.1:1/other", "http://127.0.0.1.evil.example/cb", "https://a.example:444/cb", "http://localhost/cb",
        "http://127.0.0.1:1/cb?x=1", "https://127.0.0.1/cb",
    ):  # fmt: skip
        assert not is_registered(uri, known), uri


@given(st.text(max_size=40))
def test_no_text_breaks_the_check_of_a_redirect(text):
    assert not is_registered(text, ["https://a.example/cb"])
