"""Signed bytes against what others make of the same order: python-binance, ccxt, hmac, cryptography, eth_account.

HMAC and Ed25519 are held to RFC 4231 and RFC 8032 in native/hot/src/keys.rs, beside the code.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pickle
import re
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import capstan_native as native
import ccxt
import ccxt.pro
import pytest
from binance.client import Client
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from custody.session_keys import ListedCall, ListedInstrument
from tests.support.hot import (
    AMEND,
    BTC,
    CANCEL,
    CANCEL_ALL,
    ETH,
    FOK,
    IOC,
    LIMIT_MAKER,
    MARKET,
    NOW_NS,
    SECP_SECRET,
    SELL,
    TIMER,
    command,
    order,
    terms,
    warden,
)

SECRET = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
"""The secret of Binance's own documentation of signed endpoints."""
API_KEY = "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A"
SEED = bytes(range(32))


def binance(door: str, kind: str = "hmac", **options: Any) -> native.OrderSigner:
    key = native.HotKey(kind, SECRET if kind == "hmac" else SEED.hex())
    options = {"switch": native.FreezeSwitch()} | options
    return native.OrderSigner.binance(
        "spot", key, [BTC, ETH], door=door, api_key=API_KEY, host="127.0.0.1:8080", **options
    )


def sent(frame: bytes) -> tuple[str, str, dict[str, str]]:
    """Take an HTTP request apart: the request's line, the text that is signed, all parameters."""
    line, _, rest = frame.decode().partition(" HTTP/1.1\r\n")
    assert rest == f"Host: 127.0.0.1:8080\r\nX-MBX-APIKEY: {API_KEY}\r\nContent-Length: 0\r\n\r\n"
    request, _, query = line.partition("?")
    signed, _, signature = query.partition("&signature=")
    return request, signed, dict(pair.split("=") for pair in signed.split("&")) | {"signature": unquote(signature)}


def client(kind: str = "hmac") -> Client:
    if kind == "hmac":
        return Client(api_key=API_KEY, api_secret=SECRET, ping=False)
    pem = Ed25519PrivateKey.from_private_bytes(SEED).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Client(api_key=API_KEY, private_key=pem.decode(), ping=False)


ORDERS = {
    "limit": (order(), {"type": "LIMIT", "timeInForce": "GTC", "price": "50000.00", "quantity": "0.01500"}),
    "sell": (order(side=SELL), {"side": "SELL"}),
    "ioc": (order(time_in_force=IOC), {"type": "LIMIT", "timeInForce": "IOC"}),
    "fok": (order(time_in_force=FOK), {"timeInForce": "FOK"}),
    "maker": (order(order_type=LIMIT_MAKER), {"type": "LIMIT_MAKER", "price": "50000.00"}),
    "market": (order(order_type=MARKET, price=0), {"type": "MARKET", "quantity": "0.01500"}),
}


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
def test_rest_orders_are_what_python_binance_signs(name: str, kind: str) -> None:
    record, expected = ORDERS[name]
    (frame,) = binance("rest", kind).encode(record, NOW_NS)
    request, signed, params = sent(frame)
    signature = params.pop("signature")
    assert request == "POST /api/v3/order"
    assert {key: params[key] for key in expected} == expected
    assert params["newClientOrderId"] == f"c{0xBEEF_000_01_0000001:016x}"
    assert params["timestamp"] == str(NOW_NS // 1_000_000)
    assert ("timeInForce" in params, "price" in params) == (params["type"] == "LIMIT", params["type"] != "MARKET")
    # Their text, from their sorting, and their signature of it.
    theirs = client(kind)
    assert signed == "&".join(f"{k}={v}" for k, v in theirs._order_params(params))
    assert signature == theirs._generate_signature(params, uri_encode=False)
    assert frame.partition(b"&signature=")[2].split(b" ")[0].decode() == theirs._generate_signature(params)


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
def test_websocket_orders_are_what_ccxt_and_python_binance_sign(kind: str) -> None:
    (frame,) = binance("websocket", kind).encode(order(), NOW_NS)
    message = json.loads(frame)
    params = message["params"]
    assert message["id"] == "p" + params["newClientOrderId"]
    assert (message["method"], list(params)[:-1]) == ("order.place", sorted(set(params) - {"signature"}))
    unsigned = {key: value for key, value in params.items() if key != "signature"}
    theirs = client(kind)
    signed = theirs._sign_ws_params(dict(unsigned), theirs._generate_ws_api_signature)
    assert json.dumps(signed, separators=(",", ":")) == json.dumps(params, separators=(",", ":"))
    if kind == "hmac":
        exchange = ccxt.pro.binance({"apiKey": API_KEY, "secret": SECRET, "options": {"recvWindow": 5000}})
        assert exchange.sign_params(dict(unsigned))["signature"] == params["signature"]
    else:
        public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
        payload = "&".join(f"{key}={value}" for key, value in unsigned.items())
        public.verify(base64.b64decode(params["signature"]), payload.encode())


def test_the_documented_signature_of_binance() -> None:
    # developers.binance.com, "SIGNED endpoint example": the message and its signature.
    message = (
        "symbol=LTCBTC&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=0.1&recvWindow=5000&timestamp=1499827319559"
    )
    signature = "c8db56825ae71d6d79447849e617115f4a920fa2acdcab2b053c4b2838bd6b71"
    assert hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).hexdigest() == signature
    assert ccxt.binance().hmac(message.encode(), SECRET.encode(), hashlib.sha256) == signature
    _, signed, params = sent(binance("rest").encode(order(), NOW_NS)[0])
    assert params["signature"] == hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).hexdigest()


