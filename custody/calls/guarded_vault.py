"""The guarded vault of contracts/src/custody: payments by its operator, proposals that wait, the guardian's stops.

`withdraw(id)` has the selector of a wrapped coin's `withdraw(amount)` and is read as that one; take a proposal back by
the guardian's veto instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import COIN, NOTHING, DecodedCall, Kind, Shown, one
from domain import Address

_CHAIN_COIN: Final = checksum("0x" + "00" * 20)
_ROLES: Final = {5: "admin", 6: "operator", 7: "guardian"}
"""`IGuardedVault.Kind`: those that replace somebody."""


def _amount(label: str, asset: str, raw: int) -> Shown:
    if checksum(asset) == _CHAIN_COIN:
        return Shown(label, Kind.COINS, raw)
    return Shown(label, Kind.TOKEN_AMOUNT, raw, checksum(asset))


def _payment(method: str, action: str) -> Method:
    def reader(values: Values, _place: Place) -> DecodedCall:
        asset, recipient, amount = values
        if amount == 0:
            raise unsafe("a payment of nothing")
        token = COIN if checksum(asset) == _CHAIN_COIN else checksum(asset)
        return DecodedCall(
            method,
            one(token, amount),
            NOTHING,
            NOTHING,
            recipient=checksum(recipient),
            action=action,
            shown=(_amount("Amount", asset, amount), Shown("Recipient", Kind.ADDRESS, checksum(recipient))),
        )

    return Method(method, ("address", "address", "uint256"), reader)


def _order(
    method: str,
    types: tuple[str, ...],
    action: str,
    shown: Callable[[Values], tuple[Shown, ...]] = lambda _values: (),
    *,
    warning: str = "",
    others: Callable[[Values], frozenset[Address]] = lambda _values: frozenset(),
) -> Method:
    """A call that moves nothing by itself."""

    def reader(values: Values, _place: Place) -> DecodedCall:
        return DecodedCall(
            method,
            NOTHING,
            NOTHING,
            NOTHING,
            action=action,
            shown=shown(values),
            warnings=(warning,) if warning else (),
            others=others(values),
        )

    return Method(method, types, reader)


def _proposal(values: Values) -> tuple[Shown, ...]:
    return (Shown("Proposal", Kind.NUMBER, values[0]),)


def _delay(values: Values) -> tuple[Shown, ...]:
    return (Shown("New delay", Kind.DURATION, values[0]),)


def _limit(values: Values) -> tuple[Shown, ...]:
    return (_amount("In 24 hours", values[0], values[1]),)


def _role(values: Values) -> tuple[Shown, ...]:
    kind, holder = values
    if kind not in _ROLES:
        raise unsafe(f"role kind {kind} replaces nobody")
    return (Shown("Role", Kind.WORDS, _ROLES[kind]), Shown("New holder", Kind.ADDRESS, checksum(holder)))


METHODS: Final = (
    _payment("pay", "Pay out of a guarded vault, within its limit"),
    _payment("proposePayment", "Propose a payment out of a guarded vault"),
    _order("proposeLimit", ("address", "uint256"), "Propose a higher limit of a guarded vault", _limit),
    _order("proposeDelay", ("uint40",), "Propose a shorter delay of a guarded vault", _delay),
    _order("proposeUnpause", (), "Propose to end the pause of a guarded vault"),
    _order(
        "proposeRole",
        ("uint8", "address"),
        "Propose another holder of a role of a guarded vault",
        _role,
        others=lambda values: frozenset({checksum(values[1])}),
    ),
    _order(
        "execute",
        ("uint256",),
        "Carry out a proposal of a guarded vault",
        _proposal,
        warning="what the proposal does is in the vault, not in this transaction: look it up before approving",
    ),
    _order("veto", ("uint256",), "Stop a proposal of a guarded vault for good", _proposal),
    _order("vetoUpTo", ("uint256",), "Stop all proposals of a guarded vault up to this one", _proposal),
    _order("pause", (), "Stop all payments of a guarded vault"),
    _order("lowerLimit", ("address", "uint256"), "Lower a limit of a guarded vault at once", _limit),
    _order("lengthenDelay", ("uint40",), "Lengthen the delay of a guarded vault at once", _delay),
)
