"""Method signatures as people write them: `pay((address to, uint256 raw)[] items, bool all)`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from chain import keccak256
from domain import InputError

_WORD: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_ELEMENTARY: Final = re.compile(r"(u?int([0-9]{1,3})|bytes([0-9]{1,2})?|address|bool|string)")
_LIST: Final = re.compile(r"(\[[0-9]*\])+")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument, with components if it is a tuple."""

    name: str
    base: str
    """The elementary type; `tuple` with components."""
    dimensions: tuple[str, ...] = ()
    """`[]` or `[3]`, from the inside out."""
    components: tuple[Argument, ...] = ()

    @classmethod
    def from_abi(cls, item: Mapping[str, Any]) -> Argument:
        """Read an input of a JSON ABI."""
        base, dimensions = _split(item["type"])
        components = tuple(cls.from_abi(each) for each in item.get("components", ()))
        return cls(item.get("name", ""), _elementary(base, bool(components)), dimensions, components)

    @property
    def type(self) -> str:
        """The type in its canonical form."""
        base = f"({','.join(part.type for part in self.components)})" if self.components else self.base
        return base + "".join(self.dimensions)

    @property
    def is_list(self) -> bool:
        """Whether the outermost layer is a list."""
        return bool(self.dimensions)

    def element(self) -> Argument:
        """The argument without its outermost list."""
        return replace(self, dimensions=self.dimensions[:-1])

    def leaves(self) -> Iterator[tuple[str, ...]]:
        """Paths to every elementary value: `("items", "[]", "to")`."""
        lists = ("[]",) * len(self.dimensions)
        if not self.components:
            yield (self.name, *lists)
        for part in self.components:
            for leaf in part.leaves():
                yield (self.name, *lists, *leaf)

    def __str__(self) -> str:
        base = f"({', '.join(map(str, self.components))})" if self.components else self.base
        return f"{base}{''.join(self.dimensions)} {self.name}".rstrip()


@dataclass(frozen=True, slots=True)
class MethodSignature:
    """A method's name and arguments."""

    name: str
    arguments: tuple[Argument, ...]

    @property
    def types(self) -> tuple[str, ...]:
        """The arguments' canonical types."""
        return tuple(argument.type for argument in self.arguments)

    @property
    def selector(self) -> bytes:
        """The first four bytes of its calls."""
        return keccak256(f"{self.name}({','.join(self.types)})".encode())[:4]


def parse_signature(text: str) -> MethodSignature:
    """Read a signature, with or without names.

    Raises:
        InputError: Not a signature.
    """
    name, bracket, rest = text.strip().partition("(")
    if not bracket or not rest.endswith(")") or not _WORD.fullmatch(name):
        raise InputError(f"not a method signature: {text[:80]!r}")
    return MethodSignature(name, tuple(_argument(part) for part in _parts(rest[:-1])))


def _argument(text: str) -> Argument:
    text = text.strip()
    components: tuple[Argument, ...] = ()
    if text.startswith("("):
        end = text.rindex(")")
        components = tuple(_argument(part) for part in _parts(text[1:end]))
        text = "tuple" + text[end + 1 :]
    kind, _, name = text.partition(" ")
    name = name.strip()
    if name and not _WORD.fullmatch(name):
        raise InputError(f"not an argument: {text[:80]!r}")
    base, dimensions = _split(kind)
    return Argument(name, _elementary(base, bool(components)), dimensions, components)


def _parts(text: str) -> list[str]:
    """Split at commas that are not within brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth < 0:
            raise InputError(f"brackets do not match: {text[:80]!r}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    if depth:
        raise InputError(f"brackets do not match: {text[:80]!r}")
    return parts if text.strip() else []


def _split(kind: str) -> tuple[str, tuple[str, ...]]:
    base, bracket, rest = kind.partition("[")
    if not bracket:
        return base, ()
    if not _LIST.fullmatch("[" + rest):
        raise InputError(f"not a type: {kind[:40]!r}")
    return base, tuple(re.findall(r"\[[0-9]*\]", "[" + rest))


def _elementary(base: str, has_components: bool) -> str:
    if has_components != (base == "tuple") or not (has_components or _ELEMENTARY.fullmatch(base)):
        raise InputError(f"type {base[:40]!r} is not read")
    return base
