"""GMX orders read from their bytes: what moves, whose it stays, and everything that is not one plain order refused."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.calls import decode_call
from custody.calls.registry import _FAMILIES, _METHODS
from dex.perps.gmx import GmxOrder, OrderKind, load_book, plan_cancel, plan_order
from dex.perps.gmx.abi import CREATE_ORDER, MULTICALL, SEND_TOKENS, SEND_WNT
from domain import Refused
from tests.support.approvers import PARTNER, VAULT

BOOK = load_book(42161)
MARKET = BOOK.market("ETH/USD")
USDC = MARKET.short_token.address
FEE = 10**15


def order(kind: OrderKind = OrderKind.MARKET_INCREASE, **changes: Any) -> bytes:
    values = {
        "market": MARKET,
        "kind": kind,
        "is_long": True,
        "size_usd": Decimal(30_000),
        "collateral": USDC,
        "collateral_raw": 5_000_000_000,
        "acceptable_price": Decimal(3_010),
        "trigger_price": None if kind.is_market else Decimal(2_900),
    } | changes
    return plan_order(
        intent_id="o", strategy="s", book=BOOK, order=GmxOrder(**values), sender=VAULT, execution_fee_wei=FEE
    ).data


def read(data: bytes) -> Any:
    return decode_call(VAULT, BOOK.exchange_router, data, chain_id=42161, value_wei=FEE)


@pytest.mark.parametrize("kind", list(OrderKind))
def test_an_order_spends_its_collateral_and_fee_and_comes_back_to_its_sender(kind: OrderKind) -> None:
    call = read(order(kind))
    assert dict(call.spends) == ({USDC: 5_000_000_000} if kind.is_increase else {})
    assert (call.coins_wei, call.recipient, call.method) == (FEE, VAULT, "createOrder")
    assert {MARKET.address, BOOK.order_vault} <= call.others
    assert call.action.startswith("Increase" if kind.is_increase else "Decrease")


def test_taking_an_order_back_moves_nothing_out() -> None:
    call = read(plan_cancel(intent_id="c", strategy="s", book=BOOK, key=b"\x01" * 32, sender=VAULT).data)
    assert (dict(call.spends), call.coins_wei, call.recipient) == ({}, 0, VAULT)


def _parts(data: bytes) -> list[bytes]:
    return list(MULTICALL.read(data)[0])


def _changed(addresses: dict[int, Any] | None = None, numbers: dict[int, Any] | None = None, **rest: Any) -> bytes:
    """The order with single fields of its struct replaced, by index or name."""
    calls = _parts(order())
    (found,) = CREATE_ORDER.read(calls[-1])
    fields = [list(part) if isinstance(part, tuple) else part for part in found]
    for index, value in (addresses or {}).items():
        fields[0][index] = value
    for index, value in (numbers or {}).items():
        fields[1][index] = value
    names = ("kind", "swap_type", "is_long", "unwraps", "cancels", "referral", "more")
    for name, value in rest.items():
        fields[2 + names.index(name)] = value
    return MULTICALL.encode(
        [*calls[:-1], CREATE_ORDER.encode(tuple(tuple(f) if isinstance(f, list) else f for f in fields))]
    )


@pytest.mark.parametrize(
    "data",
    [
        _changed({0: PARTNER}),
        _changed({1: PARTNER}),
        _changed({2: PARTNER}),
        _changed({3: PARTNER}),
        _changed({5: MARKET.long_token.address}),
        _changed({6: (MARKET.address,)}),
        _changed(numbers={1: 1}),
        _changed(numbers={2: 7}),
        _changed(numbers={3: 0}),
        _changed(numbers={4: FEE + 1}),
        _changed(numbers={5: 1}),
        _changed(numbers={6: 1}),
        _changed(numbers={7: 1}),
        _changed(kind=0),
        _changed(kind=7),
        _changed(kind=3),
        _changed(kind=4),
        _changed(swap_type=1),
        _changed(unwraps=True),
        _changed(cancels=True),
        _changed(referral=b"\x01" * 32),
        _changed(more=(b"\x01" * 32,)),
        MULTICALL.encode(_parts(order())[:1]),
        MULTICALL.encode(_parts(order())[:2]),
        MULTICALL.encode(_parts(order())[1:]),
        MULTICALL.encode([_parts(order())[0], *_parts(order())]),
        MULTICALL.encode([*_parts(order()), _parts(order())[-1]]),
        MULTICALL.encode([SEND_WNT.encode(PARTNER, FEE), *_parts(order())[1:]]),
        MULTICALL.encode([SEND_WNT.encode(BOOK.order_vault, 0), *_parts(order())[1:]]),
        MULTICALL.encode([_parts(order())[0], SEND_TOKENS.encode(USDC, PARTNER, 5_000_000_000), _parts(order())[-1]]),
        MULTICALL.encode(
            [_parts(order())[0], SEND_TOKENS.encode(USDC, BOOK.order_vault, 5_000_000_001), _parts(order())[-1]]
        ),
        MULTICALL.encode([_parts(order())[0], *_parts(order(OrderKind.MARKET_DECREASE))[1:], b""]),
        MULTICALL.encode([*_parts(order())[:-1], _parts(order())[-1] + bytes(32)]),
        MULTICALL.encode([]),
        _parts(order())[0],
        _parts(order())[1],
        _parts(order())[-1],
    ],
)
def test_whatever_is_not_one_plain_order_is_refused(data: bytes) -> None:
    with pytest.raises(Refused) as refusal:
        read(data)
    assert refusal.value.rule in ("unsafe-call", "malformed-call", "unknown-method")


@given(st.data())
def test_no_two_orders_read_the_same(data: st.DataObject) -> None:
    """A changed byte is refused, or is read as something else."""
    content = order(OrderKind.LIMIT_INCREASE)
    at = data.draw(st.integers(0, len(content) - 1))
    changed = bytearray(content)
    changed[at] ^= data.draw(st.integers(1, 255))
    try:
        found = read(bytes(changed))
    except Refused:
        return
    assert found != read(content)


def test_each_selector_has_one_reader() -> None:
    # The registry is a dict: of two readers of one selector, the one that comes later would win in silence.
    assert sum(len(family.METHODS) for family in _FAMILIES) == len(_METHODS)
