"""Writes the Python source of unpackers. They are strict: what a contract cannot have written is refused.

Refused are words out of their type's range, dirty padding, offsets and lengths beyond the data. Where tails overlap,
the values may add up to more than the data holds: a budget of its length stops a small message that unfolds into a
large one. What comes behind the last tail is ignored, as Solidity does; `Function.read_canonical` refuses that too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from chain.codec.types import Array, Elementary, Tuple, Type
from chain.keccak import checksum
from domain.errors import InputError

_CACHE_MAX: Final = 8192
_ZEROS: Final = bytes(32)


class _Addresses(dict[bytes, str]):
    """Words as addresses: each is checked and written once."""

    def __missing__(self, word: bytes) -> str:
        if len(word) != 32 or word[:12] != _ZEROS[:12]:
            raise ValueError(f"{word.hex()} is no address")
        text = checksum("0x" + word[12:].hex())
        if len(self) >= _CACHE_MAX:
            self.clear()
        self[word] = text
        return text


def out_of_range(value: int, kind: str) -> int:
    """Refuse a word that its type cannot hold."""
    raise ValueError(f"{value} is no {kind}")


def fixed(data: bytes, at: int, size: int) -> bytes:
    """Read `bytesN`."""
    if data[at + size : at + 32] != _ZEROS[size:]:
        raise ValueError(f"dirty padding behind bytes{size}")
    return data[at : at + size]


def target(data: bytes, base: int, at: int, size: int) -> int:
    """Follow the offset at `at`: where the tail begins, which has room for `size` bytes."""
    found = base + int.from_bytes(data[at : at + 32], "big")
    if found + size > len(data):
        raise ValueError(f"an offset to byte {found} of {len(data)}")
    return found


def length(data: bytes, at: int, item_bytes: int, budget: list[int]) -> int:
    """Read how many items an array has, whose heads fit into the data."""
    count = int.from_bytes(data[at : at + 32], "big")
    spend(budget, count * item_bytes)
    if at + 32 + count * item_bytes > len(data):
        raise ValueError(f"an array of {count} in {len(data)} bytes")
    return count


def content(data: bytes, at: int, budget: list[int]) -> bytes:
    """Read `bytes`: length, content, zeros to the end of the word."""
    size = int.from_bytes(data[at : at + 32], "big")
    spend(budget, size)
    start, end = at + 32, at + 32 + size
    padded = end + -size % 32
    if padded > len(data) or data[end:padded] != _ZEROS[: padded - end]:
        raise ValueError(f"{size} bytes at {start} are not all there, or dirtily padded")
    return data[start:end]


def spend(budget: list[int], count: int) -> None:
    """Count what was read against what there is."""
    budget[0] -= count
    if budget[0] < 0:
        raise ValueError("overlapping tails: it says more than its bytes hold")


_NAMES: Final[dict[str, Any]] = {
    "word": int.from_bytes,
    "out_of_range": out_of_range,
    "fixed": fixed,
    "target": target,
    "length": length,
    "content": content,
    "spend": spend,
    "ADDRESS": _Addresses(),
    "BOOL": {(1).to_bytes(32, "big"): True, bytes(32): False},
    "InputError": InputError,
}


def compile_unpacker(what: str, types: Tuple) -> Callable[[bytes], tuple[Any, ...]]:
    """Give a function that reads the values of `types` from bytes.

    Addresses come out in EIP-55 form, arrays and tuples as tuples, strings with undecodable bytes replaced. It raises
    `InputError` for anything that is not such values.
    """
    writer = _Writer()
    fields = [field.type for field in types.fields]
    values = writer.fields(fields, "0")
    source = "\n".join(
        [
            *writer.functions,
            "def unpack(data):",
            f"    if len(data) < {types.inner_bytes}:",
            f"        raise InputError(f'{{WHAT}}: expected {types.inner_bytes} bytes or more, found {{len(data)}}')",
            "    try:",
            *(["        budget = [len(data)]"] if types.is_dynamic else []),
            f"        return {_tuple(values)}",
            "    except (ValueError, KeyError, OverflowError) as exc:",
            "        raise InputError(f'{WHAT} cannot be read: {exc}') from exc",
        ]
    )
    space = {**_NAMES, "WHAT": what}
    exec(compile(source, f"<unpack {what}>", "exec"), space)
    unpacker: Callable[[bytes], tuple[Any, ...]] = space["unpack"]
    return unpacker


class _Writer:
    """Collects the inner functions an unpacker needs; each reads one value that begins at `at`."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self._names = 0

    def fields(self, types: Sequence[Type], base: str) -> list[str]:
        """Give an expression for each value; their heads stand at `base` one after another."""
        values: list[str] = []
        at = 0
        for kind in types:
            place = _plus(base, at)
            values.append(self._tail(kind, base, place) if kind.is_dynamic else self._head(kind, place))
            at += kind.head_bytes
        return values

    def _head(self, kind: Type, at: str) -> str:
        if isinstance(kind, Elementary):
            return _word(kind.name, at)
        if isinstance(kind, Tuple):
            return _tuple(self.fields([field.type for field in kind.fields], at))
        item = self._function(kind.item)
        return f"tuple([{item}(data, {at} + {kind.item.head_bytes} * i) for i in range({kind.length})])"

    def _tail(self, kind: Type, base: str, at: str) -> str:
        """Give an expression for a value whose offset, counted from `base`, stands at `at`."""
        return f"{self._function(kind)}(data, target(data, {base}, {at}, {_least(kind)}), budget)"

    def _function(self, kind: Type) -> str:
        self._names += 1
        name = f"f{self._names}"
        self.functions += self._body(kind, name)
        return name

    def _body(self, kind: Type, name: str) -> list[str]:
        if not kind.is_dynamic:
            return [f"def {name}(data, at):", f"    return {self._head(kind, 'at')}"]
        top = f"def {name}(data, at, budget):"
        if isinstance(kind, Elementary):
            decode = ".decode('utf-8', 'replace')" if kind.name == "string" else ""
            return [top, f"    return content(data, at, budget){decode}"]
        if isinstance(kind, Tuple):
            size = kind.inner_bytes
            values = self.fields([field.type for field in kind.fields], "at")
            return [top, f"    spend(budget, {size})", f"    return {_tuple(values)}"]
        return [top, *(f"    {line}" for line in self._array(kind))]

    def _array(self, kind: Array) -> list[str]:
        size = kind.item.head_bytes
        if kind.length is None:
            lines = [f"count = length(data, at, {size}, budget)", "base = at + 32"]
        else:
            lines = [f"count = {kind.length}", f"spend(budget, {kind.length * size})", "base = at"]
        if kind.item.is_dynamic:
            each = self._tail(kind.item, "base", "base + 32 * i")
        elif isinstance(kind.item, Elementary):
            each = _word(kind.item.name, "base + 32 * i")
        else:
            each = f"{self._function(kind.item)}(data, base + {size} * i)"
        return [*lines, f"return tuple([{each} for i in range(count)])"]


