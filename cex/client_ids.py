"""Our order ids as a venue takes them, and back.

Ours are 1 to 32 of `A-Z a-z 0-9 - _`; the engine's have 17. Venues want text of their own alphabet, UUIDs, 128-bit
numbers in hexadecimal, or integers of 32 or 45 bits. An id that fits is sent as it is; one of up to 20 characters is
packed into a UUID or 128 bits so that it can be read back; any other is replaced by digits of its SHA-256, and the pair
is kept in a table before the order leaves. The replacement is the same in every process, so that an order can be asked
about even where the table was lost.
"""

from __future__ import annotations

import errno
import os
import re
from collections import OrderedDict
from hashlib import sha256
from pathlib import Path

from cex.marks import is_mark
from cex.venues import ClientIdRule
from domain import InputError, InvariantError

OURS = re.compile(r"[A-Za-z0-9\-_]{1,32}")
KEPT_MAX = 200_000
"""Pairs in memory. Older ones are of orders that ended long ago."""
READ_BYTES_MAX = 16 * 2**20

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_DIGITS = {letter: digit for digit, letter in enumerate(_ALPHABET, 1)}
PACKED_MAX = 20
"""Characters that fit into the 121 bits that a UUID leaves to its maker, one bit beside."""
_REPLACED = 1 << 121
PROBES_MAX = 64


def check_client_order_id(client_order_id: str) -> None:
    """Refuse what is not an id of ours.

    Raises:
        InputError: Too long, empty or of other characters.
    """
    if not OURS.fullmatch(client_order_id):
        raise InputError(f"client order id {client_order_id!r}", hint="1 to 32 characters of A-Z, a-z, 0-9, - and _")


