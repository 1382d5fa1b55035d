"""Secrets of every kind, planted in every way a process writes: none of them comes out, and what is no secret stays."""

from __future__ import annotations

import io
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from runtime import configure_logging
from runtime.redaction import HIDDEN, is_secret_name, redact, redact_text, remember
from runtime.secrets import resolve_secret

# Made up, or published as tests' own: BIP-39's and BIP-32's vectors, RFC 7519's example, Bitcoin's wiki.
PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow"
SHARE = (
    "duckling enlarge academic academic agency result length solution fridge kidney coal piece deal husband erode duke "
    "ajar critical decision keyboard"
)
XPRV = "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi"
WIF = "5HueCGU8rMjxEXxiPuD5BDku4MkFqeZyd4dZ1jvhTVqvbTLvyTJ"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.dBjftJeZ4CVPmB92K27uhbUJU1p1r"
PEM = (
    Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
    .private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    .decode()
)
HEX = "c0ffee" * 10 + "beef"

# What somebody might write, and what of it must not be seen.
TEXTS: dict[str, tuple[str, str]] = {
    "api_secret": ("refused: api_secret=NhqPtmdSJYdKjVHjA7PZj4", "NhqPtmdSJYdKjVHjA7PZj4"),
    "exchange_header": ("sent {'X-MBX-APIKEY': 'vmPUZE6mv9SD5VNHk4HlWFsO'}", "vmPUZE6mv9SD5VNHk4HlWFsO"),
    "password": ("login of ann with password: Tr0ub4dor&3", "Tr0ub4dor"),
    "password_json": ('body {"email": "a@b.c", "password": "correct horse"}', "correct horse"),
    "passphrase": ("passphrase: open up the old garden gate", "garden gate"),
    "access_token": (f"bad token {JWT}", JWT),
    "refresh_token": ("reused rt_" + "Ab3" * 15, "Ab3Ab3"),
    "step_up": ("Step-Up: su_" + "Zy9" * 15, "Zy9Zy9"),
    "ticket": ("GET /v1/stream?ticket=tk4711&x=1", "tk4711"),
    "oauth_code_secret": ("client_secret=s3cr3t-client&grant_type=x", "s3cr3t-client"),
    "totp_seed": ("otpauth://totp/Capstan:ann?secret=JBSWY3DPEHPK3PXP&issuer=Capstan", "JBSWY3DPEHPK3PXP"),
    "totp_code": ("wrong totp code 492039", "492039"),
    "recovery_code": ("recovery code abcd-efgh-2345 was used", "abcd-efgh-2345"),
    "private_key_hex": (f"private key 0x{HEX} does not fit", HEX),
    "private_key_pem": (f"cannot load {PEM}", PEM.splitlines()[1]),
    "extended_key": (f"derived from {XPRV} at m/44'", XPRV[10:60]),
    "wif": (f"import {WIF}", WIF),
    "mnemonic": (f"not a valid phrase: {PHRASE}", "sausage"),
    "slip39_share": (f"share {SHARE} is bad", "duckling"),
    "authorization": ("> Authorization: Basic YW5uOmh1bnRlcjI=\r\n> Host: x", "YW5uOmh1bnRlcjI"),
    "bearer": ("sent with bearer kQ7_zX4mP1vT8rW2bN6c", "kQ7_zX4mP1vT8rW2bN6c"),
    "asgi_headers": ("[(b'host', b'x'), (b'authorization', b'Bearer q1w2e3')]", "q1w2e3"),
    "cookie": ("Cookie: session=s%3Aabc123; theme=dark", "abc123"),
    "set_cookie": ("{'set-cookie': 'sid=31d4d96e407aad42; HttpOnly'}", "31d4d96e407aad42"),
    "smtp": ("smtps://alerts:p%40ss-w0rd@mail.example:465 refused", "w0rd"),
    "pagerduty": ("{'routing_key': 'R0123456789ABCDEFGHIJKLMNOPQRSTUV'}", "R0123456789ABCDEF"),
    "database_url": ("postgresql+psycopg://capstan:sw0rdfish@db/capstan", "sw0rdfish"),
    "redis_url": ("redis://:sw0rdf@sh@127.0.0.1:6379/0", "sw0rdf"),
    "node_url": ("https://mainnet.node.example/v3/9aa3d95b3bc440fa88ea12eaa4456161", "9aa3d95b3bc440fa"),
    "node_url_query": ("wss://node.example/ws?apikey=9aa3d95b", "9aa3d95b"),
    "webhook_secret": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjU"),
    "webhook_secret_alone": ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZI", "MfKQ9r8GKYqrTwjU"),
    "payment_key_alone": ("sk_live_4eC39HqLyjWDarjtT1zdp7dc", "4eC39HqLyjWDarjt"),
    "chat_token_alone": ("xoxb-263594206564-x1y2z3", "263594206564"),
    "repository_token_alone": ("ghp_16C7e42F292c6912E7710c83", "16C7e42F292c6912"),
    "chat_hook": ("https://hooks.chat.example/services/T0/B0/XXz9XXz9XXz9XXz9XXz9XXz9", "XXz9XXz9"),
    "hsm_pin": ("C_Login failed: pin='648219'", "648219"),
    "age_identity": ("AGE-SECRET-KEY-1QQQSYQCYQ5RQWZQFPG9SCRGWPUGPZYSNZS23V9CCRYDPK8QARC0SW6GQ8", "QQQSYQCYQ5RQ"),
}  # fmt: skip

