"""Planted secrets in every form they could show themselves in, and the places to look for them."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


def forms_of_text(text: str) -> set[bytes]:
    """A password, PIN or key as text: plain, as JSON and Python would quote it, and encoded."""
    plain = text.encode()
    quoted = {json.dumps(text)[1:-1].encode(), repr(text)[1:-1].encode(), text.encode("utf-16-le")}
    return {plain} | quoted | encoded(plain)


def forms_of_bytes(raw: bytes) -> set[bytes]:
    """A key: raw in both byte orders, encoded, as a number, and as Python shows bytes."""
    numbers = {str(int.from_bytes(raw, "big")).encode(), str(list(raw))[1:-1].encode()}
    return {raw, raw[::-1], repr(raw)[2:-1].encode()} | numbers | encoded(raw)


def forms_of_words(text: str) -> set[bytes]:
    """A phrase or share: any three words in a row, however they are joined; and the whole, encoded."""
    joins = (" ", ", ", ",", '", "', '","', "', '", "\n")
    triples = zip(*(itertools.islice(text.split(), start, None) for start in range(3)), strict=False)
    return {join.join(triple).encode() for triple in triples for join in joins} | encoded(text.encode())


def encoded(raw: bytes) -> set[bytes]:
    """Hex in both cases, and base64 at whichever of three places it begins in what it is part of."""
    found = {raw.hex().encode(), raw.hex().upper().encode(), ":".join(f"{byte:02x}" for byte in raw).encode()}
    for shift in range(3):
        # The first and last letters depend on the neighbours: what lies between does not.
        inner = base64.b64encode(bytes(shift) + raw)[-(-shift * 8 // 6) :].rstrip(b"=")[:-1]
        found |= {inner, inner.replace(b"+", b"-").replace(b"/", b"_")}
    return found


@dataclass(frozen=True)
class Planted:
    """Secrets by name, with all their forms."""

    forms: dict[str, set[bytes]]

    def found_in(self, content: bytes) -> list[str]:
        """Name the secrets that show themselves somewhere in this."""
        return sorted(name for name, forms in self.forms.items() if any(form in content for form in forms))

    def search(self, places: Iterable[tuple[str, bytes]]) -> list[str]:
        """Name every place with a secret in it."""
        return [f"{name} in {place}" for place, content in places for name in self.found_in(content)]


def files(root: Path, *, without: Iterable[Path] = ()) -> Iterator[tuple[str, bytes]]:
    """Everything under a folder, databases and their journals too, except the secrets' own homes."""
    spared = {path.resolve() for path in without}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.resolve() not in spared:
            yield str(path.relative_to(root)), path.read_bytes()


def processes(ids: Iterable[int]) -> Iterator[tuple[str, bytes]]:
    """What the kernel tells anyone about these processes and all they started."""
    for number in sorted(family(set(ids))):
        for kind in ("cmdline", "environ", "comm"):
            yield f"/proc/{number}/{kind}", Path(f"/proc/{number}/{kind}").read_bytes()


def family(ids: set[int]) -> set[int]:
    """These processes and their descendants."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    while more := {child for child, parent in parents.items() if parent in ids} - ids:
        ids = ids | more
    return ids
