"""The deposit contracts: sweeping forwarders into their vault."""

from __future__ import annotations

from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown
from domain import Address

_COIN: Final = checksum("0x" + "00" * 20)


def _sweep(values: Values, place: Place) -> DecodedCall:
    items = [(account, checksum(token), raw) for account, token, raw in values[0]]
    if not items or any(raw == 0 for _, _, raw in items):
        raise unsafe("a sweep takes something from every forwarder it names")
    # Where to is no argument: the sweeper's factory pays to the one vault it was built with. So the sweeper stands for
    # that vault as recipient, and policy decides which sweepers may be called and receive; the sender spends nothing.
    return DecodedCall(
        "sweep",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=place.to,
        action="Sweep deposits into the sweeper's own vault",
        shown=tuple(line for account, token, raw in items for line in _item(account, token, raw)),
        others=frozenset(token for _, token, _ in items if token != _COIN),
    )


def _item(account: bytes, token: Address, raw: int) -> tuple[Shown, ...]:
    amount = Shown("Amount", Kind.COINS, raw) if token == _COIN else Shown("Amount", Kind.TOKEN_AMOUNT, raw, token)
    return (Shown("From account", Kind.BYTES, account), amount)


def _deploy(values: Values, _place: Place) -> DecodedCall:
    return DecodedCall(
        "deploy",
        NOTHING,
        NOTHING,
        NOTHING,
        action="Put a deposit forwarder's code at its address",
        shown=(Shown("For account", Kind.BYTES, values[0]),),
    )


def _sweep_one(values: Values, place: Place) -> DecodedCall:
    return _sweep(([values],), place)


METHODS: Final = (
    Method("sweep", ("(bytes32,address,uint256)[]",), _sweep),
    # DepositForwarderFactory
    Method("sweep", ("bytes32", "address", "uint256"), _sweep_one),
    Method("deploy", ("bytes32",), _deploy),
)
