"""Permit2: allowances kept by one contract for all tokens, given by a call or by a signature.

The documents are at `custody.calls.typed_data`; here are the calls. A signature within a call is somebody's permission,
already given: it is read like the allowance it gives.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown, joined, one
from domain import Address

PERMIT2: Final = checksum("0x000000000022d473030f116ddee9f6b43ac78ba3")

DETAILS: Final = "(address,uint160,uint48,uint48)"
SINGLE: Final = f"({DETAILS},address,uint256)"
_BATCH: Final = f"({DETAILS}[],address,uint256)"
_TRANSFER: Final = "(address,address,uint160,address)"


def allowances(
    method: str, details: Sequence[Any], spender: str, *, sig_deadline: int | None = None, action: str = ""
) -> DecodedCall:
    """Read allowances of (token, amount, expiration, nonce) to one spender."""
    if not details:
        raise unsafe("a permit for no token")
    tokens = [checksum(token) for token, *_ in details]
    if len(set(tokens)) != len(tokens):
        raise unsafe("a permit names a token twice")
    shown: list[Shown] = []
    for token, amount, expiration, _nonce in details:
        shown.append(Shown("Allowance", Kind.ALLOWANCE, amount, checksum(token)))
        # Permit2 reads 0 as "this block only".
        shown.append(
            Shown("Allowed until", Kind.DATE, expiration)
            if expiration
            else Shown("Allowed until", Kind.WORDS, "the end of the block it is in")
        )
    shown.append(Shown("Spender", Kind.ADDRESS, checksum(spender)))
    if sig_deadline is not None:
        shown.append(Shown("Signature until", Kind.DATE, sig_deadline))
    return DecodedCall(
        method,
        NOTHING,
        NOTHING,
        approves=joined(*(one(token, amount) for token, amount, _, _ in details)),
        spender=checksum(spender),
        deadline_s=max(expiration for _, _, expiration, _ in details),
        action=action or "Allow a spender to take tokens through Permit2",
        shown=tuple(shown),
    )


def _approve(values: Values, _place: Place) -> DecodedCall:
    token, spender, amount, expiration = values
    return allowances("approve", [(token, amount, expiration, 0)], spender)


def _permit(values: Values, place: Place) -> DecodedCall:
    owner, (details, spender, sig_deadline), _signature = values
    _check_owner(owner, place)
    return allowances("permit", [details], spender, sig_deadline=sig_deadline)


def _permit_batch(values: Values, place: Place) -> DecodedCall:
    owner, (details, spender, sig_deadline), _signature = values
    _check_owner(owner, place)
    return allowances("permit", details, spender, sig_deadline=sig_deadline)


def _transfer_from(values: Values, place: Place) -> DecodedCall:
    return _transfers([values], place)


def _transfer_batch(values: Values, place: Place) -> DecodedCall:
    (details,) = values
    return _transfers([(owner, to, amount, token) for owner, to, amount, token in details], place)


def _transfers(details: Sequence[Any], place: Place) -> DecodedCall:
    """Read transfers of (owner, recipient, amount, token)."""
    recipients = {checksum(recipient) for _, recipient, _, _ in details}
    if len(recipients) != 1 or any(amount == 0 for _, _, amount, _ in details):
        raise unsafe("transfers through Permit2 go to one recipient and move something")
    shown: list[Shown] = []
    for owner, _recipient, amount, token in details:
        shown.append(Shown("Amount", Kind.TOKEN_AMOUNT, amount, checksum(token)))
        shown.append(Shown("Owner", Kind.ADDRESS, checksum(owner)))
    (recipient,) = recipients
    owners: set[Address] = {checksum(owner) for owner, _, _, _ in details}
    return DecodedCall(
        "transferFrom",
        spends=joined(*(one(token, amount) for _, _, amount, token in details)),
        receives_min=NOTHING,
        approves=NOTHING,
        recipient=recipient,
        action="Send tokens through Permit2",
        shown=(*shown, Shown("Recipient", Kind.ADDRESS, recipient)),
        others=frozenset(owners - {place.sender}),
    )


def _check_owner(owner: str, place: Place) -> None:
    if checksum(owner) != place.sender:
        raise unsafe(f"a permit of another account ({owner}) is not ours to send")


METHODS: Final = (
    Method("approve", ("address", "address", "uint160", "uint48"), _approve),
    Method("permit", ("address", SINGLE, "bytes"), _permit),
    Method("permit", ("address", _BATCH, "bytes"), _permit_batch),
    Method("transferFrom", ("address", "address", "uint160", "address"), _transfer_from),
    Method("transferFrom", (f"{_TRANSFER}[]",), _transfer_batch),
)