def test_an_amend_is_a_cancel_replace_and_a_cancel_all_one_request_for_each_instrument() -> None:
    signer = binance("websocket")
    (frame,) = signer.encode(order(kind=AMEND, aux=0x1EEF_000_01_0000002), NOW_NS)
    message = json.loads(frame)
    assert message["method"] == "order.cancelReplace"
    assert message["params"]["cancelOrigClientOrderId"] == f"c{0xBEEF_000_01_0000001:016x}"
    assert message["params"]["newClientOrderId"] == f"c{0x1EEF_000_01_0000002:016x}"
    assert message["params"]["cancelReplaceMode"] == "STOP_ON_FAILURE"
    (frame,) = signer.encode(command(CANCEL, client_id=7, instrument=3), NOW_NS)
    message = json.loads(frame)
    assert (message["method"], message["params"]["symbol"]) == ("order.cancel", "ETHUSDT")
    assert message["params"]["origClientOrderId"] == "c0000000000000007"
    frames = [json.loads(frame) for frame in signer.encode(command(CANCEL_ALL), NOW_NS)]
    assert [frame["params"]["symbol"] for frame in frames] == ["BTCUSDT", "ETHUSDT"]
    assert len({frame["id"] for frame in frames}) == 2
    requests = [sent(frame)[0] for frame in binance("rest").encode(command(CANCEL_ALL), NOW_NS)]
    assert requests == ["DELETE /api/v3/openOrders"] * 2


