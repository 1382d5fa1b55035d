"""Writes the Python source of packers: one function per signature, without a loop over its types when it runs.

    def pack(a0, a1):
        x0, x1, = a0
        return join((b'selector + padding', x0.to_bytes(3, "big"), ADDRESS[x1], …))

Constant bytes that stand beside each other are one literal. A number is padded by the width of its type, so one that
is too large or negative cannot be written; everything else that does not fit raises too. Nothing of a signature's text
gets into the source but the numbers in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from chain.abi import address_word
from chain.codec.types import Array, Elementary, Tuple, Type
from domain.errors import InputError

_CACHE_MAX: Final = 8192
_TRUE: Final = (1).to_bytes(32, "big")
_FALSE: Final = bytes(32)
_PADDINGS: Final = tuple(bytes(-size % 32) for size in range(32))


class _AddressWords(dict[str, bytes]):
    """Addresses as words: each is read and checked once."""

    def __missing__(self, address: str) -> bytes:
        word = address_word(address)
        if len(self) >= _CACHE_MAX:
            self.clear()
        self[address] = word
        return word


def tail(data: bytes) -> bytes:
    """Pack `bytes`: length, content, padding to whole words."""
    size = len(data)
    return size.to_bytes(32, "big") + data + _PADDINGS[size % 32]  # Text is no bytes: adding it raises.


def spread(parts: Sequence[bytes]) -> bytes:
    """Lay out dynamic items: offsets first, counted from the first of them."""
    at, heads = 32 * len(parts), []
    for part in parts:
        heads.append(at.to_bytes(32, "big"))
        at += len(part)
    return b"".join((*heads, *parts))


def sized(items: Any, length: int) -> Any:
    """Give a sequence that has exactly the length of its type."""
    if len(items) != length:
        raise ValueError(f"{len(items)} items where the type has {length}")
    return items


def signed(value: int, bits: int) -> bytes:
    """Pack a signed number, its sign carried through the word."""
    half = 1 << (bits - 1)
    if not -half <= value < half:
        raise OverflowError(f"{value} is no int{bits}")
    return value.to_bytes(32, "big", signed=True)


def fixed(value: bytes, size: int) -> bytes:
    """Pack `bytesN`."""
    if not isinstance(value, bytes) or len(value) != size:
        raise ValueError(f"expected {size} bytes, found {value!r}")
    return value + bytes(32 - size)


_NAMES: Final[dict[str, Any]] = {
    "join": b"".join,
    "tail": tail,
    "spread": spread,
    "sized": sized,
    "signed": signed,
    "fixed": fixed,
    "ADDRESS": _AddressWords(),
    "BOOL": {True: _TRUE, False: _FALSE},
    "InputError": InputError,
}


def compile_packer(what: str, types: Tuple, selector: bytes) -> Callable[..., bytes]:
    """Give a function of the parameters' values that packs them behind `selector`.

    It raises `InputError` for a value that does not fit its type. Addresses are text, `bytes` are bytes, tuples and
    arrays any sequence.
    """
    writer = _Writer()
    arguments = [f"a{number}" for number in range(len(types.fields))]
    body = writer.sequence([field.type for field in types.fields], arguments, selector)
    source = "\n".join(
        [
            *writer.functions,
            f"def pack({', '.join(arguments)}):",
            "    try:",
            *(f"        {line}" for line in body),
            "    except (OverflowError, TypeError, ValueError, AttributeError, KeyError) as exc:",
            "        raise InputError(f'{WHAT} cannot be packed: {type(exc).__name__}: {exc}') from exc",
        ]
    )
    space = {**_NAMES, "WHAT": what}
    exec(compile(source, f"<pack {what}>", "exec"), space)
    packer: Callable[..., bytes] = space["pack"]
    return packer


class _Writer:
    """Collects the inner functions a packer needs; names are numbered."""

    def __init__(self) -> None:
        self.functions: list[str] = []
        self._names = 0

    def sequence(self, types: Sequence[Type], values: Sequence[str], prefix: bytes = b"") -> list[str]:
        """Write the body that lays out values: heads, then tails in order."""
        lines: list[str] = []
        parts: list[str | bytes] = [prefix]
        tails: list[str] = []
        at = str(sum(kind.head_bytes for kind in types))
        for kind, value in zip(types, values, strict=True):
            if not kind.is_dynamic:
                parts += self._static(kind, value, lines)
                continue
            name = self._name("t")
            lines.append(f"{name} = {self._dynamic(kind, value)}")
            if tails:
                at += f" + len({tails[-1]})"
            parts.append(int(at).to_bytes(32, "big") if at.isdigit() else f"({at}).to_bytes(32, 'big')")
            tails.append(name)
        pieces = _merged([*parts, *tails])
        lines.append(f"return {pieces[0]}" if len(pieces) == 1 else f"return join(({', '.join(pieces)}))")
        return lines

    def _static(self, kind: Type, value: str, lines: list[str]) -> list[str | bytes]:
        """Give the pieces of a value without a tail; `lines` take what must run before."""
        if isinstance(kind, Elementary):
            return _word(kind.name, value)
        if isinstance(kind, Array):
            return [f"join([{self._call(kind.item, 'v')} for v in sized({value}, {kind.length})])"]
        names = [self._name("x") for _ in kind.fields]
        lines.append(f"{', '.join(names)}, = {value}")
        parts: list[str | bytes] = []
        for field, name in zip(kind.fields, names, strict=True):
            parts += self._static(field.type, name, lines)
        return parts

    def _dynamic(self, kind: Type, value: str) -> str:
        if isinstance(kind, Elementary):
            return f"tail({value}.encode())" if kind.name == "string" else f"tail({value})"
        if isinstance(kind, Tuple):
            return self._call(kind, value)
        join = "spread" if kind.item.is_dynamic else "join"
        each = f"[{self._call(kind.item, 'v')} for v in"
        if kind.length is None:
            return f"len({value}).to_bytes(32, 'big') + {join}({each} {value}])"
        return f"{join}({each} sized({value}, {kind.length})])"

    def _call(self, kind: Type, value: str) -> str:
        """Give an expression for a whole value; a tuple becomes a function of its own."""
        if isinstance(kind, Elementary) and not kind.is_dynamic:
            pieces = _merged(_word(kind.name, value))
            return pieces[0] if len(pieces) == 1 else " + ".join(pieces)
        if not isinstance(kind, Tuple):
            if kind.is_dynamic:
                return self._dynamic(kind, value)
            return str(self._static(kind, value, [])[0])
        name = self._name("f")
        values = [self._name("x") for _ in kind.fields]
        body = self.sequence([field.type for field in kind.fields], values)
        lines = [f"def {name}(v):", f"    {', '.join(values)}, = v", *(f"    {line}" for line in body)]
        self.functions += lines
        return f"{name}({value})"

    def _name(self, letter: str) -> str:
        self._names += 1
        return f"{letter}{self._names}"


def _word(name: str, value: str) -> list[str | bytes]:
    if name == "address":
        return [f"ADDRESS[{value}]"]
    if name == "bool":
        return [f"BOOL[{value}]"]
    if name.startswith("uint"):
        size = int(name[4:]) // 8
        return [bytes(32 - size), f"{value}.to_bytes({size}, 'big')"]
    if name.startswith("int"):
        return [f"signed({value}, {int(name[3:])})"]
    return [f"fixed({value}, {int(name[5:])})"]


def _merged(parts: Sequence[str | bytes]) -> list[str]:
    """Join constants that stand beside each other, and write them as literals."""
    found: list[str] = []
    constant = b""
    for part in parts:
        if isinstance(part, bytes):
            constant += part
            continue
        if constant:
            found.append(repr(constant))
            constant = b""
        found.append(part)
    if constant or not found:
        found.append(repr(constant))
    return found