# Fields whose name says it, whatever their value is.
FIELDS: dict[str, Any] = {
    "password": "a",
    "new_password": 4711,
    "clientSecret": "b1",
    "X-Api-Key": "c1",
    "Authorization": "d1",
    "set-cookie": ["e1"],
    "mnemonic": "f1",
    "seed_phrase": "g1",
    "signing_key": b"h1",
    "totp": 123456,
    "recovery_codes": ["i1", "j1"],
    "refresh_token": "k1",
    "routing_key": {"nested": "l1"},
    "smtp_password": "m1",
    "hsm_pin": "n1",
    "token": "a-long-opaque-token",
    "credentials": {"user": "o1"},
}


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Callable[[], str]]:
    configure_logging(file=tmp_path / "log")
    yield (tmp_path / "log").read_text
    structlog.reset_defaults()
    logging.basicConfig(level=logging.WARNING, force=True)


class Opaque:
    """What has no form that a log knows: it is written as its `repr`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return f"<Opaque {self._text}>"


def raise_with(text: str) -> None:
    try:
        raise ConnectionError(text)
    except ConnectionError as exc:
        exc.add_note(f"while {text}")
        raise ValueError("outer") from exc


def _in_context(text: str) -> None:
    with structlog.contextvars.bound_contextvars(detail=text):
        structlog.get_logger().error("x")


def _excepted(text: str, tell: Callable[[str], None]) -> None:
    try:
        raise_with(text)
    except ValueError:
        tell("failed")


def _grouped(text: str) -> None:
    try:
        raise ExceptionGroup("several", [ValueError(text), KeyError(text)])
    except ExceptionGroup:
        structlog.get_logger().exception("failed")


WAYS: dict[str, Callable[[str], None]] = {
    "event": lambda text: structlog.get_logger().error(text),
    "field": lambda text: structlog.get_logger().error("x", detail=text),
    "nested": lambda text: structlog.get_logger().error("x", detail={"a": [{"b": (text,)}]}),
    "object": lambda text: structlog.get_logger().error("x", detail=Opaque(text)),
    "name": lambda text: structlog.get_logger().error("x", **{text: 1}),
    "context": lambda text: structlog.get_logger().bind(detail=text).error("x"),
    "contextvar": _in_context,
    "exception": lambda text: _excepted(text, structlog.get_logger().exception),
    "error_as_field": lambda text: structlog.get_logger().error("x", error=ValueError(text)),
    "library": lambda text: logging.getLogger("uvicorn.error").error(text),
    "library_argument": lambda text: logging.getLogger("celery.worker").error("got %r", {"detail": text}),
    "library_exception": lambda text: _excepted(text, logging.getLogger("asyncio").exception),
    "group": _grouped,
}


@pytest.mark.parametrize("way", WAYS)
def test_no_planted_secret_comes_out_of_any_logger_or_traceback(way: str, written: Callable[[], str]) -> None:
    for text, _ in TEXTS.values():
        WAYS[way](text)
    lines = written().splitlines()
    assert len(lines) == len(TEXTS), "each is one line of JSON"
    for (kind, (_, secret)), line in zip(TEXTS.items(), lines, strict=True):
        assert secret not in json.dumps(json.loads(line), ensure_ascii=False), f"{kind} by {way}: {line}"
        assert HIDDEN in line


def test_a_library_that_has_put_up_its_own_handlers_writes_through_ours(tmp_path: Path) -> None:
    library, elsewhere = logging.getLogger("library.of.a.test"), io.StringIO()
    library.addHandler(logging.StreamHandler(elsewhere))
    library.propagate = False
    configure_logging(file=tmp_path / "log")
    try:
        library.error("refused: api_secret=NhqPtmdSJYdKjVHjA7PZj4")
    finally:
        structlog.reset_defaults()
        logging.basicConfig(level=logging.WARNING, force=True)
    assert elsewhere.getvalue() == ""
    assert HIDDEN in json.loads((tmp_path / "log").read_text())["event"]


def test_no_planted_secret_comes_out_of_lines_for_people(tmp_path: Path) -> None:
    configure_logging(file=tmp_path / "log", json=False)
    try:
        for text, _ in TEXTS.values():
            _excepted(text, structlog.get_logger().exception)
    finally:
        structlog.reset_defaults()
    shown = (tmp_path / "log").read_text()
    assert shown.count("in raise_with") == 2 * len(TEXTS)
    assert [kind for kind, (_, secret) in TEXTS.items() if secret in shown] == []


def test_fields_are_hidden_by_their_names_at_any_depth(written: Callable[[], str]) -> None:
    structlog.get_logger().error("x", **FIELDS, deep={"list": [FIELDS]})
    line = json.loads(written())
    for found in (line, line["deep"]["list"][0]):
        assert {name: found[name] for name in FIELDS} == dict.fromkeys(FIELDS, HIDDEN)


@pytest.mark.parametrize(
    "text",
    [
        "order.accepted",
        "cannot read secret file:keystore.password: FileNotFoundError",
        "password: too short",
        "a token 0x5FbDB2315678afecb367f032d93F642f64180aa3 of 18 decimals",
        f"sent as 0x{HEX}",
        "token: USDC, WETH",
        "https://node.example/v2/blocks?page=3 does not answer",
        "https://scan.example/tx/0x" + HEX,
        "key key_k5qwczlyij2xgnzo of org_k5qwczlyij2xgnzo is revoked",
        "ord_3f6c2f0f8a1e4f6b9d1c2b3a is filled at 4017.25",
        "the basic authentication of the proxy is off",
        "when there was nobody left that could have been asked about what came after them",
        "seed capital of the fund, pin-point accuracy",
    ],
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert redact_text(text) == text


def test_names_of_this_trade_are_no_secrets() -> None:
    shown = ("token", "key", "key_id", "public_key", "idempotency_key", "token_in", "code", "nonce", "signature",
             "digest", "pinned", "seeded", "passed", "secretary", "actor", "session", "compass")  # fmt: skip
    assert [name for name in shown if is_secret_name(name)] == []
    told = {
        "token": "USDC",
        "token0": "0x5FbDB2315678afecb367f032d93F642f64180aa3",
        "is_password_set": True,
        "pin": None,
    }
    assert redact(told) == told


def test_what_was_resolved_from_a_reference_is_known_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "venue").write_text("plainlookingword\n")
    secret = resolve_secret("file:venue", base_dir=tmp_path)
    assert (
        redact_text(f"GET /a/{secret.reveal()}/b?x={secret.reveal()} refused")
        == f"GET /a/{HIDDEN}/b?x={HIDDEN} refused"
    )
    assert redact({"note": secret, "said": [secret.reveal()]}) == {"note": "'***'", "said": [HIDDEN]}
    remember("short")
    assert redact_text("short") == "short", "a short word is no reason to cut sentences"


def test_bytes_are_written_as_their_number(written: Callable[[], str]) -> None:
    structlog.get_logger().error("x", share=b"\x07" * 32)
    assert json.loads(written())["share"] == "<32 bytes>"


def test_text_of_any_length_is_read_in_time_that_grows_with_it(written: Callable[[], str]) -> None:
    # Made to make patterns go back and forth; with one that did, this would not end.
    for text in (
        "a_" * 20_000,
        "password" * 5_000,
        "://" * 10_000,
        "word " * 10_000,
        "-----BEGIN " * 5_000,
        "eyJ" * 9_000,
    ):
        assert isinstance(redact_text(text), str)


def test_a_command_that_fails_says_so_without_secrets() -> None:
    script = (
        "import sys, threading, warnings, gc\n"
        "from cli.main import _keep_output_clean, report_error\n"
        "_keep_output_clean()\n"
        "from cli import output\n"
        "output.DEBUG = True\n"
        f"text = {TEXTS['database_url'][0]!r}\n"
        "def fail(): raise RuntimeError(text)\n"
        "thread = threading.Thread(target=fail); thread.start(); thread.join()\n"
        "warnings.warn(text)\n"
        "class Left:\n"
        "    def __del__(self): fail()\n"
        "Left(); gc.collect()\n"
        "try: fail()\n"
        "except RuntimeError as exc: report_error(exc)\n"
        "fail()\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert TEXTS["database_url"][1] not in done.stdout + done.stderr
    for told in (
        "thread.failed",
        "finalizer.failed",
        "process.failed",
        "category=UserWarning",
        "error: unexpected RuntimeError",
    ):
        assert told in done.stderr, done.stderr
    assert done.stdout == ""
