"""A transaction as lines of plain text: the same lines at the desk, at every signer and at every cosigner.

A pure function of the transaction's bytes and the names of the policy bundle. What cannot be said exactly is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from chain import checksum
from custody.calls import DecodedCall, Kind, Shown, decode_call, decode_typed_data
from custody.calls.model import UNLIMITED
from custody.clear_signing.names import Names
from custody.clear_signing.text import date_text, decimal_text, duration_text, escape
from domain import Address, Refused

_BYTES_SHOWN_MAX: Final = 64
_LABEL_WIDTH: Final = 14
# Permit2 counts allowances in 160 bits and takes the largest for "without end".
_UNLIMITED_160: Final = (1 << 160) - 1


def render_call(
    *, chain_id: int, sender: Address, to: Address, value_wei: int, data: bytes, names: Names
) -> tuple[str, ...]:
    """Say what a transaction does: its action, amounts, parties and warnings, a line each.

    Raises:
        Refused: Rule `unreadable` if something has no exact words here, `look-alike` for an unknown address that would
            be taken for a known one, or a rule of `custody.calls.decode_call`.
    """
    writer = _Writer(chain_id, sender, names)
    if data:
        call = decode_call(sender, to, data, chain_id=chain_id, value_wei=value_wei, descriptors=names.descriptors)
        if call.coins_wei != value_wei:
            raise Refused(f"{call.method} uses {call.coins_wei} wei, {value_wei} are sent along", rule="value")
        writer.call(to, call)
    else:
        writer.coins(to, value_wei)
    return writer.lines()


def render_document(*, signer: Address, document: Mapping[str, Any], names: Names) -> tuple[str, ...]:
    """Say what a signature of a typed document permits; raises as `render_call`."""
    decoded = decode_typed_data(signer, document)
    writer = _Writer(decoded.chain_id, signer, names)
    writer.call(decoded.contract, decoded.call)
    return writer.lines()


class _Writer:
    """Collects lines; warnings come last, each once."""

    def __init__(self, chain_id: int, sender: Address, names: Names) -> None:
        self._chain_id, self._sender, self._names = chain_id, sender, names
        self._lines: list[str] = []
        self._warnings: list[str] = []

    def lines(self) -> tuple[str, ...]:
        return (*self._lines, *(f"WARNING: {warning}" for warning in dict.fromkeys(self._warnings)))

    def coins(self, to: Address, value_wei: int) -> None:
        """A plain transfer of the chain's coin."""
        self._line(0, "Action", "Send coins" if value_wei else "Send nothing (a transfer of 0)")
        self._line(0, "Amount", self._names.coins(self._chain_id, value_wei))
        self._line(0, "Recipient", self._address(to))

    def call(self, to: Address, call: DecodedCall, depth: int = 0) -> None:
        if not call.action:
            raise Refused(f"there are no words for {call.method}", rule="unreadable")
        self._line(depth, "Action", escape(call.action))
        self._line(depth, "Contract", self._contract(to))
        for shown in call.shown:
            self._line(depth, shown.label, self._value(shown))
        self._warnings += call.warnings
        for number, (target, inner) in enumerate(call.inner, start=1):
            self._lines.append("  " * depth + f"Step {number} of {len(call.inner)}:")
            self.call(target, inner, depth + 1)

    def _line(self, depth: int, label: str, text: str) -> None:
        self._lines.append("  " * depth + f"{escape(label)}:".ljust(_LABEL_WIDTH) + " " + text)

    def _value(self, shown: Shown) -> str:
        return _KINDS[shown.kind](self, shown)

    def _amount(self, shown: Shown) -> str:
        if shown.of is None:
            raise Refused(f"{shown.label}: an amount of no token", rule="unreadable")
        return self._names.amount(self._chain_id, shown.of, shown.value) + f" [{shown.of}]"

    def _allowance(self, shown: Shown) -> str:
        if shown.value not in (UNLIMITED, _UNLIMITED_160) or shown.of is None:
            return "up to " + self._amount(shown)
        self._warnings.append("the allowance is unlimited: the spender may take everything, at any time")
        self._names.amount(self._chain_id, shown.of, 0)  # refuses a token nobody knows
        return f"UNLIMITED {self._names.token(self._chain_id, shown.of)}"

    def _address(self, address: Address) -> str:
        if address == self._sender:
            return f"{self._names.address(self._chain_id, address)} = the sender itself"
        if self._names.name_of(self._chain_id, address) is None:
            if twin := self._names.look_alike(self._chain_id, address):
                known = self._names.name_of(self._chain_id, twin) or self._names.token(self._chain_id, twin)
                raise Refused(
                    f"{address} is unknown and looks like {escape(known)} ({twin}): first and last digits are the same",
                    rule="look-alike",
                )
            self._warnings.append(f"{address} is not in the address book")
        return self._names.address(self._chain_id, address)

    def _contract(self, address: Address) -> str:
        is_token = (self._chain_id, address) in self._names.tokens
        return self._names.token(self._chain_id, address) if is_token else self._address(address)

    def _bytes(self, shown: Shown) -> str:
        value: bytes = shown.value
        if len(value) > _BYTES_SHOWN_MAX:
            raise Refused(f"{shown.label}: nobody reads {len(value)} bytes", rule="unreadable")
        return "0x" + value.hex()

    def _token(self, shown: Shown) -> str:
        self._names.amount(self._chain_id, shown.value, 0)  # refuses a token nobody knows
        return self._names.token(self._chain_id, shown.value)


_KINDS: Final[Mapping[Kind, Callable[[_Writer, Shown], str]]] = MappingProxyType(
    {
        Kind.TOKEN_AMOUNT: _Writer._amount,
        Kind.TOKEN_MINIMUM: lambda writer, shown: "at least " + writer._amount(shown),
        Kind.ALLOWANCE: _Writer._allowance,
        Kind.COINS: lambda writer, shown: writer._names.coins(writer._chain_id, shown.value),
        Kind.ADDRESS: lambda writer, shown: writer._address(checksum(shown.value)),
        Kind.TOKEN: _Writer._token,
        Kind.DATE: lambda _writer, shown: date_text(shown.value),
        Kind.DURATION: lambda _writer, shown: duration_text(shown.value),
        Kind.NUMBER: lambda _writer, shown: f"{shown.value:,}",
        Kind.TEXT: lambda _writer, shown: '"' + escape(str(shown.value)) + '"',
        Kind.BYTES: _Writer._bytes,
        Kind.UNIT: lambda _writer, shown: f"{decimal_text(*shown.value[:2])} {escape(shown.value[2])}",
        Kind.WORDS: lambda _writer, shown: escape(str(shown.value)),
    }
)
