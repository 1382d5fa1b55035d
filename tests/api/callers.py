"""Callers of the whole application: an organisation's owner with a key, who signs what it asks and confirms it."""

from __future__ import annotations

import itertools
import json
from base64 import b32decode
from dataclasses import asdict
from typing import Any

from api.auth.bootstrap import bootstrap
from api.auth.signing import request_digest, sign_request
from api.auth.step_up import Confirmed
from api.auth.totp import code_at
from api.services import Services
from runtime.base64url import decode64
from tests.api.lab import JSON, Answer, Client

_NONCES = itertools.count()


class Caller:
    """Signs with one key. `secret` is HMAC's bytes or an Ed25519 private key."""

    def __init__(self, client: Client, services: Services, key: str, secret: Any, user: str, organisation: str) -> None:
        self.client, self.services = client, services
        self.key, self.secret, self.user, self.organisation = key, secret, user, organisation
        self.address = "127.0.0.1"

    @classmethod
    def owner(cls, client: Client, services: Services, slug: str = "acme") -> Caller:
        """A new organisation's."""
        made = bootstrap(services.auth, slug=slug, name=slug.title(), email=f"owner@{slug}.example")
        return cls.of(client, services, asdict(made))

    @classmethod
    def of(cls, client: Client, services: Services, made: dict[str, Any]) -> Caller:
        """The owner that `capstan api bootstrap` has made."""
        caller = cls(client, services, made["key"], decode64(made["key_secret"]), made["user"], made["organisation"])
        caller.made = made
        return caller

    made: dict[str, Any]
    """What the owner was given; of callers with keys of their own nothing."""

    def headers(self, method: str, path: str, body: bytes = b"", **changes: Any) -> dict[str, str]:
        """The headers of a signed request; `changes` are other arguments to `sign_request`."""
        given = {
            "method": method, "target": path, "body": body, "now_ms": self.services.clock.now_ns() // 1_000_000,
            "nonce": f"nonce-{next(_NONCES):016}",
        }  # fmt: skip
        signed = sign_request(self.key, self.secret, **(given | changes))
        return signed | (JSON if body else {})

    def confirm(self, method: str, path: str, body: bytes = b"", **changes: str) -> dict[str, str]:
        """The header that says: a person has confirmed this."""
        digest = request_digest(method, path, body).hex()
        confirmed = _changed(Confirmed(self.user, self.organisation, digest, "totp"), changes)
        with self.services.database.transaction() as session:
            return {"step-up": self.services.auth.step_ups.confirm(session, confirmed)}

    async def full(self, method: str, path: str, value: Any = None, *, confirmed: bool = False) -> Answer:
        """Ask, signed; the body is `value` as JSON."""
        body = b"" if value is None else json.dumps(value).encode()
        headers = self.headers(method, path, body)
        if confirmed:
            headers |= self.confirm(method, path, body)
        return await self.client.full(method, path, body, headers=headers, address=self.address)

    async def ask(self, method: str, path: str, value: Any = None, *, confirmed: bool = False) -> tuple[int, Any]:
        """Ask, signed; give status and what the body says."""
        answer = await self.full(method, path, value, confirmed=confirmed)
        return answer.status, json.loads(answer.body) if answer.body else None

    async def with_key(self, secret: Any = None, **fields: Any) -> Caller:
        """A caller with a new key, made by this one. With an Ed25519 private key as `secret`, its public half."""
        request = {"name": "another", "scopes": ["market:read"], "algorithm": "hmac-sha256"} | fields
        status, made = await self.ask("POST", "/v1/keys", request, confirmed=True)
        assert status == 201, made
        found = decode64(made["secret"]) if secret is None else secret
        return Caller(self.client, self.services, made["id"], found, self.user, self.organisation)


def _changed(confirmed: Confirmed, changes: dict[str, str]) -> Confirmed:
    fields = {name: getattr(confirmed, name) for name in Confirmed.__struct_fields__}
    return Confirmed(**(fields | changes))


class Person:
    """Somebody with a password and a seed, who logs in and asks with tokens."""

    def __init__(self, client: Client, services: Services, email: str, password: str, seed: bytes | None) -> None:
        self.client, self.services = client, services
        self.email, self.password, self.seed = email, password, seed
        self.tokens: dict[str, Any] = {}
        self.address = "127.0.0.1"

    @classmethod
    def owner(cls, owner: Caller) -> Person:
        """The owner of an organisation, as a person."""
        made = owner.made
        return cls(owner.client, owner.services, made["email"], made["password"], b32decode(made["totp_seed"]))

    def code(self) -> str:
        """A code that was not used yet: half a minute goes by."""
        assert self.seed is not None
        self.services.clock.advance(seconds=30)
        return code_at(self.seed, self.services.clock.now_ns() // 10**9 // 30)

    async def send(self, method: str, path: str, value: Any = None, **headers: str) -> tuple[int, Any]:
        """Ask without saying who one is."""
        body = b"" if value is None else json.dumps(value).encode()
        given = (JSON if body else {}) | {name.replace("_", "-"): text for name, text in headers.items()}
        answer = await self.client.full(method, path, body, headers=given, address=self.address)
        return answer.status, json.loads(answer.body) if answer.body else None

    async def log_in(self, **changes: Any) -> Person:
        request = {"email": self.email, "password": self.password} | ({"code": self.code()} if self.seed else {})
        status, self.tokens = await self.send("POST", "/v1/auth/login", request | changes)
        assert status == 200, self.tokens
        return self

    async def ask(self, method: str, path: str, value: Any = None, **headers: str) -> tuple[int, Any]:
        return await self.send(method, path, value, authorization=f"Bearer {self.tokens['access_token']}", **headers)

    async def refresh(self, token: str | None = None) -> tuple[int, Any]:
        status, answer = await self.send(
            "POST", "/v1/auth/refresh", {"refresh_token": self.tokens["refresh_token"] if token is None else token}
        )
        if status == 200 and token is None:
            self.tokens = answer
        return status, answer

    async def step_up(self, method: str, path: str, value: Any = None) -> str:
        """Confirm a request with a code, as a client does; give what goes into its header."""
        body = b"" if value is None else json.dumps(value).encode()
        status, begun = await self.ask("POST", STEP_UPS, {"digest": request_digest(method, path, body).hex()})
        assert status == 201, begun
        answer = {"challenge": begun["challenge"], "code": self.code()}
        status, confirmed = await self.ask("POST", f"{STEP_UPS}/confirmation", answer)
        assert status == 201, confirmed
        return str(confirmed["step_up"])

    async def ask_confirmed(self, method: str, path: str, value: Any = None) -> tuple[int, Any]:
        return await self.ask(method, path, value, step_up=await self.step_up(method, path, value))

    async def invite(self, email: str, *roles: str, **fields: Any) -> Person:
        """A new member, who has accepted and logged in."""
        request = {"email": email, "name": email, "roles": list(roles)} | fields
        status, made = await self.ask_confirmed("POST", "/v1/users", request)
        assert status == 201, made
        person = Person(self.client, self.services, email, "correct horse battery", None)
        accepted = {"invitation": made["invitation"], "password": person.password}
        status, told = await person.send("POST", "/v1/auth/invitations", accepted)
        assert status == 201, told
        return await person.log_in()


STEP_UPS = "/v1/auth/step-ups"
