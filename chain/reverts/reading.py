"""Reading revert data: texts, panics, custom errors, and errors that carry another one inside."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final

from chain.codec import ErrorType, error
from domain.errors import InputError

OURS: Final = "Capstan"
_DEPTH_MAX: Final = 4
"""Errors within errors: deeper ones stay bytes."""
_TEXT: Final = error("Error(string reason)")
_PANIC: Final = error("Panic(uint256 code)")
_PANICS: Final = {
    0x01: "an assertion failed",
    0x11: "arithmetic overflow",
    0x12: "division by zero",
    0x21: "a number outside its enum",
    0x22: "storage bytes damaged",
    0x31: "taken from an empty array",
    0x32: "an index out of bounds",
    0x41: "too much memory",
    0x51: "an uninitialised function was called",
}
_INNER: Final = frozenset({"message", "reason", "inner", "ret", "returnData", "revertData", "error"})
"""Fields of bytes that hold what a call inside reverted with."""


@dataclass(frozen=True, slots=True)
class Revert:
    """Why a call reverted."""

    name: str
    """What a program compares: an error's name, a code like `GS026`, or the text itself. Empty: no reason given."""
    text: str
    """With its values, as a person reads it."""
    protocol: str = ""
    """Whose error it is, where that is known."""
    meaning: str = ""
    """In plain words, where the name does not say it."""
    inner: Revert | None = None
    """What a call inside it failed with."""

    @property
    def root(self) -> Revert:
        """The innermost reason: the one to act on."""
        return self if self.inner is None else self.inner.root

    @property
    def in_words(self) -> str:
        """The text with the innermost reason's meaning."""
        root = self.root
        return self.text if not root.meaning or root.meaning in self.text else f"{self.text}: {root.meaning}"


@dataclass(frozen=True, slots=True)
class _Known:
    type: ErrorType
    protocol: str
    meaning: str


@dataclass(frozen=True, slots=True)
class _Word:
    protocol: str
    meaning: str
    is_code: bool


def explain(output: bytes) -> Revert:
    """Read revert data; what is not known comes out as its selector, and nothing at all as an empty name."""
    return _explain(output, 0)


def _explain(output: bytes, depth: int) -> Revert:
    if len(output) < 4:
        return Revert("", "")
    selector = output[:4]
    try:
        if selector == _TEXT.selector:
            (text,) = _TEXT.arguments.decode(output[4:])
            return _text(text)
        if selector == _PANIC.selector:
            (code,) = _PANIC.arguments.decode(output[4:])
            return Revert("Panic", f"panic 0x{code:02x}", meaning=_PANICS.get(code, ""))
    except InputError:
        return _unknown(output)
    known = _errors().get(selector)
    return _unknown(output) if known is None else _custom(known, output, depth)


def _unknown(output: bytes) -> Revert:
    text = f"custom error 0x{output[:4].hex()}"
    return Revert(text, text)


def _text(text: str) -> Revert:
    words = _words()
    word = words.get(text) or words.get(text.split(" ", 1)[0])
    if word is None:
        return Revert(text, text)
    # A bare code says nothing to a person; a text says itself.
    shown = f"{text} ({word.meaning})" if word.is_code else text
    return Revert(text, shown, word.protocol, word.meaning)


def _custom(known: _Known, output: bytes, depth: int) -> Revert:
    kind = known.type
    try:
        values = kind.arguments.decode(output[4:])
    except InputError:
        return Revert(kind.name, kind.name, known.protocol, known.meaning)
    inner: Revert | None = None
    shown = []
    for field, value in zip(kind.signature.inputs.fields, values, strict=True):
        found = _inner(field.name, value, depth)
        if found is not None and inner is None:
            inner = found
        else:
            shown.append(f"{field.name}={_shown(value)}")
    text = f"{kind.name}({', '.join(shown)})" if shown or inner is None else kind.name
    if not kind.signature.inputs.fields:
        text = kind.name
    if inner is not None:
        text = f"{text}: {inner.text}"
    return Revert(kind.name, text, known.protocol, known.meaning, inner)


def _inner(name: str, value: Any, depth: int) -> Revert | None:
    if name not in _INNER or depth >= _DEPTH_MAX:
        return None
    if isinstance(value, str):
        return _text(value) if value else None
    return _explain(value, depth + 1) if isinstance(value, bytes) and len(value) >= 4 else None


def _shown(value: Any) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)


@cache
def _errors() -> Mapping[bytes, _Known]:
    found: dict[bytes, _Known] = {}
    for line in (files(__package__) / "ours.txt").read_text().splitlines():
        ours = error(line)
        found[ours.selector] = _Known(ours, OURS, "")
    for protocol, entries in _table()["errors"].items():
        for text, meaning in entries.items():
            kind = error(text)
            before = found.get(kind.selector)
            # Several protocols share some errors; the first one's values are named alike.
            whose = protocol if before is None else f"{before.protocol} or {protocol}"
            first = kind if before is None else before.type
            found[kind.selector] = _Known(first, whose, (before.meaning if before else "") or meaning)
    return found


@cache
def _words() -> Mapping[str, _Word]:
    table = _table()
    return {
        text: _Word(protocol, meaning, section == "coded")
        for section in ("strings", "coded")
        for protocol, entries in table[section].items()
        for text, meaning in entries.items()
    }


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads((files(__package__) / "errors.toml").read_text())
