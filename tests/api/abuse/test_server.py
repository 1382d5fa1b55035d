"""What is no honest request, sent to the real server: refused with its code, logged with who it was, and nothing is
different after it."""

from __future__ import annotations

import http.client
import itertools
import json
import socket
import sys
from base64 import b32decode
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from api.auth.bootstrap import bootstrap
from api.auth.signing import sign_request
from api.auth.tables import WalletRow
from api.auth.totp import code_at
from api.server.serving import WEBSOCKET_BYTES_MAX
from api.services import Services
from custody.audit import list_audit
from runtime.base64url import decode64
from tests.api.abuse.tenants import stored
from tests.api.browser.desk import serving
from tests.api.logs import PATIENCE_S, Written, logging

_NONCES = itertools.count()
HERE: Final = "127.0.0.1"
WALLET: Final = Account.from_key(b"\x31" * 32)
pytestmark = pytest.mark.timeout(120)


@dataclass
class Abuser:
    """Has a good key and a session, and uses them badly."""

    origin: str
    services: Services
    made: dict[str, Any]
    secrets: list[str] = field(default_factory=list)
    """What no line of the log has."""

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    @property
    def key(self) -> str:
        return f"key:{self.made['key']}"

    def send(self, verb: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection(HERE, self.port, timeout=PATIENCE_S)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(verb, path, body or None, {"content-type": "application/json"} | named)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def post(self, path: str, value: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        return self.send("POST", path, json.dumps(value).encode(), **headers)

    def signed(
        self, verb: str, path: str, body: bytes = b"", /, *, ahead_ms: int = 0, **changes: Any
    ) -> dict[str, str]:
        now_ms = self.services.clock.now_ns() // 1_000_000 + ahead_ms
        given = {"method": verb, "target": path, "body": body, "now_ms": now_ms, "nonce": f"abuse-{next(_NONCES):016}"}
        secret = decode64(self.made["key_secret"])
        headers = sign_request(self.made["key"], secret, **(given | changes))
        self.secrets.append(headers["API-Signature"])
        return headers

    def person(self) -> dict[str, str]:
        code = code_at(b32decode(self.made["totp_seed"]), self.services.clock.now_ns() // 10**9 // 30)
        self.secrets += [f'"{code}"', self.made["password"], self.made["totp_seed"]]
        return {"email": self.made["email"], "password": self.made["password"], "code": code}

    def stream(self, query: str = "") -> ClientConnection:
        return connect(f"ws://{HERE}:{self.port}/v1/stream{query}", open_timeout=PATIENCE_S, close_timeout=PATIENCE_S)


@pytest.fixture(scope="module")
def abuser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Abuser]:
    with serving(tmp_path_factory.mktemp("abuse")) as (origin, services):
        made = asdict(bootstrap(services.auth, slug="acme", name="Acme", email="owner@acme.example"))
        yield Abuser(origin, services, made, [made["key_secret"]])


@pytest.fixture
def written(abuser: Abuser) -> Iterator[Written]:
    """What is logged meanwhile: nothing secret."""
    # What counts by the minute begins anew: each test's refusals are its own.
    abuser.services.clock.advance(seconds=61)
    with logging() as lines:
        yield lines
    lines.check(*abuser.secrets)


@pytest.fixture
def untouched(abuser: Abuser, written: Written) -> Iterator[Written]:
    """What is logged meanwhile; the database is the same afterwards."""
    before = stored(abuser.services)
    yield written
    after = stored(abuser.services)
    # When a key was last used is written some time after it was.
    assert {table for table in after if after[table] != before[table]} - {"api_keys"} == set()


def told(written: Written, said: dict[str, Any]) -> dict[str, Any]:
    """The log's line of the request that was answered so."""
    line = written.one(event="api.request", request_id=said["request_id"])
    assert (line["status"], line["code"]) == (said["status"], said["code"])
    return line


PORTFOLIO = b'{"name": "another"}'


@pytest.mark.parametrize(
    ("sent", "changes", "code"),
    [
        ("late", {"ahead_ms": -31_000}, "stale_request"),
        ("early", {"ahead_ms": 31_000}, "stale_request"),
        ("another path", {"target": "/v1/orders"}, "invalid_signature"),
        ("another body", {"body": b'{"name": "other"}'}, "invalid_signature"),
        ("another verb", {"method": "PUT"}, "invalid_signature"),
        ("short nonce", {"nonce": "x"}, "malformed_signature"),
    ],
)
def test_a_signature_of_something_else_does_nothing(
    abuser: Abuser, untouched: Written, sent: str, changes: dict[str, Any], code: str
) -> None:
    headers = abuser.signed("POST", "/v1/portfolios", PORTFOLIO, **changes)
    status, said = abuser.send("POST", "/v1/portfolios", PORTFOLIO, idempotency_key=f"abuse {sent}", **headers)
    assert (status, said["code"]) == (401, code), sent
    line = untouched.one(event="auth.refused")
    assert (line["code"], line["claimed"], line["address"], line["level"]) == (code, abuser.key, HERE, "warning")
    line = told(untouched, said)
    assert (line["claimed"], line["address"], line["route"]) == (abuser.key, HERE, "/v1/portfolios")
    assert "actor" not in line, "it is not proved who it was"


def test_a_request_that_is_sent_twice_passes_once(abuser: Abuser, untouched: Written) -> None:
    headers = abuser.signed("GET", "/v1/organisation")
    assert abuser.send("GET", "/v1/organisation", **headers)[0] == 200
    status, said = abuser.send("GET", "/v1/organisation", **headers)
    assert (status, said["code"]) == (401, "replayed_request")
    line = untouched.one(event="auth.refused")
    assert (line["code"], line["claimed"], line["address"]) == ("replayed_request", abuser.key, HERE)
    assert told(untouched, said)["claimed"] == abuser.key


def test_a_refresh_token_that_comes_back_ends_its_session(abuser: Abuser, written: Written) -> None:
    person = abuser.person()
    status, first = abuser.post("/v1/auth/login", person)
    assert status == 200, first
    status, second = abuser.post("/v1/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert status == 200, second
    abuser.secrets += [pair[name] for pair in (first, second) for name in ("access_token", "refresh_token")]
    session = f"session:{first['session']}"
    for token, code in ((first["refresh_token"], "reused_token"), (second["refresh_token"], "session_over")):
        status, said = abuser.post("/v1/auth/refresh", {"refresh_token": token})
        assert (status, said["code"]) == (401, code)
        line = told(written, said)
        assert (line["claimed"], line["address"]) == (session, HERE)
    line = written.one(event="auth.refresh_token_reused")
    assert (line["level"], line["session"], line["user"]) == ("warning", first["session"], abuser.made["user"])
    with abuser.services.database.snapshot() as reading:
        (record,) = (record for record in list_audit(reading) if record.kind == "session.token-reused")
        assert (record.subject, first["session"] in record.detail) == (f"user/{abuser.made['user']}", True)

    abuser.services.auth.standings.forget()
    status, said = abuser.send("GET", "/v1/auth/me", authorization=f"Bearer {second['access_token']}")
    assert (status, said["code"]) == (401, "session_over")
    assert told(written, said)["claimed"] == session
    assert written.one(event="auth.refused", code="session_over")["claimed"] == session
    status, said = abuser.post("/v1/auth/login", person)
    assert status == 401, "nor does the code pass again"
    assert told(written, said)["claimed"] == f"user:{abuser.made['user']}"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{" * 1_000, 422, "invalid_request"), (b"\xff\xfe\x00", 400, "bad_request"),
        (b'{"name": NaN}', 422, "invalid_request"), (b'{"name": "a", "house": true}', 422, "invalid_request"),
        (b'{"name": ["a"]}', 422, "invalid_request"), (b"[" * 30_000 + b"]" * 30_000, 400, "bad_request"),
        (b"[" * 60_000, 400, "bad_request"), (b'{"name": "' + b"a" * 70_000 + b'"}', 413, "body_too_large"),
    ],
)  # fmt: skip
def test_a_body_that_is_none_or_too_large_makes_nothing(
    abuser: Abuser, untouched: Written, body: bytes, status: int, code: str
) -> None:
    headers = abuser.signed("POST", "/v1/portfolios", body)
    answered, said = abuser.send("POST", "/v1/portfolios", body, idempotency_key="abuse-body", **headers)
    assert (answered, said["code"]) == (status, code), said
    assert said["type"].startswith("urn:capstan:problem:")
    line = told(untouched, said)
    # What is no JSON, or too much of it, is refused before anybody looks at the signature.
    assert line.get("actor") == abuser.key or (line["claimed"], line["address"]) == (abuser.key, HERE)
    assert len(json.dumps(line)) < 1_000, "what was sent is not in it"


def test_a_body_that_trickles_is_not_waited_for(
    abuser: Abuser, untouched: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.problems.BODY_S_MAX", 0.05)
    head = f"POST /v1/portfolios HTTP/1.1\r\nhost: x\r\napi-key: {abuser.made['key']}\r\ncontent-length: 20\r\n\r\n"
    with socket.create_connection((HERE, abuser.port), timeout=PATIENCE_S) as slow:
        slow.sendall(head.encode() + b'{"name":')
        answer = http.client.HTTPResponse(slow)
        answer.begin()
        said = json.loads(answer.read())
    assert (answer.status, said["code"]) == (408, "request_timeout")
    line = told(untouched, said)
    assert (line["claimed"], line["address"]) == (abuser.key, HERE)


@pytest.mark.parametrize(
    "sent",
    [b"nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"y" * 20_000],
    ids=["no HTTP", "a head without end"],
)
def test_what_is_no_request_is_told_of(abuser: Abuser, untouched: Written, sent: bytes) -> None:
    with socket.create_connection((HERE, abuser.port), timeout=PATIENCE_S) as rude:
        rude.sendall(sent)
        line = untouched.one(event="server.malformed")
    assert (line["level"], line["address"]) == ("warning", HERE)
    assert "yyy" not in json.dumps(line)


@pytest.mark.parametrize("cursor", ["", "x", "bm9uZQ", "..", "A" * 600, "%00"])
def test_a_cursor_that_was_not_given_out_is_refused(abuser: Abuser, untouched: Written, cursor: str) -> None:
    path = f"/v1/orders?cursor={cursor}"
    status, said = abuser.send("GET", path, **abuser.signed("GET", path))
    assert (status, said["code"]) in ((400, "invalid_cursor"), (422, "invalid_request")), said
    line = told(untouched, said)
    assert (line["actor"], line["organisation"]) == (abuser.key, abuser.made["organisation"])
    assert line["route"] == "/v1/orders", "not what was asked"


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://10.0.0.8/", "https://169.254.169.254/latest/meta-data", "https://[::1]/",
        "https://[::ffff:10.0.0.1]/", "https://localhost/", "https://0.0.0.0/", "http://1.1.1.1/", "ftp://1.1.1.1/",
        "https://user:hunter2hunter2@1.1.1.1/", "https://2130706433/",
    ],
)  # fmt: skip
def test_no_webhook_goes_to_a_private_address(abuser: Abuser, untouched: Written, url: str) -> None:
    body = json.dumps({"url": url}).encode()
    headers = abuser.signed("POST", "/v1/webhooks", body)
    status, said = abuser.send("POST", "/v1/webhooks", body, idempotency_key="abuse-webhook", **headers)
    assert status in (403, 422), said
    assert "hunter2" not in json.dumps(said)
    line = told(untouched, said)
    assert (line["actor"], line["route"]) == (abuser.key, "/v1/webhooks")
    assert (status == 403) == (line.get("rule") in ("webhook-address", "webhook-url"))
    untouched.check(url, "hunter2")


def test_a_ticket_opens_one_stream(abuser: Abuser, written: Written) -> None:
    status, made = abuser.send("POST", "/v1/stream-tickets", **abuser.signed("POST", "/v1/stream-tickets"))
    assert status == 201, made
    abuser.secrets.append(made["ticket"])
    with abuser.stream(f"?ticket={made['ticket']}") as socket:
        assert json.loads(socket.recv(PATIENCE_S))["actor"] == abuser.key
        with abuser.stream(f"?ticket={made['ticket']}") as again, pytest.raises(ConnectionClosed) as closed:
            again.recv(PATIENCE_S)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4001
    line = written.one(event="auth.refused")
    assert (line["code"], line["address"], line["level"]) == ("invalid_ticket", HERE, "warning")
    line = written.one(event="stream.closed")
    assert (line["code"], line["address"]) == (4001, HERE)


def test_a_stream_that_begins_with_nonsense_or_more_than_anybody_has_to_say_is_closed(
    abuser: Abuser, untouched: Written
) -> None:
    for said, code in (("nonsense", 4001), ("x" * 5_000, 4001), ("x" * (WEBSOCKET_BYTES_MAX + 1), 1009)):
        with abuser.stream() as stream:
            stream.send(said)
            with pytest.raises(ConnectionClosed) as closed:
                stream.recv(PATIENCE_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code, said[:10]
    lines = untouched.all(event="stream.closed")
    assert [(line["code"], line["address"]) for line in lines] == [(4001, HERE)] * 2


def test_a_wallets_message_signs_in_once(abuser: Abuser, written: Written) -> None:
    with abuser.services.database.transaction() as session:
        now = abuser.services.clock.now_ns()
        session.add(WalletRow(address=WALLET.address, user=abuser.made["user"], chain_id=1, created_ns=now))
    status, made = abuser.send("POST", f"/v1/auth/siwe/nonce?address={WALLET.address}")
    assert status == 201, made
    signature = WALLET.sign_message(encode_defunct(text=made["message"])).signature.hex()
    abuser.secrets += [signature, made["nonce"]]
    message = {"message": made["message"], "signature": f"0x{signature}"}
    status, pair = abuser.post("/v1/auth/siwe", message)
    assert status == 200, pair
    abuser.secrets += [pair["access_token"], pair["refresh_token"]]
    before = stored(abuser.services)
    status, said = abuser.post("/v1/auth/siwe", message)
    assert (status, said["code"]) == (401, "invalid_sign_in")
    line = told(written, said)
    assert (line["claimed"], line["address"]) == (f"wallet:{WALLET.address}", HERE)
    assert stored(abuser.services) == before


@pytest.fixture(autouse=True)
def _usual_depth():
    """As deep as Python starts with: Hypothesis allows more and leaves it so."""
    sys.setrecursionlimit(1_000)