def test_a_session_signs_its_logon_and_nothing_else() -> None:
    signer = binance("session", "ed25519")
    signer.set_offset(-1_500_000_000)
    logon = json.loads(signer.logon(NOW_NS))
    params = logon["params"]
    assert (logon["method"], params["timestamp"]) == ("session.logon", (NOW_NS - 1_500_000_000) // 1_000_000)
    payload = "&".join(f"{key}={params[key]}" for key in sorted(params) if key != "signature")
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    public.verify(base64.b64decode(params["signature"]), payload.encode())
    (frame,) = signer.encode(order(), NOW_NS)
    assert {"apiKey", "signature"}.isdisjoint(json.loads(frame)["params"])
    with pytest.raises(native.SigningRefused, match="Ed25519"):
        binance("session", "hmac")


@given(
    count=st.integers(1, 2**63 - 1),
    digits=st.integers(1, 2**63 - 1) | st.sampled_from([1, 5, 10, 25, 100]),
    scale=st.integers(0, 18),
)
def test_prices_and_sizes_are_exact(count: int, digits: int, scale: int) -> None:
    instrument = (0, "X", digits, scale, digits, scale)
    key = native.HotKey("hmac", SECRET)
    signer = native.OrderSigner.binance(
        "spot", key, [instrument], door="websocket", api_key="k", switch=native.FreezeSwitch()
    )
    params = json.loads(signer.encode(order(price=count, size=count), NOW_NS)[0])["params"]
    # Made from text, a Decimal keeps every digit and the exponent; `f` writes both.
    assert params["price"] == params["quantity"] == f"{Decimal(f'{count * digits}E-{scale}'):f}"
    key = native.HotKey("secp256k1", SECP_SECRET)
    listed = ListedInstrument("X", f"{Decimal(f'{digits}E-{scale}'):f}", "1")
    granted = terms(instruments=(listed,), decimals=18, order_max=2**119, window_max=2**119, allotment_share=1)
    agent = native.OrderSigner.hyperliquid(
        "hyper", key, [((0, "X", digits, scale, 1, 0), 0)], warden=warden(key, granted)
    )
    record = order(price=count, size=1)
    if count * digits * 10 ** (18 - scale) > granted.order_max:
        with pytest.raises(native.SigningRefused, match="amount"):
            agent.encode(record, NOW_NS)
        return
    wire = json.loads(agent.encode(record, NOW_NS)[0])["request"]["payload"]["action"]
    price = wire["orders"][0]["p"]
    assert Decimal(price) == Decimal(f"{count * digits}E-{scale}")
    assert not re.search(r"\.\d*0$|\.$", price)


@pytest.mark.parametrize(
    "record",
    [
        order(price=0),
        order(price=-1),
        order(size=0),
        order(side=2),
        order(order_type=3),
        order(time_in_force=3),
        order(order_type=LIMIT_MAKER, time_in_force=IOC),
        order(instrument=1),
        order(instrument=4_000_000_000),
        b"short",
    ],
)
def test_what_cannot_be_written_is_refused_and_nothing_comes_out(record: bytes) -> None:
    signer = binance("rest")
    with pytest.raises(ValueError, match=r"."):
        signer.encode(record, NOW_NS)
    assert len(signer.encode(order(), NOW_NS)) == 1


@pytest.mark.parametrize("record", [command(TIMER), order(kind=AMEND)])
def test_what_is_no_request_and_amends_that_would_order_filled_lots_again_are_refused(record: bytes) -> None:
    for signer in (binance("rest"), binance("websocket"), hyperliquid()):
        with pytest.raises(native.SigningRefused, match="unsupported"):
            signer.encode(record, NOW_NS)


def test_names_that_would_change_a_request_are_refused() -> None:
    for api_key, symbol in [('k","x":"', "BTCUSDT"), ("k", "BTC&side=SELL"), ("", "X"), ("k\r\nX: 1", "X")]:
        with pytest.raises(ValueError, match="letters"):
            native.OrderSigner.binance(
                "spot",
                native.HotKey("hmac", SECRET),
                [(0, symbol, 1, 2, 1, 5)],
                door="rest",
                api_key=api_key,
                host="h",
                switch=native.FreezeSwitch(),
            )


def test_a_key_shows_itself_to_nobody_and_has_one_owner() -> None:
    key = native.HotKey("hmac", SECRET)
    assert SECRET not in repr(key) + str(key) + str(dir(key)) + key.name
    with pytest.raises(TypeError):
        pickle.dumps(key)
    native.OrderSigner.binance("v", key, [BTC], door="websocket", api_key="k", switch=native.FreezeSwitch())
    with pytest.raises(ValueError, match="already"):
        native.OrderSigner.binance("v", key, [BTC], door="websocket", api_key="k", switch=native.FreezeSwitch())


# --- secp256k1

HYPERLIQUID_ORDERS = {
    "limit": (order(), True, "Gtc", False),
    "sell to reduce": (order(side=SELL, reduce_only=1, time_in_force=IOC), False, "Ioc", True),
    "maker": (order(order_type=LIMIT_MAKER), True, "Alo", False),
}
CLOID = f"0x{0xBEEF_000_01_0000001:032x}"


def hyperliquid(asset: int = 0, **options: Any) -> native.OrderSigner:
    key = native.HotKey("secp256k1", SECP_SECRET)
    return native.OrderSigner.hyperliquid("hyper", key, [(BTC, asset)], warden=warden(key, terms()), **options)


def ccxt_signature(action: Any, nonce: int, *, is_mainnet: bool) -> Any:
    exchange = ccxt.hyperliquid({"privateKey": "0x" + SECP_SECRET})
    exchange.options["sandboxMode"] = not is_mainnet
    return exchange.sign_l1_action(action, nonce)


@pytest.mark.parametrize("asset", [0, 127, 128, 255, 256, 10_107, 65_536])
@pytest.mark.parametrize("is_mainnet", [False, True])
def test_agents_actions_are_what_ccxt_signs(asset: int, is_mainnet: bool) -> None:
    signer = hyperliquid(asset, is_mainnet=is_mainnet)
    payloads = []
    for record, is_buy, time_in_force, reduce_only in HYPERLIQUID_ORDERS.values():
        message = json.loads(signer.encode(record, NOW_NS)[0])
        payload = message["request"]["payload"]
        assert (message["method"], message["request"]["type"], message["id"]) == ("post", "action", payload["nonce"])
        wire = {"a": asset, "b": is_buy, "p": "50000", "s": "0.015", "r": reduce_only}
        wire |= {"t": {"limit": {"tif": time_in_force}}, "c": CLOID}
        assert payload["action"] == {"type": "order", "orders": [wire], "grouping": "na"}
        assert list(payload["action"]["orders"][0]) == list(wire)
        payloads.append(payload)
    for record in (order(kind=AMEND, aux=5), command(CANCEL, client_id=0xBEEF_000_01_0000001)):
        payloads.append(json.loads(signer.encode(record, NOW_NS)[0])["request"]["payload"])
    assert payloads[-2]["action"]["modifies"][0]["order"]["c"] == f"0x{5:032x}"
    assert payloads[-1]["action"] == {"type": "cancelByCloid", "cancels": [{"asset": asset, "cloid": CLOID}]}
    for payload in payloads:
        assert payload["signature"] == ccxt_signature(payload["action"], payload["nonce"], is_mainnet=is_mainnet)
    nonces = [payload["nonce"] for payload in payloads]
    assert nonces == [NOW_NS // 1_000_000 + number for number in range(5)]


def test_an_agents_signature_recovers_by_eth_account_from_the_typed_document() -> None:
    exchange = ccxt.hyperliquid()
    for number in range(16):
        signer = hyperliquid(host="api.example")
        frame = signer.encode(order(client_id=number), NOW_NS)[0]
        head, _, body = frame.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /exchange HTTP/1.1\r\nHost: api.example\r\n")
        assert f"Content-Length: {len(body)}".encode() in head
        payload = json.loads(body)
        document = {
            "domain": {"name": "Exchange", "version": "1", "chainId": 1337, "verifyingContract": "0x" + "00" * 20},
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                "Agent": [{"name": "source", "type": "string"}, {"name": "connectionId", "type": "bytes32"}],
            },
            "primaryType": "Agent",
            "message": {
                "source": "b",
                "connectionId": exchange.action_hash(payload["action"], None, payload["nonce"]),
            },
        }
        signature = payload["signature"]
        vrs = (signature["v"], int(signature["r"], 16), int(signature["s"], 16))
        found = Account.recover_message(encode_typed_data(full_message=document), vrs=vrs)
        assert found == Account.from_key(SECP_SECRET).address
        assert vrs[2] <= 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0


def test_what_hyperliquid_has_not_is_refused() -> None:
    for record in (order(order_type=MARKET), order(time_in_force=FOK), command(CANCEL_ALL)):
        with pytest.raises(native.SigningRefused) as raised:
            hyperliquid().encode(record, NOW_NS)
        assert raised.value.args[0] == "unsupported"


@given(
    nonce=st.integers(0, 2**63 - 1),
    value=st.integers(0, 10**9),
    data=st.binary(max_size=120),
    gas=st.integers(21_000, 10_000_000),
    fee=st.integers(1, 10**12),
)
def test_transactions_are_what_eth_account_signs(nonce: int, value: int, data: bytes, gas: int, fee: int) -> None:
    to, selector = "0x" + "a5" * 20, "0x01020304"
    granted = terms(
        scope="chain/1", instruments=(), calls=(ListedCall(to, selector),), fee_max_wei=10**20, order_max=10**9,
        window_max=10**10, decimals=18,
    )  # fmt: skip
    key = native.HotKey("secp256k1", SECP_SECRET)
    caller = native.ContractCaller(1, key, warden(key, granted))
    call = bytes.fromhex(selector[2:]) + data
    raw = caller.sign(
        nonce=nonce,
        to=bytes.fromhex(to[2:]),
        value_wei=value,
        data=call,
        gas_limit=gas,
        max_fee_per_gas_wei=fee,
        max_priority_fee_per_gas_wei=fee // 2,
        now_ns=NOW_NS,
    )
    document = {
        "type": 2,
        "chainId": 1,
        "nonce": nonce,
        "to": to_checksum_address(to),
        "value": value,
        "data": call,
        "gas": gas,
    }
    document |= {"maxFeePerGas": fee, "maxPriorityFeePerGas": fee // 2}
    assert raw == bytes(Account.sign_transaction(document, SECP_SECRET).raw_transaction)
    assert Account.recover_transaction(raw) == Account.from_key(SECP_SECRET).address


def test_kinds_of_keys_keep_to_their_doors() -> None:
    with pytest.raises(native.SigningRefused, match="HMAC and Ed25519"):
        binance("rest", "secp256k1")
    key = native.HotKey("ed25519", SEED.hex())
    with pytest.raises(native.SigningRefused, match="secp256k1"):
        native.OrderSigner.hyperliquid("hyper", key, [(BTC, 0)], warden=warden(key, terms(key=key.name)))
    assert re.fullmatch(r"secp256k1:0x[0-9a-fA-F]{40}", native.HotKey("secp256k1", SECP_SECRET).name)
    assert native.HotKey("secp256k1", SECP_SECRET).name.endswith(Account.from_key(SECP_SECRET).address)
