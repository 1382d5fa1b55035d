"""What is no honest request, sent to the real server: refused with its code, and nothing is different after it."""

from __future__ import annotations

import http.client
import itertools
import json
import sys
from base64 import b32decode
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from api.auth.bootstrap import bootstrap
from api.auth.signing import sign_request
from api.auth.totp import code_at
from api.services import Services
from runtime.base64url import decode64
from tests.api.abuse.tenants import stored
from tests.api.browser.desk import serving

_NONCES = itertools.count()
pytestmark = pytest.mark.timeout(120)


@dataclass
class Abuser:
    """Has a good key and a session, and uses them badly."""

    origin: str
    services: Services
    made: dict[str, Any]

    def send(self, verb: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, dict[str, Any]]:
        connection = http.client.HTTPConnection("127.0.0.1", int(self.origin.rpartition(":")[2]), timeout=60)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(verb, path, body or None, {"content-type": "application/json"} | named)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def signed(
        self, verb: str, path: str, body: bytes = b"", /, *, ahead_ms: int = 0, **changes: Any
    ) -> dict[str, str]:
        now_ms = self.services.clock.now_ns() // 1_000_000 + ahead_ms
        given = {"method": verb, "target": path, "body": body, "now_ms": now_ms, "nonce": f"abuse-{next(_NONCES):016}"}
        secret = decode64(self.made["key_secret"])
        return sign_request(self.made["key"], secret, **(given | changes))


@pytest.fixture(scope="module")
def abuser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Abuser]:
    with serving(tmp_path_factory.mktemp("abuse")) as (origin, services):
        made = asdict(bootstrap(services.auth, slug="acme", name="Acme", email="owner@acme.example"))
        yield Abuser(origin, services, made)


@pytest.fixture
def untouched(abuser: Abuser) -> Iterator[list[Any]]:
    """What is logged meanwhile; the database is the same afterwards."""
    before = stored(abuser.services)
    with capture_logs() as logged:
        yield logged
    after = stored(abuser.services)
    # When a key was last used is written some time after it was.
    assert {table for table in after if after[table] != before[table]} - {"api_keys"} == set()


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
    abuser: Abuser, untouched: list[Any], sent: str, changes: dict[str, Any], code: str
) -> None:
    headers = abuser.signed("POST", "/v1/portfolios", PORTFOLIO, **changes)
    status, said = abuser.send("POST", "/v1/portfolios", PORTFOLIO, idempotency_key=f"abuse {sent}", **headers)
    assert (status, said["code"]) == (401, code), sent
    assert [line["code"] for line in untouched if line["event"] == "auth.refused"] == [code]


def test_a_request_that_is_sent_twice_passes_once(abuser: Abuser, untouched: list[Any]) -> None:
    headers = abuser.signed("GET", "/v1/organisation")
    assert abuser.send("GET", "/v1/organisation", **headers)[0] == 200
    status, said = abuser.send("GET", "/v1/organisation", **headers)
    assert (status, said["code"]) == (401, "replayed_request")
    assert [line["code"] for line in untouched if line["event"] == "auth.refused"] == ["replayed_request"]


def test_a_refresh_token_that_comes_back_ends_its_session(abuser: Abuser) -> None:
    def post(path: str, value: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        return abuser.send("POST", path, json.dumps(value).encode(), **headers)

    code = code_at(b32decode(abuser.made["totp_seed"]), abuser.services.clock.now_ns() // 10**9 // 30)
    person = {"email": abuser.made["email"], "password": abuser.made["password"], "code": code}
    status, first = post("/v1/auth/login", person)
    assert status == 200, first
    status, second = post("/v1/auth/refresh", {"refresh_token": first["refresh_token"]})
    assert status == 200, second
    for token in (first["refresh_token"], second["refresh_token"]):
        status, said = post("/v1/auth/refresh", {"refresh_token": token})
        assert status == 401, said
    abuser.services.auth.standings.forget()
    status, said = abuser.send("GET", "/v1/auth/me", authorization=f"Bearer {second['access_token']}")
    assert (status, said["code"]) == (401, "session_over")
    assert post("/v1/auth/login", person)[0] == 401, "nor does the code pass again"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{" * 1_000, 422), (b"\xff\xfe\x00", 400), (b'{"name": NaN}', 422), (b'{"name": "a", "house": true}', 422),
        (b'{"name": ["a"]}', 422), (b"[" * 30_000 + b"]" * 30_000, 400), (b"[" * 60_000, 400),
        (b'{"name": "' + b"a" * 70_000 + b'"}', 413),
    ],
)  # fmt: skip
def test_a_body_that_is_none_or_too_large_makes_nothing(
    abuser: Abuser, untouched: list[Any], body: bytes, status: int
) -> None:
    headers = abuser.signed("POST", "/v1/portfolios", body)
    answered, said = abuser.send("POST", "/v1/portfolios", body, idempotency_key="abuse-body", **headers)
    assert answered == status, said
    assert said["type"].startswith("urn:capstan:problem:")


@pytest.mark.parametrize("cursor", ["", "x", "bm9uZQ", "..", "A" * 600, "%00"])
def test_a_cursor_that_was_not_given_out_is_refused(abuser: Abuser, untouched: list[Any], cursor: str) -> None:
    path = f"/v1/orders?cursor={cursor}"
    status, said = abuser.send("GET", path, **abuser.signed("GET", path))
    assert status in (400, 422), said


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/", "https://10.0.0.8/", "https://169.254.169.254/latest/meta-data", "https://[::1]/",
        "https://[::ffff:10.0.0.1]/", "https://localhost/", "https://0.0.0.0/", "http://1.1.1.1/", "ftp://1.1.1.1/",
        "https://user:hunter2hunter2@1.1.1.1/", "https://2130706433/",
    ],
)  # fmt: skip
def test_no_webhook_goes_to_a_private_address(abuser: Abuser, untouched: list[Any], url: str) -> None:
    body = json.dumps({"url": url}).encode()
    headers = abuser.signed("POST", "/v1/webhooks", body)
    status, said = abuser.send("POST", "/v1/webhooks", body, idempotency_key="abuse-webhook", **headers)
    assert status in (403, 422), said
    assert "hunter2" not in json.dumps(said)


@pytest.fixture(autouse=True)
def _usual_depth():
    """As deep as Python starts with: Hypothesis allows more and leaves it so."""
    sys.setrecursionlimit(1_000)