def _least(kind: Type) -> int:
    """How many bytes a dynamic value takes at least where its offset points."""
    if isinstance(kind, Tuple):
        return kind.inner_bytes
    if isinstance(kind, Array) and kind.length is not None:
        return kind.length * kind.item.head_bytes
    return 32


def _word(name: str, at: str) -> str:
    end = _plus(at, 32)
    if name == "address":
        return f"ADDRESS[data[{at}:{end}]]"
    if name == "bool":
        return f"BOOL[data[{at}:{end}]]"
    if name.startswith("bytes"):
        return f"fixed(data, {at}, {int(name[5:])})"
    kind, bits = name.rstrip("0123456789"), int(name.lstrip("uint"))
    word = f"word(data[{at}:{end}], 'big'{', signed=True' if kind == 'int' else ''})"
    if bits == 256:
        return word
    half = 1 << (bits - 1)
    fits = f"not (x := {word}) >> {bits}" if kind == "uint" else f"{-half} <= (x := {word}) < {half}"
    return f"(x if {fits} else out_of_range(x, '{name}'))"


def _plus(base: str, add: int) -> str:
    if base.isdigit():
        return str(int(base) + add)
    head, plus, last = base.rpartition(" + ")
    if plus and last.isdigit():
        return _plus(head, int(last) + add)
    return f"{base} + {add}" if add else base


def _tuple(values: Sequence[str]) -> str:
    return "()" if not values else f"({', '.join(values)},)"