class ClientIds:
    """The ids of one account. Single-threaded."""

    def __init__(self, rule: ClientIdRule, table: Path | None = None) -> None:
        """`table` is the file of replaced ids, one `theirs ours .` a line; without it, they are kept in memory only."""
        self._rule = rule
        self._pattern = re.compile(rule.pattern)
        self._table = table
        self._ours: OrderedDict[str, str] = OrderedDict()
        self._theirs: dict[str, str] = {}
        if table is not None and table.exists():
            self._read(table)

    def theirs(self, client_order_id: str) -> str | int:
        """Give the id as the venue takes it. When this returns, it can be read back.

        Raises:
            InputError: Not an id of ours.
            OSError: The table cannot be written.
        """
        check_client_order_id(client_order_id)
        text = self._rule.prefix + self._encode(client_order_id)
        return int(text) if self._rule.kind == "integer" else text

    def is_kept(self, client_order_id: str) -> bool:
        """Whether `theirs` will write to the table."""
        check_client_order_id(client_order_id)
        return self._is_replaced(client_order_id) and client_order_id not in self._theirs

    def ours(self, client_order_id: object) -> str:
        """Read an id of the venue's orders; one that we did not choose is given as it is, none as the empty text."""
        if client_order_id is None:
            return ""
        text = str(client_order_id).removeprefix(self._rule.prefix)
        if (kept := self._ours.get(self._key(text))) is not None:
            return kept
        return self._unpack(text) or text

    # --- parts

    def _encode(self, ours: str) -> str:
        if self._is_replaced(ours):
            return self._theirs.get(ours) or self._replace(ours)
        return ours if self._rule.kind == "text" else self._write(_pack(ours))

    def _is_replaced(self, ours: str) -> bool:
        match self._rule.kind:
            case "text":
                # What begins like ccxt's own marks would be taken out as one of them, and the order left without an id.
                return not self._pattern.fullmatch(ours) or ours in self._ours or is_mark("", ours)
            case "integer":
                return True
            case _:
                return len(ours) > PACKED_MAX

    def _replace(self, ours: str) -> str:
        """Choose digits of a digest that no other kept id has, and keep the pair."""
        for attempt in range(PROBES_MAX):
            digest = int.from_bytes(sha256(f"{ours}#{attempt}".encode() if attempt else ours.encode()).digest(), "big")
            match self._rule.kind:
                case "integer":
                    # Not 0: some venues take that for none.
                    theirs = str(digest % ((1 << self._rule.bits) - 1) + 1)
                case "text":
                    theirs = self._fitting(digest)
                case _:
                    theirs = self._write(_REPLACED | digest % _REPLACED)
            if self._key(theirs) not in self._ours:
                self._keep(theirs, ours)
                return theirs
        raise InvariantError(f"order id {ours}: {PROBES_MAX} replacements are all taken")

    def _fitting(self, digest: int) -> str:
        """Give as many hexadecimal digits as the venue's pattern takes: never fewer than 64 bits."""
        digits = f"{digest:064x}"
        for length in range(32, 15, -1):
            if self._pattern.fullmatch(text := f"x{digits[: length - 1]}"):
                return text
        raise InvariantError(f"the pattern {self._rule.pattern} takes no replaced ids")

    def _write(self, number: int) -> str:
        """Write 122 bits as an RFC 9562 UUID, version 8, or the same digits in one piece."""
        high, middle, low = number >> 74, number >> 62 & 0xFFF, number & (1 << 62) - 1
        digits = f"{high << 80 | 8 << 76 | middle << 64 | 2 << 62 | low:032x}"
        if self._rule.kind == "hex":
            return f"0x{digits}"
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def _unpack(self, text: str) -> str | None:
        """Read a packed id; None for anything that was not packed here."""
        if self._rule.kind not in ("uuid", "hex"):
            return None
        digits = self._key(text)
        if not re.fullmatch(r"[0-9a-f]{32}", digits) or digits[12] != "8" or digits[16] not in "89ab":
            return None
        value = int(digits, 16)
        number = value >> 80 << 74 | (value >> 64 & 0xFFF) << 62 | value & (1 << 62) - 1
        if number & _REPLACED or number == 0:
            return None
        letters = []
        while number:
            number, digit = divmod(number - 1, 64)
            letters.append(_ALPHABET[digit])
        return "".join(reversed(letters)) if len(letters) <= PACKED_MAX else None

    def _key(self, theirs: str) -> str:
        """Bring an id of the venue's to one spelling."""
        if self._rule.kind in ("uuid", "hex"):
            return theirs.lower().removeprefix("0x").replace("-", "")
        return theirs

    def _remember(self, theirs: str, ours: str) -> None:
        self._ours[self._key(theirs)] = ours
        self._theirs[ours] = theirs
        if len(self._ours) > KEPT_MAX:
            _, forgotten = self._ours.popitem(last=False)
            self._theirs.pop(forgotten, None)

    def _keep(self, theirs: str, ours: str) -> None:
        if self._table is not None:
            self._table.parent.mkdir(parents=True, exist_ok=True)
            # One write of one line at the end: another process may keep ids of the same account.
            handle = os.open(self._table, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                # The first line break ends what a crash may have cut.
                line = f"\n{theirs} {ours} .\n".encode()
                if os.write(handle, line) < len(line):
                    raise OSError(errno.ENOSPC, "written in part", str(self._table))
                os.fdatasync(handle)
            finally:
                os.close(handle)
        self._remember(theirs, ours)

    def _read(self, table: Path) -> None:
        with table.open("rb") as file:
            file.seek(max(0, table.stat().st_size - READ_BYTES_MAX))
            for line in file:
                # A line that was cut by a crash, before its dot, belongs to an order that never left.
                match line.decode("ascii", "replace").split():
                    case [theirs, ours, "."] if OURS.fullmatch(ours):
                        self._remember(theirs, ours)


def _pack(ours: str) -> int:
    """Number the texts over our alphabet by length, then letters: 1 for `A`; at most 2**120.03 for 20 characters."""
    number = 0
    for letter in ours:
        number = number * 64 + _DIGITS[letter]
    return number
