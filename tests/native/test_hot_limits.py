"""A key signs within its certificate and its allotments, whatever is above it."""

from __future__ import annotations

import json
from typing import Any

import capstan_native as native
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.session_keys import ListedCall, ListedInstrument
from custody.session_keys.statements import certificate_text
from domain import InputError
from tests.support.hot import (
    AMEND,
    AUTHORITY,
    BTC,
    CANCEL,
    CANCEL_ALL,
    ETH,
    MARKET,
    NOW_NS,
    PLACE,
    SECOND,
    SECP_SECRET,
    allot_to,
    command,
    order,
    terms,
    warden,
)

USDT = 10**8
DOLLAR_LOTS = 2
"""So many lots at a price of 50,000.00 are worth one dollar."""
TARGET = "0x" + "a5" * 20


def agent(
    granted: Any = None, *, held: native.SessionWarden | None = None, key: native.HotKey | None = None
) -> native.OrderSigner:
    key = key or native.HotKey("secp256k1", SECP_SECRET)
    return native.OrderSigner.hyperliquid("hyper", key, [(BTC, 0)], warden=held or warden(key, granted or terms()))


def refusal(signer: native.OrderSigner, record: bytes, now_ns: int = NOW_NS) -> str:
    try:
        signer.encode(record, now_ns)
    except native.SigningRefused as exc:
        return str(exc.args[0])
    return ""


def dollars(value: int, **fields: Any) -> bytes:
    return order(size=value * DOLLAR_LOTS, **fields)


def test_one_order_is_worth_no_more_than_the_certificate_says() -> None:
    signer = agent()
    assert refusal(signer, dollars(1_000)) == ""
    assert refusal(signer, order(size=2_001)) == "amount"
    assert refusal(signer, order(size=2_000, price=5_000_001)) == "amount"
    assert refusal(signer, order(size=2**62, price=2**62)) == "amount"
    assert refusal(signer, dollars(1_000, kind=AMEND, aux=9)) == ""
    assert refusal(signer, dollars(1_001, kind=AMEND, aux=9)) == "amount"


def test_a_window_is_worth_no_more_and_slides() -> None:
    key = native.HotKey("secp256k1", SECP_SECRET)
    held = warden(key, terms(), allot=False)
    allot_to(held, 10**20, 1_000, until_ns=NOW_NS + 3_600 * SECOND)
    signer = agent(held=held, key=key)
    for _ in range(4):
        assert refusal(signer, dollars(1_000)) == ""
    assert refusal(signer, dollars(1)) == "velocity"
    assert refusal(signer, dollars(1), NOW_NS + 60 * SECOND - 1) == "velocity"
    # A clock that goes back frees nothing either.
    assert refusal(signer, dollars(1), NOW_NS - 3_600 * SECOND) == "velocity"
    assert refusal(signer, dollars(1), NOW_NS + 62 * SECOND) == ""


def test_a_window_holds_no_more_orders_and_cancels_are_free() -> None:
    signer = agent()
    for _ in range(40):
        assert refusal(signer, dollars(1)) == ""
        assert refusal(signer, command(CANCEL, client_id=1)) == ""
    assert refusal(signer, dollars(1)) == "count"
    assert refusal(signer, command(CANCEL, client_id=1)) == ""


def test_nothing_is_signed_before_from_or_after_until() -> None:
    signer = agent(terms(from_ns=NOW_NS + SECOND, until_ns=NOW_NS + 5 * SECOND))
    assert refusal(signer, dollars(1)) == "expired"
    assert refusal(signer, dollars(1), NOW_NS + SECOND) == ""
    assert refusal(signer, dollars(1), NOW_NS + 5 * SECOND - 1) == ""
    assert refusal(signer, dollars(1), NOW_NS + 5 * SECOND) == "expired"
    assert refusal(signer, dollars(1), NOW_NS + SECOND) == "expired"
    assert refusal(signer, command(CANCEL, client_id=1), NOW_NS + 5 * SECOND) == ""


def test_nothing_is_signed_without_an_allotment_or_beyond_it() -> None:
    key = native.HotKey("secp256k1", SECP_SECRET)
    held = warden(key, terms(), allot=False)
    signer = agent(held=held, key=key)
    assert refusal(signer, dollars(1)) == "allotment"
    allot_to(held, 100 * USDT, 3)
    assert refusal(signer, dollars(101)) == "allotment"
    assert refusal(signer, dollars(60)) == ""
    assert refusal(signer, dollars(41)) == "allotment"
    # Two blocks together hold one order; the first to end is used first.
    allot_to(held, 100 * USDT, 3, sequence=2, until_ns=NOW_NS + 20 * SECOND)
    assert refusal(signer, dollars(90)) == ""
    assert held.allotted(NOW_NS) == (50 * USDT, 4)
    assert held.newest(NOW_NS) == (2, 50 * USDT, 3, NOW_NS + 20 * SECOND)
    assert refusal(signer, dollars(1), NOW_NS + 10 * SECOND) == ""
    assert refusal(signer, dollars(1), NOW_NS + 20 * SECOND) == "allotment"


