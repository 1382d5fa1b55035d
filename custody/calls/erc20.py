"""ERC-20 tokens, and wrapped coins."""

from __future__ import annotations

from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import NOTHING, UNLIMITED, DecodedCall, Kind, Shown, one


def _transfer(values: Values, place: Place) -> DecodedCall:
    recipient, amount = values
    return DecodedCall(
        "transfer",
        one(place.to, amount),
        NOTHING,
        NOTHING,
        recipient=checksum(recipient),
        action="Send tokens",
        shown=(
            Shown("Amount", Kind.TOKEN_AMOUNT, amount, place.to),
            Shown("Recipient", Kind.ADDRESS, checksum(recipient)),
        ),
        warnings=_nothing_moves(amount),
    )


def _transfer_from(values: Values, place: Place) -> DecodedCall:
    owner, recipient, amount = values
    if amount == 0:
        # Anybody may move nothing between any two addresses; such calls only plant look-alikes in histories.
        raise unsafe("a transferFrom of nothing only plants addresses in somebody's history")
    # Whoever owns them, tokens leave by this signature: they count, and the recipient is judged.
    return DecodedCall(
        "transferFrom",
        one(place.to, amount),
        NOTHING,
        NOTHING,
        recipient=checksum(recipient),
        action="Send tokens out of another account's allowance" if checksum(owner) != place.sender else "Send tokens",
        shown=(
            Shown("Amount", Kind.TOKEN_AMOUNT, amount, place.to),
            Shown("Owner", Kind.ADDRESS, checksum(owner)),
            Shown("Recipient", Kind.ADDRESS, checksum(recipient)),
        ),
        others=frozenset({checksum(owner)}),
    )


def _approve(values: Values, place: Place) -> DecodedCall:
    spender, amount = values
    return _allowance("approve", "Allow a spender to take tokens", spender, amount, place)


def _increase(values: Values, place: Place) -> DecodedCall:
    spender, added = values
    call = _allowance("increaseAllowance", "Allow a spender to take more tokens than before", spender, added, place)
    if added != UNLIMITED:
        return call
    raise unsafe("an allowance is not raised by an unlimited amount")


def _decrease(values: Values, place: Place) -> DecodedCall:
    spender, taken = values
    return DecodedCall(
        "decreaseAllowance",
        NOTHING,
        NOTHING,
        approves=one(place.to, 0),
        spender=checksum(spender),
        action="Allow a spender to take fewer tokens than before",
        shown=(
            Shown("Fewer by", Kind.TOKEN_AMOUNT, taken, place.to),
            Shown("Spender", Kind.ADDRESS, checksum(spender)),
        ),
    )


def _allowance(method: str, action: str, spender: str, amount: int, place: Place) -> DecodedCall:
    return DecodedCall(
        method,
        NOTHING,
        NOTHING,
        approves=one(place.to, amount),
        spender=checksum(spender),
        action=action if amount else "Take an allowance back",
        shown=(
            Shown("Allowance", Kind.ALLOWANCE, amount, place.to),
            Shown("Spender", Kind.ADDRESS, checksum(spender)),
        ),
    )


def _deposit(_values: Values, place: Place) -> DecodedCall:
    if place.value_wei == 0:
        raise unsafe("wrapping needs coins sent along")
    return DecodedCall(
        "deposit",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=place.sender,
        coins_wei=place.value_wei,
        action="Wrap coins into tokens",
        shown=(
            Shown("Pay", Kind.COINS, place.value_wei),
            Shown("Receive", Kind.TOKEN_AMOUNT, place.value_wei, place.to),
        ),
    )


def _withdraw(values: Values, place: Place) -> DecodedCall:
    (amount,) = values
    return DecodedCall(
        "withdraw",
        one(place.to, amount),
        NOTHING,
        NOTHING,
        recipient=place.sender,
        action="Unwrap tokens into coins",
        shown=(
            Shown("Pay", Kind.TOKEN_AMOUNT, amount, place.to),
            Shown("Receive", Kind.COINS, amount),
        ),
    )


def _nothing_moves(amount: int) -> tuple[str, ...]:
    return () if amount else ("nothing is sent",)


METHODS: Final = (
    Method("transfer", ("address", "uint256"), _transfer),
    Method("transferFrom", ("address", "address", "uint256"), _transfer_from),
    Method("approve", ("address", "uint256"), _approve),
    Method("increaseAllowance", ("address", "uint256"), _increase),
    Method("decreaseAllowance", ("address", "uint256"), _decrease),
    # WETH9
    Method("deposit", (), _deposit),
    Method("withdraw", ("uint256",), _withdraw),
)
