"""What a session key may do, as people write it down."""

from __future__ import annotations

import re
from typing import Annotated, Self

import msgspec

from domain import InputError

_KEY = re.compile(r"hmac:[0-9a-f]{32}|ed25519:[0-9a-f]{64}|secp256k1:0x[0-9a-fA-F]{40}")
_SCOPE = re.compile(r"(chain/[1-9][0-9]{0,18})|(venue/[A-Za-z0-9:._\-]{1,80})")
_SYMBOL = re.compile(r"[A-Za-z0-9:._\-]{1,40}")
_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,18})(?:\.([0-9]{1,18}))?")
_HEX4 = re.compile(r"0x[0-9a-f]{8}")
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
AMOUNT_MAX = 1 << 120
"""Amounts stay far below what the signer's 128 bits hold, sums of a window included."""

Amount = Annotated[int, msgspec.Meta(ge=0)]


class ListedInstrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An instrument with the grid that its orders are counted on."""

    symbol: str
    tick: str
    lot: str

    def line(self) -> str:
        """Write it as the signer reads it: symbol, then digits and scale of tick and lot.

        Raises:
            InputError: Not a symbol, or not a positive decimal.
        """
        if not _SYMBOL.fullmatch(self.symbol):
            raise InputError(f"not a symbol: {self.symbol!r}")
        return f"{self.symbol} {_unit(self.tick)} {_unit(self.lot)}"


class ListedCall(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A contract's function, and which of its arguments is the amount that counts (None: the value sent with it)."""

    to: str
    selector: str
    amount_argument: int | None = None

    def line(self) -> str:
        """Write it as the signer reads it.

        Raises:
            InputError: Not an address, a selector or an argument's number.
        """
        if not _ADDRESS.fullmatch(self.to) or not _HEX4.fullmatch(self.selector):
            raise InputError(f"not a contract and a selector: {self.to!r}, {self.selector!r}")
        if self.amount_argument is not None and not 0 <= self.amount_argument < 1_000:
            raise InputError(f"not an argument's number: {self.amount_argument}")
        return f"{self.to.lower()} {self.selector} {'-' if self.amount_argument is None else self.amount_argument}"


class SessionTerms(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What custody grants to one key. Amounts are in the smallest unit of one asset, with so many `decimals`."""

    key: str
    """As the signer names it: `secp256k1:0x…`, `ed25519:…`, or `hmac:` and a fingerprint."""
    scope: str
    """Where: `venue/NAME` or `chain/ID`. Freezing it, or everything, ends what the key may give."""
    purpose: str
    asset: str
    decimals: int
    from_ns: int
    until_ns: int
    order_max: Amount
    window_s: int
    window_max: Amount
    """Of everything signed within a window: orders that were cancelled or replaced count in full."""
    window_count: int
    instruments: tuple[ListedInstrument, ...] = ()
    calls: tuple[ListedCall, ...] = ()
    fee_max_wei: Amount = 0
    allotment_s: int = 60
    """How long an allotment lasts: what a frozen or revoked key may at most go on for."""
    allotment_share: int = 8
    """One allotment is this part of the window: 8 is an eighth."""

    def check(self) -> Self:
        """Refuse terms that are malformed or limit nothing.

        Raises:
            InputError: Says what.
        """
        if not _KEY.fullmatch(self.key) or not _SCOPE.fullmatch(self.scope):
            raise InputError(f"not a key and a scope: {self.key!r}, {self.scope!r}")
        if not self.purpose.strip() or len(self.purpose) > 200 or not _SYMBOL.fullmatch(self.asset):
            raise InputError("a session key has a purpose, and an asset its limits are in")
        if not 0 <= self.decimals <= 36:
            raise InputError(f"{self.decimals} decimals: 0 to 36 can be counted")
        if not 0 <= self.from_ns < self.until_ns < 1 << 63:
            raise InputError("a session key ends after it begins")
        if not 0 < self.order_max <= self.window_max < AMOUNT_MAX or self.fee_max_wei >= AMOUNT_MAX:
            raise InputError("limits are positive, and one order's is within the window's")
        if not 0 < self.window_s <= 31 * 86_400 or not 0 < self.window_count < 1 << 31:
            raise InputError("a window has 1 second to 31 days and a number of orders")
        if not 1 <= self.allotment_s <= self.window_s or not 1 <= self.allotment_share <= 1_000:
            raise InputError("an allotment lasts no longer than the window and is a part of it")
        if self.window_count < self.allotment_share or self.window_max // self.allotment_share < self.order_max:
            raise InputError("an allotment must hold an order: lower allotment_share, or raise the window's limits")
        if not self.instruments and not self.calls:
            raise InputError("a session key that may do nothing is none")
        if self.calls and not self.scope.startswith("chain/"):
            raise InputError("calls are for chains")
        if self.calls and not self.fee_max_wei:
            raise InputError("calls cost gas: say how much a transaction may cost")
        return self


def _unit(text: str) -> str:
    found = _DECIMAL.fullmatch(text)
    digits = int(found[1] + (found[2] or "")) if found else 0
    if found is None or not 0 < digits < 1 << 63:
        raise InputError(f"not a positive decimal of at most 18 places: {text!r}")
    return f"{digits} {len(found[2] or '')}"
