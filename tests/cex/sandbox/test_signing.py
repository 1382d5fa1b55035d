"""Signatures and the time window."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from cex.sandbox.errors import ApiError
from cex.sandbox.params import Params
from cex.sandbox.signing import Ed25519Verifier, HmacVerifier, RsaVerifier, check_time, rest_payload, ws_payload
from domain import InputError

# From "SIGNED Endpoint Examples for POST /api/v3/order", developers.binance.com, Binance Spot REST API.
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PARAMS = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
)
SIGNATURE = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
MIXED_SIGNATURE = "0fd168b8ddb4876a0358a8d14d0c9f3da0e9b20c5d52b2a00fcf7d1c602f9a77"


@pytest.mark.parametrize(
    ("query", "body"), [(f"{PARAMS}&signature={SIGNATURE}", ""), ("", f"{PARAMS}&signature={SIGNATURE}")]
)
def test_binances_documented_example_verifies_in_query_and_body(query: str, body: str) -> None:
    payload, signature = rest_payload(query, body)
    assert signature is not None
    assert HmacVerifier(SECRET).verifies(payload, signature)
    assert not HmacVerifier(SECRET).verifies(payload + b"0", signature)


def test_binances_documented_mix_of_query_and_body_is_joined_without_ampersand() -> None:
    query, body = PARAMS[: PARAMS.index("&quantity")], PARAMS[PARAMS.index("quantity") :]
    payload, signature = rest_payload(query, f"{body}&signature={MIXED_SIGNATURE}")
    assert payload == (query + body).encode()
    assert signature is not None
    assert HmacVerifier(SECRET).verifies(payload, signature)


def test_ed25519_signatures_come_percent_encoded_base64() -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    signature = base64.b64encode(key.sign(b"a=1&b=2")).decode()
    payload, read = rest_payload("a=1&b=2&signature=" + signature.replace("+", "%2B").replace("/", "%2F"), "")
    assert read == signature
    assert Ed25519Verifier(pem).verifies(payload, read)
    for wrong in ("", "AAAA", "not base64!", signature[:-4] + "AAA="):
        assert not Ed25519Verifier(pem).verifies(payload, wrong)
    with pytest.raises(InputError):
        Ed25519Verifier("-----BEGIN PUBLIC KEY-----\nnonsense\n-----END PUBLIC KEY-----")


def test_rsa_signatures_are_pkcs1_with_sha256() -> None:
    key = generate_private_key(65537, 2048)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    signature = base64.b64encode(key.sign(b"a=1", PKCS1v15(), SHA256())).decode()
    assert RsaVerifier(pem).verifies(b"a=1", signature)
    assert not RsaVerifier(pem).verifies(b"a=2", signature)
    assert not RsaVerifier(pem).verifies(b"a=1", "not base64!")
    for verifier, other in ((RsaVerifier, _ed25519_pem()), (Ed25519Verifier, pem), (RsaVerifier, _short_rsa_pem())):
        with pytest.raises(InputError):
            verifier(other)


def _ed25519_pem() -> str:
    key = Ed25519PrivateKey.generate().public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _short_rsa_pem() -> str:
    key = generate_private_key(65537, 1024).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def test_a_signature_over_what_was_encoded_only_afterwards_is_refused() -> None:
    sent = "symbols=%5B%22ETHUSDC%22%5D&timestamp=1"
    for text, fits in ((sent, True), ('symbols=["ETHUSDC"]&timestamp=1', False)):
        signature = hmac.new(SECRET.encode(), text.encode(), hashlib.sha256).hexdigest()
        payload, read = rest_payload(f"{sent}&signature={signature}", "")
        assert HmacVerifier(SECRET).verifies(payload, read or "") is fits


def test_websocket_parameters_are_signed_sorted() -> None:
    assert ws_payload({"b": "2", "signature": "x", "a": "1", "apiKey": "k"}) == b"a=1&apiKey=k&b=2"


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, -1102),
        ({"timestamp": "x"}, -1100),
        ({"timestamp": "94999"}, -1021),
        ({"timestamp": "101001"}, -1021),
        ({"timestamp": "99000", "recvWindow": "500"}, -1021),
        ({"timestamp": "100000", "recvWindow": "60001"}, -1131),
        ({"timestamp": "100000", "recvWindow": "60000.001"}, -1131),
        ({"timestamp": "100000", "recvWindow": "1.0001"}, -1111),
        ({"timestamp": "1699999999999499", "recvWindow": "0.5"}, -1021),
    ],
)
def test_requests_outside_the_window_are_refused(values: dict[str, str], code: int) -> None:
    with pytest.raises(ApiError) as refused:
        check_time(Params(values), 1_700_000_000_000 if len(values.get("timestamp", "")) > 10 else 100_000)
    assert refused.value.code == code


def test_requests_inside_the_window_pass() -> None:
    for values in ({"timestamp": "95000"}, {"timestamp": "101000"}, {"timestamp": "40000", "recvWindow": "60000"}):
        check_time(Params(values), 100_000)
    check_time(Params({"timestamp": "1700000000000123"}), 1_700_000_000_000)
    check_time(Params({"timestamp": "1699999999999500", "recvWindow": "0.5"}), 1_700_000_000_000)
