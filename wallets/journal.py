"""The sign-once journal: what each key has signed for each nonce, durable before a signature leaves the process.

One SQLite file of its own, owned by one signer process. For a (key, chain, nonce) the first digest wins. The same
digest again is allowed (signing is deterministic, the bytes are the same); another digest only when it replaces the
first with the same recipient, value and data at strictly higher fees. Rows are never changed.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from eth_utils.crypto import keccak

from domain import Address, InputError, Refused, VenueUnavailable
from wallets.guard import Spent
from wallets.payloads import TransactionToSign
from wallets.transactions import signing_digest

VELOCITY_WINDOW_NS: Final = 24 * 3600 * 10**9

_SCHEMA = """
CREATE TABLE signed (
    sequence INTEGER PRIMARY KEY,
    key TEXT NOT NULL, chain_id INTEGER NOT NULL, nonce TEXT NOT NULL,
    digest BLOB NOT NULL,
    effect BLOB NOT NULL,          -- hash over recipient, value and data: what a replacement must keep
    fee_ceiling TEXT NOT NULL, tip_ceiling TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    UNIQUE (key, chain_id, nonce, digest)
);
CREATE TABLE spent (
    key TEXT NOT NULL, chain_id INTEGER NOT NULL, nonce TEXT NOT NULL,
    asset TEXT NOT NULL, raw TEXT NOT NULL, time_ns INTEGER NOT NULL,
    PRIMARY KEY (key, chain_id, nonce, asset)
);
CREATE INDEX spent_by_time ON spent (key, asset, time_ns);
CREATE TRIGGER signed_no_update BEFORE UPDATE ON signed BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER signed_no_delete BEFORE DELETE ON signed BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER spent_no_update BEFORE UPDATE ON spent BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER spent_no_delete BEFORE DELETE ON spent BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
PRAGMA user_version = 1;
"""

Judge = Callable[[Spent], Mapping[str, int]]
"""The guard, bound to one transaction: told what was spent, returns what this one spends, or raises `Refused`."""


class SigningJournal:
    """Opens (and creates) the journal file. Thread-safe; close it, or use it as a context manager.

    Raises:
        InputError: The file is no journal, or of a newer release.
    """

    def __init__(self, path: Path, *, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode=WAL")
            # FULL: a signature may leave the process right after the commit, so the row must survive a power cut.
            self._connection.execute("PRAGMA synchronous=FULL")
            version = self._connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._connection.executescript("BEGIN IMMEDIATE;" + _SCHEMA + "COMMIT;")
            elif version != 1:
                raise InputError(f"{path} is a journal of version {version}, this release reads version 1")
        except sqlite3.Error as exc:
            raise InputError(f"{path} is not a signing journal: {exc}") from exc

    def record(self, key: Address, tx: TransactionToSign, judge: Judge) -> None:
        """Allow one transaction to be signed, and remember it for ever.

        Raises:
            Refused: The nonce is taken by another transaction (`sign-once`), a replacement does not pay more
                (`replacement-fee`), or the judge refused.
            VenueUnavailable: The journal cannot be written; nothing may be signed.
        """
        digest, effect = signing_digest(tx), _effect(tx)
        place = (key, tx.chain_id, str(tx.nonce))
        with self._transaction() as run:
            earlier = run(
                "SELECT digest, effect, fee_ceiling, tip_ceiling FROM signed"
                " WHERE key = ? AND chain_id = ? AND nonce = ?",
                place,
            ).fetchall()
            if any(row[0] == digest for row in earlier):
                return
            for _, effect_before, fee, tip in earlier:
                _check_replacement(tx, effect, effect_before, int(fee), int(tip))
            now = self._now_ns()
            for asset, raw in judge(lambda asset: self._spent(run, place, asset, now)).items():
                # A replacement spends what was counted when its nonce was first signed.
                run("INSERT OR IGNORE INTO spent VALUES (?, ?, ?, ?, ?, ?)", (*place, asset, str(raw), now))
            run(
                "INSERT INTO signed (key, chain_id, nonce, digest, effect, fee_ceiling, tip_ceiling, time_ns)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*place, digest, effect, str(tx.fee_ceiling_per_gas_wei), str(tx.tip_ceiling_per_gas_wei), now),
            )

    def count(self) -> int:
        """How many distinct transactions were ever allowed."""
        with self._transaction() as run:
            return int(run("SELECT COUNT(*) FROM signed", ()).fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _spent(run: _Run, place: tuple[Address, int, str], asset: str, now_ns: int) -> int:
        rows = run(
            "SELECT raw FROM spent WHERE key = ? AND asset = ? AND time_ns > ? AND NOT (chain_id = ? AND nonce = ?)",
            (place[0], asset, now_ns - VELOCITY_WINDOW_NS, place[1], place[2]),
        )
        return sum(int(raw) for (raw,) in rows)

    @contextmanager
    def _transaction(self) -> Iterator[_Run]:
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
                raise VenueUnavailable(f"the signing journal cannot be written: {exc}") from exc


_Run = Callable[..., sqlite3.Cursor]


def _effect(tx: TransactionToSign) -> bytes:
    """Hash what the transaction does, leaving out what it pays for being mined."""
    return keccak(bytes.fromhex(tx.to[2:]) + tx.value_wei.to_bytes(32, "big") + tx.data)


def _check_replacement(tx: TransactionToSign, effect: bytes, effect_before: bytes, fee: int, tip: int) -> None:
    where = f"nonce {tx.nonce} on chain {tx.chain_id}"
    if effect != effect_before:
        raise Refused(f"{where} was already signed with another recipient, value or data", rule="sign-once")
    if tx.fee_ceiling_per_gas_wei <= fee or tx.tip_ceiling_per_gas_wei <= tip:
        raise Refused(f"{where} was already signed; a replacement must raise both fees", rule="replacement-fee")
