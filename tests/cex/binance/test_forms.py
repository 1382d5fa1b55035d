"""Requests as the venue wants them: published signatures, and what the sandbox's verifier makes of random ones."""

from __future__ import annotations

import json
from base64 import b64decode
from urllib.parse import parse_qsl

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as ec_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as rsa_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from cex.binance.endpoints import Endpoints
from cex.binance.forms import Form, Forms
from cex.binance.signing import Signer
from cex.sandbox.signing import Ed25519Verifier, HmacVerifier, Verifier, rest_payload, ws_payload
from cex.settings import VenueSettings
from domain import InputError, OrderType, Side, TimeInForce
from runtime import Secret

# The key of Binance's documentation, https://github.com/binance/binance-spot-api-docs/blob/master/rest-api.md.
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
PUBLISHED = (
    "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559",
    "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71",
)


def pem(key: Ed25519PrivateKey | RSAPrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def ed25519() -> tuple[Signer, Verifier]:
    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    return Signer(API_KEY, Secret(pem(key))), Ed25519Verifier(public)


def hmac() -> tuple[Signer, Verifier]:
    return Signer(API_KEY, Secret(SECRET)), HmacVerifier(SECRET)


def test_published_signature() -> None:
    payload, signature = PUBLISHED
    assert hmac()[0].sign(payload) == signature
    assert hmac()[0].query(dict(parse_qsl(payload))) == f"{payload}&signature={signature}"


def test_rsa_signature_verifies() -> None:
    key = rsa_key(public_exponent=65537, key_size=2048)
    signature = Signer(API_KEY, Secret(pem(key))).sign("text")
    key.public_key().verify(b64decode(signature), b"text", PKCS1v15(), SHA256())


def test_other_private_keys_are_refused_without_being_shown() -> None:
    other = ec_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    for text in (other, "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEI\n-----END PRIVATE KEY-----"):
        with pytest.raises(InputError) as refusal:
            Signer(API_KEY, Secret(text))
        assert text.splitlines()[1] not in str(refusal.value)
    assert SECRET not in repr(hmac()[0])


SYMBOLS = st.sampled_from(["BTCUSDT", "1INCHUSDT", "币安人生USDT", "A_B-C.D"])
IDS = st.text(st.sampled_from("ABCabc019-_"), min_size=1, max_size=32)
NUMBERS = st.decimals("0.00000001", "99999999", places=8).map(lambda number: f"{number:f}")
TIMES = st.integers(1_600_000_000_000, 2_000_000_000_000)
ORDERS = st.tuples(
    st.sampled_from(["place", "replace"]),
    SYMBOLS,
    st.sampled_from(Side),
    st.sampled_from(OrderType),
    st.sampled_from(TimeInForce),
)


@pytest.mark.parametrize("make", [hmac, ed25519])
@given(ORDERS, IDS, IDS, NUMBERS, NUMBERS, TIMES)
def test_both_doors_carry_the_order_and_a_signature_that_verifies(
    make: type,
    asked: tuple[str, str, Side, OrderType, TimeInForce],
    old: str,
    new: str,
    price: str,
    size: str,
    time: int,
) -> None:
    signer, verifier = make()
    what, symbol, side, kind, tif = asked
    forms = Forms(signer, 3_000)
    form: Form = getattr(forms, what)(symbol, side, kind, tif)
    values: tuple[str | int, ...] = (new, size, time) if kind is OrderType.MARKET else (new, price, size, time)
    if what == "replace":
        values = (old, *values)
    expected = {
        "symbol": symbol,
        "side": side.value.upper(),
        "type": kind.value.upper(),
        "newClientOrderId": new,
        "newOrderRespType": "RESULT",
        "quantity": size,
        "recvWindow": 3_000,
        "timestamp": time,
    }
    if kind is not OrderType.MARKET:
        expected["price"] = price
    if kind is OrderType.LIMIT:
        expected["timeInForce"] = tif.value.upper()
    if what == "replace":
        expected |= {"cancelOrigClientOrderId": old, "cancelReplaceMode": "STOP_ON_FAILURE"}

    message = json.loads(form.message("7", values))
    params = message.pop("params")
    assert message == {"id": "7", "method": {"place": "order.place", "replace": "order.cancelReplace"}[what]}
    texts = {name: str(value) for name, value in params.items()}
    assert verifier.verifies(ws_payload(texts), texts["signature"])
    assert {name: value for name, value in params.items() if name not in ("apiKey", "signature")} == expected
    assert params["apiKey"] == API_KEY

    plain = json.loads(form.session_message("8", values))
    assert plain == {"id": "8", "method": message["method"], "params": expected}

    query = form.query(values)
    payload, signature = rest_payload(query, "")
    assert signature is not None
    assert verifier.verifies(payload, signature)
    sent = dict(parse_qsl(query, strict_parsing=True))
    del sent["signature"]
    assert sent == {name: str(value) for name, value in expected.items()}


def test_endpoints_are_where_ccxt_knows_them() -> None:
    import ccxt.pro

    for testnet in (False, True):
        exchange = ccxt.pro.binance()
        if testnet:
            exchange.set_sandbox_mode(True)
        known = exchange.urls["api"]
        ours = Endpoints.of(VenueSettings(id="v", exchange="binance", instruments=("A",), testnet=testnet))
        assert (ours.rest, ours.streams, ours.ws_api) == (
            known["private"],
            known["ws"]["spot"],
            known["ws"]["ws-api"]["spot"],
        )
