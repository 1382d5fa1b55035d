"""The lines that are signed, and what reads them. Vectors: RFC 8032 §7.1, RFC 4231 §4.2 and §4.3."""

from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from api.auth.signing import (
    AHEAD_MS,
    Algorithm,
    Credentials,
    Verifier,
    canonical,
    read_public_key,
    request_digest,
    sign_request,
)
from api.core.errors import Unauthenticated
from domain import InputError
from runtime.base64url import encode64

NOW_MS = 1_800_000_000_000
NONCE = "0123456789abcdef"
SECRET = bytes(range(32))
ED25519 = [
    ("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", ""),  # noqa: E501
    ("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72"),  # noqa: E501
]  # fmt: skip
SIGNATURES = [
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
]


def headers(secret=SECRET, **changes):
    given = {"method": "POST", "target": "/v1/orders?x=1", "body": b"{}", "now_ms": NOW_MS, "nonce": NONCE}
    signed = sign_request("key_aaaaaaaaaaaaaaaa", secret, **(given | changes))
    return {name.lower(): value for name, value in signed.items()}


def test_the_lines_that_are_signed():
    assert canonical("1800000000000", "GET", "/v1/orders?limit=5", b"", NONCE) == (
        b"1800000000000\nGET\n/v1/orders?limit=5\n"
        b"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\n0123456789abcdef"
    )


@pytest.mark.parametrize(("vector", "signature"), list(zip(ED25519, SIGNATURES, strict=True)))
def test_ed25519_as_in_rfc_8032(vector, signature):
    secret, public, message = (bytes.fromhex(text) for text in vector)
    assert Ed25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw() == public
    verifier = Verifier(Algorithm.ED25519, public)
    assert verifier.verifies(message, bytes.fromhex(signature))
    assert not verifier.verifies(message + b"!", bytes.fromhex(signature))
    assert not verifier.verifies(message, bytes.fromhex(signature)[:32])


@pytest.mark.parametrize(
    ("key", "data", "mac"),
    [
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ],
)
def test_hmac_as_in_rfc_4231(key, data, mac):
    assert Verifier(Algorithm.HMAC, key).verifies(data, bytes.fromhex(mac))
    assert not Verifier(Algorithm.HMAC, key).verifies(data, bytes(32))


PARTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(["GET", "POST", "DELETE"]),
        "target": st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30),
        "body": st.binary(max_size=40),
        "now_ms": st.integers(10**12, 10**13 - 1),
        "nonce": st.from_regex(r"[A-Za-z0-9_-]{16,64}", fullmatch=True),
    }
)


@given(PARTS, PARTS)
def test_a_signature_is_good_for_what_was_signed_and_for_nothing_else(one, other):
    told = Credentials.read(headers(**one))
    verifier = Verifier(Algorithm.HMAC, SECRET)
    for parts in (one, other):
        message = canonical(str(parts["now_ms"]), parts["method"], parts["target"], parts["body"], parts["nonce"])
        assert verifier.verifies(message, told.signature) == (parts == one)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("api-key", "key_AAAAAAAAAAAAAAAA"),
        ("api-key", "key_aaaaaaaaaaaaaaaa "),
        ("api-timestamp", "1800000000"),
        ("api-timestamp", "-180000000000"),
        ("api-timestamp", "１８００００００００００００"),
        ("api-nonce", "short"),
        ("api-nonce", "0123456789abcde\n"),
        ("api-nonce", "a" * 65),
        ("api-signature", ""),
        ("api-signature", "A" * 44),
        ("api-signature", "A" * 42 + "B"),  # decodes, but not canonical
        ("api-signature", "A" * 42 + "="),
        ("api-window", "0"),
        ("api-window", "30001"),
        ("api-window", "99999999"),
        ("api-window", "1e3"),
    ],
)
def test_malformed_headers_are_refused(name, value):
    with pytest.raises(Unauthenticated) as caught:
        Credentials.read(headers() | {name: value})
    assert caught.value.code == "malformed_signature"


@pytest.mark.parametrize("name", ["api-key", "api-timestamp", "api-nonce", "api-signature"])
def test_missing_headers_are_refused(name):
    told = headers()
    del told[name]
    with pytest.raises(Unauthenticated):
        Credentials.read(told)


@given(st.text(max_size=100), st.text(max_size=100))
def test_what_is_read_never_breaks_the_reader(key, signature):
    with pytest.raises(Unauthenticated):
        Credentials.read({"api-key": key, "api-signature": signature, "api-nonce": signature, "api-timestamp": key})


@given(st.integers(-60_000, 60_000), st.sampled_from([None, 1, 5_000, 30_000]))
def test_a_request_is_good_for_its_window_and_a_clock_that_is_hardly_ahead(late_ms, window_ms):
    told = Credentials.read(headers(window_ms=window_ms))
    is_good = -AHEAD_MS <= late_ms <= (window_ms or 5_000)
    if is_good:
        told.check_time(NOW_MS + late_ms)
        return
    with pytest.raises(Unauthenticated) as caught:
        told.check_time(NOW_MS + late_ms)
    assert caught.value.code == "stale_request"


def test_public_keys_are_read_in_three_forms():
    key = Ed25519PrivateKey.from_private_bytes(SECRET).public_key()
    raw = key.public_bytes_raw()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    import base64

    for text in (pem, encode64(raw), base64.b64encode(raw).decode()):
        assert read_public_key(text) == raw


P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P


def small_order_points():
    """Every point whose order divides 8, found by arithmetic on the curve: an oracle of our list."""

    def add(one, other):
        (x1, y1), (x2, y2) = one, other
        product = D * x1 * x2 * y1 * y2
        return (
            (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P,
            (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P,
        )

    def lift(y):
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(square, (P + 3) // 8, P)
        if x * x % P != square:
            x = x * pow(2, (P - 1) // 4, P) % P
        return x if x * x % P == square else None

    order = 2**252 + 27742317777372353535851937790883648493
    for y in range(2, 60):
        x = lift(y)
        if x is None:
            continue
        # The prime order times a point leaves its part of small order; one of order 8 gives them all.
        found, point, scalar = (0, 1), (x, y), order
        while scalar:
            if scalar & 1:
                found = add(found, point)
            point, scalar = add(point, point), scalar >> 1
        points, at = [], (0, 1)
        for _ in range(8):
            points.append(at)
            at = add(at, found)
        if len(set(points)) == 8:
            return points
    raise AssertionError("no point of order 8 was found")


def test_keys_of_small_order_are_refused_in_every_encoding():
    for x, y in small_order_points():
        for value in {y, y + P} if y + P < 2**255 else {y}:
            for sign in (x & 1, 1 - (x & 1)):
                with pytest.raises(InputError, match="small order"):
                    read_public_key(encode64((value | sign << 255).to_bytes(32, "little")))


@pytest.mark.parametrize("text", ["", "AAAA", "x" * 43, "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"])
def test_what_is_no_public_key_is_refused(text):
    with pytest.raises(InputError):
        read_public_key(text)


def test_a_digest_is_of_method_path_and_body():
    told = request_digest("POST", "/v1/withdrawals", b'{"amount":"1"}')
    inner = hashlib.sha256(b'{"amount":"1"}').hexdigest()
    assert told == hashlib.sha256(f"POST\n/v1/withdrawals\n{inner}".encode()).digest()
