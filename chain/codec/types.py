"""ABI types and signatures, read from the text in which Solidity writes them.

    function exactInputSingle((address tokenIn, address tokenOut, uint24 fee) params) returns (uint256 amountOut)
    event Transfer(address indexed from, address indexed to, uint256 value)
    error InsufficientBalance(uint256 available, uint256 needed)

Names of parameters may be left out. The words before the name and those Solidity allows after the parameters are
taken and ignored.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

from domain.errors import InputError

_TOKEN: Final = re.compile(r"\s*([A-Za-z_$][A-Za-z0-9_$]*|[0-9]+|[()\[\],])")
_NUMERIC: Final = re.compile(r"(u?int)([0-9]{0,3})")
_FIXED_BYTES: Final = re.compile(r"bytes([0-9]{1,2})")
_KINDS: Final = frozenset({"function", "event", "error"})
_LOCATIONS: Final = frozenset({"calldata", "memory", "storage", "payable"})
_MODIFIERS: Final = frozenset(
    {"external", "public", "internal", "private", "view", "pure", "payable", "nonpayable", "virtual", "override"}
)
_LENGTH_MAX: Final = 1 << 16


@dataclass(frozen=True)
class Elementary:
    """A type of one word, or `bytes` and `string`, which stand in the tail."""

    name: str

    @property
    def is_dynamic(self) -> bool:
        return self.name in ("bytes", "string")

    @property
    def head_bytes(self) -> int:
        return 32


@dataclass(frozen=True)
class Array:
    """`item[length]`, or `item[]` when `length` is None."""

    item: Type
    length: int | None

    @cached_property
    def name(self) -> str:
        return f"{self.item.name}[{'' if self.length is None else self.length}]"

    @cached_property
    def is_dynamic(self) -> bool:
        return self.length is None or self.item.is_dynamic

    @cached_property
    def head_bytes(self) -> int:
        """What it takes in the head: an offset when it is dynamic."""
        return 32 if self.is_dynamic or self.length is None else self.length * self.item.head_bytes


@dataclass(frozen=True)
class Tuple:
    """A struct, or the parameters of a function taken together."""

    fields: tuple[Parameter, ...]

    @cached_property
    def name(self) -> str:
        return f"({','.join(field.type.name for field in self.fields)})"

    @cached_property
    def is_dynamic(self) -> bool:
        return any(field.type.is_dynamic for field in self.fields)

    @cached_property
    def inner_bytes(self) -> int:
        """What the heads of its fields take together."""
        return sum(field.type.head_bytes for field in self.fields)

    @property
    def head_bytes(self) -> int:
        return 32 if self.is_dynamic else self.inner_bytes


Type: TypeAlias = Elementary | Array | Tuple


@dataclass(frozen=True)
class Parameter:
    """One parameter; the name may be empty, `is_indexed` is for events."""

    type: Type
    name: str = ""
    is_indexed: bool = False


@dataclass(frozen=True)
class Signature:
    """A function, event or error as it was written."""

    kind: str
    """`function`, `event`, `error`, or empty when the text did not say."""
    name: str
    inputs: Tuple
    outputs: Tuple

    @cached_property
    def canonical(self) -> str:
        """The text that is hashed: `transfer(address,uint256)`."""
        return self.name + self.inputs.name


def parse_signature(text: str) -> Signature:
    """Read a function, an event or an error.

    Raises:
        InputError: It is not one, or names a type that the ABI does not have.
    """
    reader = _Reader(text)
    first = reader.word()
    kind, name = (first, reader.word()) if first in _KINDS else ("", first)
    inputs = reader.parameters()
    outputs = Tuple(())
    while (word := reader.peek()) is not None:
        reader.take()
        if word == "returns":
            outputs = reader.parameters()
        elif word not in _MODIFIERS and word != "anonymous":
            raise reader.error(f"did not expect {word!r}")
    return Signature(kind, name, inputs, outputs)


def parse_parameters(text: str) -> Tuple:
    """Read a list of types: `address,uint256[2],(bytes,bool)[]`, in parentheses or not.

    Raises:
        InputError: It is not one.
    """
    reader = _Reader(f"({text})")
    found = reader.parameters()
    if reader.peek() is not None:
        raise reader.error("more than one list of types")
    return found


class _Reader:
    """Recursive descent over the words of one text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._words = list(self._split(text))
        self._at = 0

    def _split(self, text: str) -> Iterator[str]:
        at, end = 0, len(text.rstrip(" \t\r\n;"))
        while at < end:
            match = _TOKEN.match(text, at)
            if match is None:
                raise self.error(f"cannot read {text[at : at + 12]!r}")
            at = match.end()
            yield match[1]

    def error(self, why: str) -> InputError:
        return InputError(f"not an ABI signature: {self._text[:200]!r}: {why}")

    def peek(self) -> str | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def take(self, wanted: str = "") -> str:
        word = self.peek()
        if word is None or (wanted and word != wanted):
            raise self.error(f"expected {wanted or 'more'}, found {word or 'the end'}")
        self._at += 1
        return word

    def word(self) -> str:
        word = self.take()
        if not (word[0].isalpha() or word[0] in "_$"):
            raise self.error(f"expected a name, found {word!r}")
        return word

    def parameters(self) -> Tuple:
        self.take("(")
        fields: list[Parameter] = []
        while self.peek() != ")":
            if fields:
                self.take(",")
            fields.append(self._parameter())
        self.take(")")
        return Tuple(tuple(fields))

    def _parameter(self) -> Parameter:
        found = self._type()
        is_indexed, name = False, ""
        while (word := self.peek()) is not None and word not in (",", ")"):
            self.take()
            if word == "indexed":
                is_indexed = True
            elif word not in _LOCATIONS:
                if name or not (word[0].isalpha() or word[0] in "_$"):
                    raise self.error(f"did not expect {word!r}")
                name = word
        return Parameter(found, name, is_indexed)

    def _type(self) -> Type:
        found: Type
        if self.peek() == "tuple":
            self.take()
        if self.peek() == "(":
            found = self.parameters()
            if not found.fields:
                raise self.error("an empty tuple")
        else:
            found = self._elementary(self.word())
        while self.peek() == "[":
            self.take()
            length = None
            if self.peek() != "]":
                digits = self.take()
                if not digits.isdigit() or not 0 < int(digits) <= _LENGTH_MAX:
                    raise self.error(f"bad array length {digits!r}")
                length = int(digits)
            self.take("]")
            found = Array(found, length)
        return found

    def _elementary(self, word: str) -> Elementary:
        if word in ("address", "bool", "bytes", "string"):
            return Elementary(word)
        if (number := _NUMERIC.fullmatch(word)) is not None:
            bits = int(number[2] or 256)
            if bits % 8 == 0 and 8 <= bits <= 256 and not number[2].startswith("0"):
                return Elementary(f"{number[1]}{bits}")
        fixed = _FIXED_BYTES.fullmatch(word)
        if fixed is not None and not fixed[1].startswith("0") and int(fixed[1]) <= 32:
            return Elementary(word)
        raise self.error(f"{word!r} is no ABI type")
