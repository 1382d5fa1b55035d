"""Balancer's Vault: a swap on one of its pools, paid from and to the caller's own tokens."""

from __future__ import annotations

from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown, one

_GIVEN_IN: Final = 0
_GIVEN_OUT: Final = 1
_ZERO: Final = "0x0000000000000000000000000000000000000000"


def _swap(values: Values, place: Place) -> DecodedCall:
    (pool_id, kind, asset_in, asset_out, amount, user_data), funds, limit, deadline = values
    payer, from_internal, recipient, to_internal = funds
    if checksum(payer) != place.sender:
        raise unsafe("a swap that another account pays is not ours to send")
    if from_internal or to_internal:
        raise unsafe("balances within the Vault are in no book of ours")
    if user_data:
        raise unsafe("what a pool is told besides is not read")
    if _ZERO in (asset_in, asset_out, recipient) or asset_in == asset_out or kind not in (_GIVEN_IN, _GIVEN_OUT):
        raise unsafe("a swap of two tokens for somebody is read, coins are not")
    if checksum(recipient) == place.to or amount == 0:
        raise unsafe("a swap of nothing, or for the Vault itself")
    is_exact_out = kind == _GIVEN_OUT
    paid, received = (limit, amount) if is_exact_out else (amount, limit)
    source, target = checksum(asset_in), checksum(asset_out)
    return DecodedCall(
        "swap",
        spends=one(source, paid),
        receives_min=one(target, received),
        approves=NOTHING,
        recipient=checksum(recipient),
        deadline_s=deadline,
        action="Swap on Balancer",
        shown=(
            Shown("Pay at most" if is_exact_out else "Pay", Kind.TOKEN_AMOUNT, paid, source),
            Shown("Receive", Kind.TOKEN_AMOUNT if is_exact_out else Kind.TOKEN_MINIMUM, received, target),
            Shown("Recipient", Kind.ADDRESS, checksum(recipient)),
            Shown("Pool", Kind.BYTES, pool_id),
            Shown("Valid until", Kind.DATE, deadline),
        ),
    )


_SINGLE: Final = "(bytes32,uint8,address,address,uint256,bytes)"
METHODS: Final = (Method("swap", (_SINGLE, "(address,bool,address,bool)", "uint256", "uint256"), _swap),)
