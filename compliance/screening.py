"""Screening: may we deal with these addresses at all? Asked before policy, and not knowing means no."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from chain import parse_address
from domain import Address, InputError, Refused


class Screener(Protocol):
    """Any source of verdicts: a list, a service, several of them."""

    async def screen(self, addresses: Collection[Address]) -> None:
        """Return when none of the addresses is denied.

        Raises:
            Refused: One is, or the source cannot tell; `rule` says which.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Listing:
    stamp: tuple[int, int, int]
    reasons: dict[Address, str]


class DenyListScreener:
    """Refuses the addresses of a list file, read again whenever the file changes.

    One address a line, then optionally the reason; `#` begins a comment. Mixed-case addresses must carry their EIP-55
    checksum. A list that is missing, unreadable or malformed refuses everything: a sanctions list that cannot be read
    is not an empty one.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listing: _Listing | None = None

    async def screen(self, addresses: Collection[Address]) -> None:
        """Refuse denied addresses (rule `deny-list`) and everything under a broken list (`screening-unavailable`)."""
        listing = await asyncio.to_thread(self._current)
        for address in addresses:
            if address in listing.reasons:
                reason = listing.reasons[address] or "no reason given"
                raise Refused(f"{address} is on the deny list: {reason}", rule="deny-list")

    def _current(self) -> _Listing:
        try:
            status = self._path.stat()
            stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
            if self._listing is None or self._listing.stamp != stamp:
                self._listing = _Listing(stamp, _parse(self._path.read_text(encoding="utf-8")))
        except (OSError, UnicodeDecodeError, InputError) as exc:
            self._listing = None
            raise Refused(
                f"the deny list {self._path} cannot be read: {exc}",
                rule="screening-unavailable",
                hint="mend the file; nothing leaves until then",
            ) from exc
        return self._listing


def _parse(text: str) -> dict[Address, str]:
    reasons = {}
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        first, *rest = content.split(maxsplit=1)
        try:
            reasons[parse_address(first)] = rest[0] if rest else ""
        except InputError as exc:
            raise InputError(f"line {number}: {exc}") from exc
    return reasons
