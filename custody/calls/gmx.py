"""GMX v2's ExchangeRouter: creating one order with its keeper's fee and collateral, and taking an order back.

Read is the whole batch and nothing but it: the fee to the vault that the collateral goes to, the collateral, the
order. The order's receivers must be the sender: a keeper pays out in a transaction of its own, which nobody here
signs. What the vault does is in GMX's contracts; that the batch goes to GMX's router is for policy to say.
"""

from __future__ import annotations

from typing import Any, Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, canonical, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown, one

SEND_WNT: Final = Method("sendWnt", ("address", "uint256"), lambda _values, _place: _never())
_SEND_TOKENS: Final = Method("sendTokens", ("address", "address", "uint256"), lambda _values, _place: _never())
_ORDER: Final = (
    "((address,address,address,address,address,address,address[]),"
    "(uint256,uint256,uint256,uint256,uint256,uint256,uint256,uint256),"
    "uint8,uint8,bool,bool,bool,bytes32,bytes32[])"
)
_CREATE: Final = Method("createOrder", (_ORDER,), lambda _values, _place: _never())
_ZERO: Final = checksum("0x" + "00" * 20)
_USD_DECIMALS: Final = 30
_KINDS: Final = {
    2: ("Increase", True, False),
    3: ("Increase at a limit", True, True),
    4: ("Decrease", False, False),
    5: ("Decrease at a limit", False, True),
    6: ("Decrease as a stop loss", False, True),
    8: ("Increase at a stop", True, True),
}
"""GMX's `Order.OrderType`: words, whether it increases, whether it waits for a price."""


def order_batch(calls: list[bytes], place: Place) -> DecodedCall:
    """Read what a `multicall` that begins with `sendWnt` does.

    Raises:
        Refused: It is anything but one order with its fee and collateral.
    """
    fee_vault, fee = _arguments(SEND_WNT, calls[0])
    addresses, numbers, kind, swap_type, is_long, unwraps, cancels, referral, more = _order(calls[-1])
    receiver, cancel_receiver, callback, ui_fee_receiver, market, collateral, swap_path = addresses
    size, collateral_raw, trigger, acceptable, execution_fee, callback_gas, min_output, valid_from = numbers
    if kind not in _KINDS:
        raise unsafe(f"GMX order type {kind} is not read")
    words, is_increase, has_trigger = _KINDS[kind]
    if checksum(receiver) != place.sender or checksum(cancel_receiver) != place.sender:
        raise unsafe("the proceeds of an order come back to its sender")
    if {checksum(callback), checksum(ui_fee_receiver)} != {_ZERO} or callback_gas or any(referral) or more:
        raise unsafe("an order with a callback, a fee for others, a referral or data")
    if swap_path or swap_type or unwraps or cancels or min_output or valid_from:
        raise unsafe("an order that swaps, unwraps, cancels itself or begins later")
    if fee == 0 or fee != execution_fee:
        raise unsafe("the keeper's fee that is sent is not the one of the order")
    if has_trigger != (trigger > 0) or acceptable == 0:
        raise unsafe("an order has a worst price, and a trigger exactly if it waits for one")
    spends = NOTHING
    paid = calls[1:-1]
    if is_increase:
        if len(paid) != 1:
            raise unsafe("an increase pays its collateral in, once")
        token, vault, amount = _arguments(_SEND_TOKENS, paid[0])
        if vault != fee_vault or checksum(token) != checksum(collateral) or amount == 0 or amount != collateral_raw:
            raise unsafe("the collateral that is sent is not the one of the order")
        spends = one(token, amount)
    elif paid:
        raise unsafe("a decrease pays nothing in")
    return DecodedCall(
        "createOrder",
        spends,
        NOTHING,
        NOTHING,
        recipient=place.sender,
        coins_wei=fee,
        action=f"{words} a {'long' if is_long else 'short'} position on GMX",
        shown=(
            Shown("Market", Kind.ADDRESS, checksum(market)),
            Shown("Size", Kind.UNIT, (size, _USD_DECIMALS, "USD")),
            Shown("Pay collateral" if is_increase else "Take collateral out", *_token(collateral, collateral_raw)),
            # The index token's decimals are the market's matter, so the price is GMX's own number.
            Shown("Worst price (GMX units)", Kind.NUMBER, acceptable),
            *((Shown("Trigger price (GMX units)", Kind.NUMBER, trigger),) if trigger else ()),
            Shown("Keeper's fee, unused part returned", Kind.COINS, fee),
            Shown("Through the vault", Kind.ADDRESS, checksum(fee_vault)),
            Shown("Recipient", Kind.ADDRESS, place.sender),
        ),
        others=frozenset({checksum(market), checksum(fee_vault), checksum(collateral)}),
    )


def _cancel(values: Values, place: Place) -> DecodedCall:
    (key,) = values
    return DecodedCall(
        "cancelOrder",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=place.sender,
        action="Take an order back from GMX",
        shown=(Shown("Order", Kind.BYTES, key), Shown("Recipient", Kind.ADDRESS, place.sender)),
    )


def _token(token: str, raw: int) -> tuple[Kind, int, Any]:
    return Kind.TOKEN_AMOUNT, raw, checksum(token)


def _order(call: bytes) -> Values:
    (order,) = _arguments(_CREATE, call)
    return tuple(order)


def _arguments(method: Method, call: bytes) -> Values:
    if call[:4] != method.selector:
        raise unsafe(f"expected {method.name} at this place of an order")
    return canonical(method.name, method.types, call[4:])


def _never() -> DecodedCall:
    raise unsafe("a part of a GMX order alone")


# `createOrder` alone is refused; it stands here so that a policy may name it.
METHODS: Final = (_CREATE, Method("cancelOrder", ("bytes32",), _cancel))