def test_an_allotment_is_taken_once_by_the_one_it_is_for() -> None:
    key = native.HotKey("secp256k1", SECP_SECRET)
    held = warden(key, terms(), allot=False)
    for changes in (
        {"instance": "00" * 16},
        {"key_id": 2},
        {"from_ns": NOW_NS + 1},
        {"until_ns": NOW_NS},
        {"sequence": 0},
    ):
        with pytest.raises(native.SigningRefused, match="untrusted"):
            allot_to(held, 1, 1, **changes)
    allot_to(held, 50 * USDT, 2, sequence=5)
    signer = agent(held=held, key=key)
    assert refusal(signer, dollars(30)) == ""
    # The same again makes it last longer, and holds no more than is left.
    allot_to(held, 50 * USDT, 2, sequence=5, until_ns=NOW_NS + 30 * SECOND, now_ns=NOW_NS + 5 * SECOND)
    assert held.allotted(NOW_NS + 29 * SECOND) == (20 * USDT, 1)
    with pytest.raises(native.SigningRefused, match="untrusted"):
        allot_to(held, 50 * USDT, 2, sequence=4, now_ns=NOW_NS + 29 * SECOND, until_ns=NOW_NS + 60 * SECOND)
    with pytest.raises(native.SigningRefused, match="untrusted"):
        allot_to(held, 50 * USDT, 2, sequence=5, now_ns=NOW_NS + 30 * SECOND, until_ns=NOW_NS + 60 * SECOND)
    assert held.instance != warden(native.HotKey("secp256k1", SECP_SECRET), terms(), allot=False).instance


def test_a_frozen_signer_takes_orders_back_and_gives_none() -> None:
    switch = native.FreezeSwitch()
    key = native.HotKey("secp256k1", SECP_SECRET)
    certified = agent(held=warden(key, terms(), switch=switch), key=key)
    plain = native.OrderSigner.binance(
        "spot", native.HotKey("hmac", "s" * 16), [BTC, ETH], door="websocket", api_key="k", switch=switch
    )
    assert refusal(certified, dollars(1)) == refusal(plain, dollars(1)) == ""
    switch.freeze()
    assert switch.is_frozen
    for signer in (certified, plain):
        assert refusal(signer, dollars(1)) == refusal(signer, dollars(1, kind=AMEND, aux=9)) == "frozen"
        assert refusal(signer, command(CANCEL, client_id=1)) == ""
    assert len(plain.encode(command(CANCEL_ALL), NOW_NS)) == 2
    certified.close()
    plain.close()
    for signer in (certified, plain):
        assert refusal(signer, command(CANCEL, client_id=1)) == refusal(signer, dollars(1)) == "closed"
    assert refusal(plain, command(CANCEL_ALL)) == "closed"


def test_market_orders_have_no_value_to_limit() -> None:
    key = native.HotKey("ed25519", "05" * 32)
    held = warden(key, terms(key=key.name, scope="venue/spot"))
    signer = native.OrderSigner.binance("spot", key, [BTC], door="websocket", api_key="k", warden=held)
    assert refusal(signer, dollars(1)) == ""
    assert refusal(signer, dollars(1, order_type=MARKET)) == "no-value"
    assert refusal(signer, dollars(1_001)) == "amount"


