"""Commands as bytes, and session keys with terms that are easy to count with."""

from __future__ import annotations

from typing import Any

import capstan_native as native
import numpy as np

from custody.session_keys import ListedInstrument, SessionAuthority, SessionTerms
from custody.session_keys.statements import allotment_text, certificate_text
from engine.records import COMMAND
from runtime import Secret

PLACE, AMEND, CANCEL, CANCEL_ALL, TIMER = 1, 2, 3, 4, 9
BUY, SELL = 0, 1
LIMIT, LIMIT_MAKER, MARKET = 0, 1, 2
GTC, IOC, FOK = 0, 1, 2

NOW_NS = 1_790_000_000_123_456_789
SECOND = 10**9
BTC: native.HotInstrument = (0, "BTCUSDT", 1, 2, 1, 5)
"""Tick 0.01, lot 0.00001."""
ETH: native.HotInstrument = (3, "ETHUSDT", 1, 2, 1, 4)
AUTHORITY = SessionAuthority(Secret("07" * 32))
SECP_SECRET = "4c0883a69102937d6231471b5dbb6204fe5129617082792ae468d01a3f362318"
"""A private key of Ethereum's documentation."""
SECP_NAME = native.HotKey("secp256k1", SECP_SECRET).name


def command(kind: int = PLACE, **fields: Any) -> bytes:
    """Write one command; what is not given is zero."""
    record = np.zeros((), COMMAND)
    record["kind"] = kind
    for name, value in fields.items():
        if name == "aux":
            record["aux"][0] = value
        else:
            record[name] = value
    return record.tobytes()


def order(**fields: Any) -> bytes:
    """Write an order to buy 0.015 BTC at 50,000."""
    return command(**({"client_id": 0xBEEF_000_01_0000001, "price": 5_000_000, "size": 1_500} | fields))


def terms(**changes: Any) -> SessionTerms:
    """BTC for up to 1,000 USDT at once (in units of 1e-8) and 4,000 a minute, 40 orders."""
    values: dict[str, Any] = {
        "key": SECP_NAME,
        "scope": "venue/hyper",
        "purpose": "market making",
        "asset": "USDT",
        "decimals": 8,
        "from_ns": NOW_NS - SECOND,
        "until_ns": NOW_NS + 3_600 * SECOND,
        "order_max": 1_000 * 10**8,
        "window_s": 60,
        "window_max": 4_000 * 10**8,
        "window_count": 40,
        "instruments": (ListedInstrument("BTCUSDT", "0.01", "0.00001"),),
        "allotment_s": 10,
        "allotment_share": 4,
    }
    return SessionTerms(**(values | changes)).check()


def warden(
    key: native.HotKey, granted: SessionTerms, *, switch: native.FreezeSwitch | None = None, allot: bool = True
) -> native.SessionWarden:
    """Hold a key to terms, with the whole window allotted for a minute."""
    certificate = AUTHORITY.certify(certificate_text(1, granted))
    held = native.SessionWarden(
        certificate.text, certificate.signature, AUTHORITY.public, key, switch or native.FreezeSwitch()
    )
    if allot:
        allot_to(held, granted.window_max, granted.window_count, until_ns=NOW_NS + 60 * SECOND)
    return held


def allot_to(held: native.SessionWarden, value: int, count: int, **changes: Any) -> None:
    values: dict[str, Any] = {"sequence": 1, "from_ns": NOW_NS, "until_ns": NOW_NS + 10 * SECOND, "now_ns": NOW_NS}
    values |= changes
    text = allotment_text(
        values.get("key_id", 1),
        values.get("instance", held.instance),
        values["sequence"],
        value=value,
        count=count,
        from_ns=values["from_ns"],
        until_ns=values["until_ns"],
    )
    statement = AUTHORITY.certify(text)
    held.allot(statement.text, statement.signature, values["now_ns"])
