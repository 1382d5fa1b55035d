"""What the examples call the API with: signed requests, confirmations with a code, the stream. Standard library,
`cryptography` for Ed25519 and `websockets`; docs/api/auth.md has the rules that it follows.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.sync.client import connect

Json = Any


class Refused(Exception):
    """The API said no; `code` never changes, `detail` is for people."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(f"{status} {problem['code']}: {problem['detail']}")
        self.status, self.code = status, problem["code"]


class Client:
    """One person's program: an API key, and the seed of the person's authenticator app for what must be confirmed."""

    def __init__(self, url: str, *, key: str, secret: str, totp_seed: str = "", **person: str) -> None:
        self.url, self.key, self.seed = url, key, totp_seed
        self.secret = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(secret))
        self.person = person

    @classmethod
    def of(cls, name: str) -> Client:
        """Somebody in the world of `capstan up --demo`, whose folder is this program's argument."""
        if len(sys.argv) != 2:
            raise SystemExit(f"usage: {sys.argv[0]} DATA_DIR      (of a running `capstan up --demo`)")
        world = json.loads((Path(sys.argv[1]) / "people.json").read_text())
        return cls(world["url"], **world["people"][name])

    # --- requests

    def get(self, target: str) -> Json:
        return self.ask("GET", target)

    def post(self, target: str, value: Json, *, once: str = "", confirm: bool = False) -> Json:
        """`once` is the Idempotency-Key: sent again with it, nothing happens twice."""
        return self.ask("POST", target, value, {"Idempotency-Key": once} if once else {}, confirm=confirm)

    def ask(
        self, method: str, target: str, value: Json = None, headers: dict[str, str] | None = None,
        *, confirm: bool = False,
    ) -> Json:  # fmt: skip
        """Send a signed request. With `confirm` the person confirms exactly this one before.

        Raises:
            Refused: The API said no.
        """
        body = b"" if value is None else json.dumps(value).encode()
        sent = {"Content-Type": "application/json"} | (headers or {}) | self._signed(method, target, body)
        if confirm:
            sent["Step-Up"] = self._confirmed(method, target, body)
        request = urllib.request.Request(self.url + target, body or None, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            raise Refused(refusal.code, json.load(refusal)) from None

    def _signed(self, method: str, target: str, body: bytes) -> dict[str, str]:
        timestamp, nonce = str(time.time_ns() // 1_000_000), secrets.token_urlsafe(16)
        lines = [timestamp, method, target, hashlib.sha256(body).hexdigest(), nonce]
        signature = base64.urlsafe_b64encode(self.secret.sign("\n".join(lines).encode())).rstrip(b"=").decode()
        return {
            "API-Key": self.key, "API-Timestamp": timestamp, "API-Nonce": nonce, "API-Signature": signature,
            "API-Window": "30000",
        }  # fmt: skip

    def _confirmed(self, method: str, target: str, body: bytes) -> str:
        digest = hashlib.sha256("\n".join([method, target, hashlib.sha256(body).hexdigest()]).encode()).hexdigest()
        begun = self.post("/v1/auth/step-ups", {"digest": digest})
        answer = {"challenge": begun["challenge"], "code": code_of(self.seed)}
        return str(self.post("/v1/auth/step-ups/confirmation", answer)["step_up"])

    # --- the stream

    def follow(self, channel: str, key: str) -> Iterator[Json]:
        """A channel's state after each change, as one dictionary; it goes on where it stood when a message is lost."""
        ticket = self.post("/v1/stream-tickets", None)["ticket"]
        state: dict[str, Json] = {}
        epoch, seq = "", -1
        with connect(f"{self.url.replace('http', 'ws', 1)}/v1/stream?ticket={ticket}", compression=None) as socket:
            socket.send(json.dumps({"op": "sub", "ch": channel, "key": key}))
            while True:
                message = json.loads(socket.recv(timeout=60))
                if message["t"] == "error":
                    raise SystemExit(f"the stream: {message['detail']}")
                if message["t"] == "delta" and (message["epoch"] != epoch or message["prev"] != seq):
                    since = {"from": {"epoch": epoch, "seq": seq}}
                    socket.send(json.dumps({"op": "sub", "ch": channel, "key": key} | since))
                elif message["t"] in ("snap", "delta"):
                    epoch, seq = message["epoch"], message["seq"]
                    state = {} if message["t"] == "snap" else state
                    state = {name: value for name, value in (state | message["d"]).items() if value is not None}
                    yield state

    def until(self, channel: str, key: str, wanted: Callable[[Json], bool]) -> Json:
        """Follow a channel until its state is as wanted; give that state."""
        return next(state for state in self.follow(channel, key) if wanted(state))


def code_of(seed: str) -> str:
    """Six digits of an authenticator app (RFC 6238). Each is good once, for half a minute."""
    mac = hmac.digest(base64.b32decode(seed), (int(time.time()) // 30).to_bytes(8, "big"), "sha1")
    at = mac[-1] & 15
    return str((int.from_bytes(mac[at : at + 4], "big") & 0x7FFFFFFF) % 10**6).zfill(6)


def once() -> str:
    """A new Idempotency-Key. Write it down before you send: after a crash the same key finds what became of it."""
    return secrets.token_urlsafe(16)