def test_instruments_are_listed_with_the_grid_they_are_traded_on() -> None:
    for instrument in ((0, "BTCUSDT", 1, 2, 1, 4), (0, "BTCUSDT", 1, 1, 1, 5), (0, "ETHUSDT", 1, 2, 1, 5)):
        key = native.HotKey("secp256k1", SECP_SECRET)
        with pytest.raises(native.SigningRefused):
            native.OrderSigner.hyperliquid("hyper", key, [(instrument, 0)], warden=warden(key, terms()))
    key = native.HotKey("secp256k1", SECP_SECRET)
    with pytest.raises(native.SigningRefused, match="another place"):
        native.OrderSigner.hyperliquid("other", key, [(BTC, 0)], warden=warden(key, terms()))
    key = native.HotKey("secp256k1", SECP_SECRET)
    with pytest.raises(native.SigningRefused, match="another place"):
        native.ContractCaller(1, key, warden(key, terms()))
    # An asset of two decimals cannot count a lot of 0.00001 at 0.01.
    key = native.HotKey("secp256k1", SECP_SECRET)
    with pytest.raises(native.SigningRefused, match="coarse"):
        native.OrderSigner.hyperliquid("hyper", key, [(BTC, 0)], warden=warden(key, terms(decimals=2)))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("order_max 100000000000", "order_max 900000000000"),
        ("id 1\n", "id 1\nid 2\n"),
        ("window_count 40\n", ""),
        ("fee_max 0\n", "fee_max 0\nweekends no\n"),
        ("fee_max 0\n", "fee_max 00\n"),
        ("fee_max 0\n", "fee_max +0\n"),
        ("session-key/v1", "session-key/v2"),
        ("session-key/v1", "session-allotment/v1"),
        ("instrument BTCUSDT 1 2 1 5", "instrument BTCUSDT 1 2 1"),
        ("instrument BTCUSDT 1 2 1 5", "instrument BTCUSDT 0 2 1 5"),
        ("instrument BTCUSDT 1 2 1 5\n", "instrument BTCUSDT 1 2 1 5"),
    ],
)
def test_a_certificate_is_whole_understood_and_signed(before: str, after: str) -> None:
    text = certificate_text(1, terms())
    assert before in text
    key = native.HotKey("secp256k1", SECP_SECRET)
    good = AUTHORITY.certify(text)
    native.SessionWarden(good.text, good.signature, AUTHORITY.public, key, native.FreezeSwitch())
    changed = text.replace(before, after)
    with pytest.raises(native.SigningRefused, match="did not sign"):
        native.SessionWarden(changed.encode(), good.signature, AUTHORITY.public, key, native.FreezeSwitch())
    signed = AUTHORITY.certify(changed)
    if before.startswith("order_max"):
        native.SessionWarden(signed.text, signed.signature, AUTHORITY.public, key, native.FreezeSwitch())
        return
    with pytest.raises(native.SigningRefused, match="untrusted"):
        native.SessionWarden(signed.text, signed.signature, AUTHORITY.public, key, native.FreezeSwitch())


def test_a_certificate_is_about_one_key() -> None:
    other = native.HotKey("secp256k1", "11" * 32)
    with pytest.raises(native.SigningRefused, match="another key"):
        warden(other, terms())
    key = native.HotKey("secp256k1", SECP_SECRET)
    good = AUTHORITY.certify(certificate_text(1, terms()))
    with pytest.raises(native.SigningRefused, match="did not sign"):
        native.SessionWarden(good.text, good.signature, bytes(32), key, native.FreezeSwitch())


CALLS = (ListedCall(TARGET, "0x01020304", 1), ListedCall(TARGET, "0x0a0b0c0d"))


def caller(**changes: Any) -> native.ContractCaller:
    granted = terms(
        **({"scope": "chain/1", "instruments": (), "calls": CALLS, "fee_max_wei": 10**15} | changes),
    )
    key = native.HotKey("secp256k1", SECP_SECRET)
    return native.ContractCaller(1, key, warden(key, granted))


def call_refusal(signer: native.ContractCaller, **changes: Any) -> str:
    values: dict[str, Any] = {
        "nonce": 0,
        "to": bytes.fromhex(TARGET[2:]),
        "value_wei": 0,
        "data": bytes.fromhex("01020304") + bytes(32) + (5 * USDT).to_bytes(32, "big"),
        "gas_limit": 100_000,
        "max_fee_per_gas_wei": 10**9,
        "max_priority_fee_per_gas_wei": 10**8,
        "now_ns": NOW_NS,
    }
    try:
        signer.sign(**values | changes)
    except native.SigningRefused as exc:
        return str(exc.args[0])
    return ""


