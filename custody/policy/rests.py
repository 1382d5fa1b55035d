"""What a signer remembers of delays: when it was first shown what it would be asked to sign.

A delay that only custody counted would be skipped by whoever skips custody. So a signer counts for itself, from the
first time it is shown a transaction: custody shows it when the delay begins (evidence with `announce`), and asks for
the signature when it is over. A transaction is named by what it does and by its intent, without nonce and fees.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Final

from domain import InputError, Refused, VenueUnavailable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS rests (
  subject TEXT NOT NULL PRIMARY KEY, shown_s INTEGER NOT NULL, nonce TEXT
) WITHOUT ROWID;
"""
ANNOUNCED: Final = "announced"
"""The rule under which an announcement is answered: nothing was signed, and the time counts."""
RESTED: Final = "rested"
"""The same, when it has rested long enough or need not: it may be asked for now."""


class Rests:
    """Opens (and creates) the file, beside the signer's journal. Thread-safe.

    Raises:
        InputError: The file is no such memory.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as exc:
            raise InputError(f"{path} does not hold delays: {exc}") from exc

    def announce(self, subject: str, *, now_s: int) -> int:
        """Note that something was shown; returns since when it is known."""
        return self._row(subject, now_s)[0]

    def check(self, subject: str, *, nonce: int, delay_s: int, now_s: int) -> None:
        """Let pass what has rested long enough, under one nonce.

        Raises:
            Refused: Rule `delay`: it was shown too recently, or just now for the first time.
            VenueUnavailable: It cannot be recorded.
        """
        shown_s, used = self._row(subject, now_s)
        if used is not None and used != str(nonce):
            # What it was announced for has been signed. The same again is another thing, and rests again.
            self._execute("UPDATE rests SET shown_s = ?, nonce = NULL WHERE subject = ?", (now_s, subject))
            shown_s = now_s
        if now_s < shown_s + delay_s:
            raise Refused(f"it rests until {shown_s + delay_s} (Unix seconds), shown {shown_s}", rule="delay")
        self._execute("UPDATE rests SET nonce = ? WHERE subject = ?", (str(nonce), subject))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _row(self, subject: str, now_s: int) -> tuple[int, str | None]:
        self._execute("INSERT OR IGNORE INTO rests VALUES (?, ?, NULL)", (subject, now_s))
        shown_s, nonce = self._execute("SELECT shown_s, nonce FROM rests WHERE subject = ?", (subject,))
        return int(shown_s), nonce

    def _execute(self, statement: str, values: tuple[object, ...]) -> tuple[int, str | None]:
        try:
            with self._lock:
                row = self._connection.execute(statement, values).fetchone()
        except sqlite3.Error as exc:
            raise VenueUnavailable(f"delays cannot be recorded: {exc}") from exc
        return row or (0, None)
