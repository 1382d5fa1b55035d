"""What a signer remembers of approvals: one intent is signed for one account under one nonce, for ever.

Without it a coordinator could show the same approvals again with the next nonce, and pay twice what was approved once.
Fee bumps share the nonce and pass; the sign-once journal judges them.
"""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from domain import Address, InputError, Refused, VenueUnavailable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS uses (
  intent_id TEXT NOT NULL PRIMARY KEY, digest TEXT NOT NULL,
  key TEXT NOT NULL, chain_id INTEGER NOT NULL, nonce TEXT NOT NULL
) WITHOUT ROWID;
"""


class ApprovalUses:
    """Opens (and creates) the file, beside the signer's journal. Thread-safe. Back it up with the journal.

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
            # FULL: the signature may leave right after, so the row must survive a power cut.
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as exc:
            raise InputError(f"{path} does not hold used approvals: {exc}") from exc

    def take(self, intent_id: str, digest: bytes, *, key: Address, chain_id: int, nonce: int) -> None:
        """Bind an approved intent to its nonce; durable when it returns. The same again is allowed.

        Raises:
            Refused: Rule `approval-replayed`: it was used for another nonce, account, chain or content.
            VenueUnavailable: It cannot be written; nothing may be signed.
        """
        wanted = (digest.hex(), key, chain_id, str(nonce))
        try:
            with self._lock:
                self._connection.execute("INSERT OR IGNORE INTO uses VALUES (?, ?, ?, ?, ?)", (intent_id, *wanted))
                row = self._connection.execute(
                    "SELECT digest, key, chain_id, nonce FROM uses WHERE intent_id = ?", (intent_id,)
                ).fetchone()
        except sqlite3.Error as exc:
            raise VenueUnavailable(f"used approvals cannot be recorded: {exc}") from exc
        if tuple(row) != wanted:
            raise Refused(
                f"{intent_id}: its approvals were used for nonce {row[3]} of {row[1]} on chain {row[2]}",
                rule="approval-replayed",
            )

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()