def test_calls_are_listed_and_their_amount_counts() -> None:
    signer = caller()
    selector = bytes.fromhex("01020304")
    assert call_refusal(signer) == ""
    assert call_refusal(signer, to=b"\x01" * 20) == "not-listed"
    assert call_refusal(signer, data=b"") == "not-listed"
    assert call_refusal(signer, data=b"\x01\x02\x03\x05" + bytes(64)) == "not-listed"
    assert call_refusal(signer, data=selector + bytes(32) + (1_001 * USDT).to_bytes(32, "big")) == "amount"
    assert call_refusal(signer, data=selector + bytes(32) + (1 << 200).to_bytes(32, "big")) == "amount"
    assert call_refusal(signer, data=selector + bytes(32) + (1 << 127).to_bytes(32, "big")) == "amount"
    assert call_refusal(signer, gas_limit=1_000_001) == "amount"
    assert call_refusal(signer, gas_limit=2**63, max_fee_per_gas_wei=2**100) == "amount"
    assert call_refusal(signer, max_priority_fee_per_gas_wei=10**9 + 1) == "amount"
    with pytest.raises(ValueError, match="argument"):
        call_refusal(signer, data=selector + bytes(63))
    with pytest.raises(ValueError, match="no value"):
        call_refusal(signer, value_wei=1)
    paying = bytes.fromhex("0a0b0c0d")
    assert call_refusal(signer, data=paying, value_wei=1_000 * USDT) == ""
    assert call_refusal(signer, data=paying, value_wei=1_000 * USDT + 1) == "amount"
    signer.close()
    assert call_refusal(signer) == "closed"


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["place", "amend", "cancel", "allot"]), st.integers(1, 1_200), st.integers(0, 20 * SECOND)
        ),
        max_size=60,
    )
)
def test_whatever_is_asked_the_sums_hold(steps: list[tuple[str, int, int]]) -> None:
    """Against a plain model: every window of what was signed stays within the certificate and the allotments."""
    key = native.HotKey("secp256k1", SECP_SECRET)
    granted = terms(window_count=12)
    held = warden(key, granted, allot=False)
    signer = agent(held=held, key=key)
    now, sequence, allotted = NOW_NS, 0, 0
    good_until: list[int] = []
    signed: list[tuple[int, int]] = []
    for kind, value, wait in steps:
        now += wait
        if kind == "allot":
            sequence += 1
            until = now + 10 * SECOND
            refused = ""
            try:
                allot_to(held, value * USDT, 5, sequence=sequence, from_ns=now, until_ns=until, now_ns=now)
                allotted += value
                good_until.append(until)
            except native.SigningRefused as exc:
                refused = exc.args[1]
            if refused:  # Eight that are used up make room, so a ninth need not be refused.
                assert refused == "more allotments than can be held"
                assert sum(end > now for end in good_until) >= 8
            continue
        if kind == "cancel":
            assert refusal(signer, command(CANCEL, client_id=value), now) == ""
            continue
        rule = refusal(signer, dollars(value, kind=PLACE if kind == "place" else AMEND, aux=9), now)
        if rule == "":
            signed.append((now, value))
        window = [v for t, v in signed if t > now - 60 * SECOND]
        assert sum(window) <= 4_000
        assert len(window) <= 12
        assert sum(v for _, v in signed) <= allotted
        assert max([v for _, v in signed], default=0) <= 1_000
        # And nothing is refused that every limit allows, with the window's slots counted a little too long.
        longer = [v for t, v in signed[: -1 if rule == "" else None] if t > now - 63 * SECOND]
        room = sum(longer) + value <= 4_000 and len(longer) < 12 and value <= 1_000
        left, orders = held.allotted(now)
        if rule not in ("", "allotment") and room:
            raise AssertionError(f"{rule} for {value} after {longer}, {left} and {orders} left")


def test_a_certified_key_of_a_venue_that_is_refused_uses_no_nonce() -> None:
    signer = agent()
    assert refusal(signer, dollars(1_001)) == "amount"
    first, second = (json.loads(signer.encode(dollars(1), NOW_NS)[0])["id"] for _ in range(2))
    assert (first, second) == (NOW_NS // 1_000_000, NOW_NS // 1_000_000 + 1)


def test_terms_that_limit_nothing_are_refused() -> None:
    for changes in (
        {"key": "rsa:1"},
        {"scope": "vault/x"},
        {"purpose": " "},
        {"until_ns": 0},
        {"order_max": 0},
        {"order_max": 2_000 * USDT},
        {"window_s": 0},
        {"window_count": 3},
        {"instruments": ()},
        {"calls": CALLS},
        {"scope": "chain/1", "calls": CALLS},
        {"allotment_s": 61},
        {"decimals": 37},
    ):
        with pytest.raises(InputError):
            terms(**changes)
    for listed in (
        ListedInstrument("A B", "1", "1"),
        ListedInstrument("A", "0", "1"),
        ListedInstrument("A", "1e3", "1"),
    ):
        with pytest.raises(InputError):
            listed.line()
    for call in (ListedCall("0x1", "0x01020304"), ListedCall(TARGET, "0x0102"), ListedCall(TARGET, "0x01020304", -1)):
        with pytest.raises(InputError):
            call.line()
