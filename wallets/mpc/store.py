"""What one party keeps in its SQLite file: encrypted shares by epoch, sessions begun, signatures given, bans."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from domain import Address, InputError, Refused, VenueUnavailable

_SCHEMA = """
CREATE TABLE shares (
    wallet TEXT NOT NULL, epoch INTEGER NOT NULL, address TEXT NOT NULL,
    is_active INTEGER NOT NULL,    -- 0 until this party has seen t shares of this epoch sign together
    blob BLOB NOT NULL,            -- AES-256-GCM, bound to wallet, party and epoch
    PRIMARY KEY (wallet, epoch)
);
CREATE TABLE sessions (id BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE signatures (
    address TEXT NOT NULL, digest BLOB NOT NULL, signature BLOB NOT NULL,
    PRIMARY KEY (address, digest)
) WITHOUT ROWID;
CREATE TABLE bans (party INTEGER PRIMARY KEY, reason TEXT NOT NULL, time_ns INTEGER NOT NULL);
PRAGMA user_version = 1;
"""
_SECOND = """
ALTER TABLE shares ADD COLUMN kind TEXT NOT NULL DEFAULT 'secp256k1';
PRAGMA user_version = 2;
"""


@dataclass(frozen=True, slots=True)
class StoredShare:
    """A share as it lies in the file."""

    wallet: str
    epoch: int
    address: Address
    """The key's name: an Ethereum address, or `ed25519:` and the public key in hex."""
    is_active: bool
    blob: bytes
    kind: str = "secp256k1"

    def __repr__(self) -> str:
        return f"StoredShare({self.wallet!r}, epoch={self.epoch}, is_active={self.is_active})"


class PartyStore:
    """Opens (and creates) the file. Thread-safe; what a method has written is durable when it returns.

    Errors of every method:
        VenueUnavailable: The file cannot be read or written; nothing may be signed.
    """

    def __init__(self, path: Path, *, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            # What is deleted is overwritten: an old epoch's share must not linger in free pages.
            self._connection.execute("PRAGMA secure_delete=ON")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, 1, 2):
                raise InputError(f"{path} is a party's store of version {version}, this release reads up to version 2")
            for step in (_SCHEMA, _SECOND)[version:]:
                self._connection.executescript("BEGIN IMMEDIATE;" + step + "COMMIT;")
        except sqlite3.Error as exc:
            raise InputError(f"{path} is not a party's store: {exc}") from exc

    def add_pending(self, share: StoredShare) -> None:
        """Keep a new share until it is activated; another pending share of that epoch is given up.

        Raises:
            Refused: The epoch is active already.
        """
        with self._transaction() as run:
            where = (share.wallet, share.epoch)
            if run("SELECT 1 FROM shares WHERE wallet = ? AND epoch >= ? AND is_active", where).fetchone():
                raise Refused(f"wallet {share.wallet} has reached epoch {share.epoch} already", rule="epoch")
            row = (*where, share.address, share.blob, share.kind)
            run("INSERT OR REPLACE INTO shares VALUES (?, ?, ?, 0, ?, ?)", row)

    def activate(self, wallet: str, epoch: int) -> None:
        """Make an epoch the wallet's only one; the shares of earlier epochs are destroyed. Again is allowed.

        Raises:
            InputError: There is no share of that epoch.
        """
        with self._transaction() as run:
            if not run("UPDATE shares SET is_active = 1 WHERE wallet = ? AND epoch = ?", (wallet, epoch)).rowcount:
                raise InputError(f"no share of wallet {wallet!r} in epoch {epoch} here")
            run("DELETE FROM shares WHERE wallet = ? AND epoch < ?", (wallet, epoch))
        with self._lock:
            # The write-ahead log still holds the old pages until it is checkpointed.
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def shares(self) -> list[StoredShare]:
        """List every share, active or pending."""
        with self._transaction() as run:
            rows = run(
                "SELECT wallet, epoch, address, is_active, blob, kind FROM shares ORDER BY wallet, epoch"
            ).fetchall()
        return [
            StoredShare(wallet, epoch, Address(address), bool(on), blob, kind)
            for wallet, epoch, address, on, blob, kind in rows
        ]

    def begin_session(self, session_id: bytes) -> None:
        """Remember that a session was begun.

        Raises:
            Refused: It was before: envelopes of one run would be good in the other.
        """
        with self._transaction() as run:
            if not run("INSERT OR IGNORE INTO sessions VALUES (?)", (session_id,)).rowcount:
                raise Refused("this session was begun before", rule="session")

    def signature(self, address: Address, digest: bytes) -> bytes | None:
        """Look up what was given for a digest."""
        with self._transaction() as run:
            row = run("SELECT signature FROM signatures WHERE address = ? AND digest = ?", (address, digest)).fetchone()
        return None if row is None else bytes(row[0])

    def add_signature(self, address: Address, digest: bytes, signature: bytes) -> bytes:
        """Keep a signature; the first one for a digest stays, and is returned."""
        with self._transaction() as run:
            run("INSERT OR IGNORE INTO signatures VALUES (?, ?, ?)", (address, digest, signature))
            row = run("SELECT signature FROM signatures WHERE address = ? AND digest = ?", (address, digest)).fetchone()
        return bytes(row[0])

    def ban(self, party: int, reason: str) -> None:
        """Never meet a party again."""
        with self._transaction() as run:
            run("INSERT OR IGNORE INTO bans VALUES (?, ?, ?)", (party, reason, self._now_ns()))

    def banned(self) -> frozenset[int]:
        with self._transaction() as run:
            return frozenset(party for (party,) in run("SELECT party FROM bans").fetchall())

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        with self._lock:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                try:
                    yield self._connection.execute
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.Error as exc:
                raise VenueUnavailable(f"the party's store failed: {exc}") from exc
