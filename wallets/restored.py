"""A journal that came back from a backup does not know what was signed after it, and must not guess.

Putting a journal back marks it (`mark_restored`). From then on it gives what it knows and allows nothing new: any nonce
may be one that was signed after the backup. `SigningJournal.reconcile` opens a key on a chain again, after whoever
restored has asked the chain: transactions found there are taken into the journal, and a floor is set. Above the floor
the journal is as ever. Below it, what the journal knows may be repeated and replaced; a nonce that it does not know may
only be voided: the account sends itself nothing, which pays nobody and takes the place of whatever was signed there.
The floor lies above every nonce the chain has seen, by a margin for what was signed and never sent.

A second restore marks again: floors of the first count no more.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from domain import Address, InputError, Refused, VenueUnavailable
from wallets.group_commit import Run
from wallets.payloads import AuthorizationToSign, TransactionToSign

MARGIN_MAX: Final = 1024

SCHEMA: Final = """
CREATE TABLE restores (sequence INTEGER PRIMARY KEY, backup_ns INTEGER NOT NULL, restored_ns INTEGER NOT NULL);
CREATE TABLE floors (
    restore_sequence INTEGER NOT NULL, key TEXT NOT NULL, chain_id INTEGER NOT NULL,
    nonce TEXT NOT NULL, time_ns INTEGER NOT NULL,
    PRIMARY KEY (restore_sequence, key, chain_id)
);
CREATE TRIGGER restores_no_update BEFORE UPDATE ON restores
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER restores_no_delete BEFORE DELETE ON restores
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER floors_no_update BEFORE UPDATE ON floors BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER floors_no_delete BEFORE DELETE ON floors BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
PRAGMA user_version = 3;
"""


def check_floor(
    run: Run, key: Address, payload: TransactionToSign | AuthorizationToSign, *, is_nonce_known: bool
) -> None:
    """Let a payload that the journal does not know pass, unless a restore stands in its way.

    Raises:
        VenueUnavailable: Before `reconcile`. Nothing is signed, and nothing is decided: whoever asks must wait, because
            what is asked for may have been done already.
        Refused: Rule `restored-floor`: the nonce lies below the floor.
    """
    if (restore := _latest(run)) == 0:
        return
    place = f"nonce {payload.nonce} of {key} on chain {payload.chain_id}"
    row = run(
        "SELECT nonce FROM floors WHERE restore_sequence = ? AND key = ? AND chain_id = ?",
        (restore, key, payload.chain_id),
    ).fetchone()
    if row is None:
        raise VenueUnavailable(
            f"this journal was restored from a backup: {place} may have been signed after it",
            hint="consult the chain first: `capstan backup reconcile`",
        )
    if payload.nonce < int(row[0]) and not is_nonce_known and not _is_void(key, payload):
        raise Refused(
            f"{place} may have been signed before the restore: below {row[0]} it can only be voided",
            rule="restored-floor",
            hint="send nothing to the account itself under this nonce",
        )


def set_floor(
    run: Run,
    key: Address,
    chain_id: int,
    *,
    chain_nonce: int,
    margin: int,
    now_ns: int,
) -> int:
    """Open a key on a chain; gives the floor. Without a restore, or a second time, nothing changes.

    Raises:
        InputError: A negative nonce or margin, or a margin nobody would void.
    """
    if chain_nonce < 0 or not 0 <= margin <= MARGIN_MAX:
        raise InputError(f"a chain's nonce is at least 0 and a margin 0 to {MARGIN_MAX}")
    if (restore := _latest(run)) == 0:
        return 0
    place = (key, chain_id)
    known = run("SELECT nonce FROM signed WHERE key = ? AND chain_id = ?", place).fetchall()
    floor = max([chain_nonce, *(int(nonce) + 1 for (nonce,) in known)]) + margin
    run("INSERT OR IGNORE INTO floors VALUES (?, ?, ?, ?, ?)", (restore, *place, str(floor), now_ns))
    row = run(
        "SELECT nonce FROM floors WHERE restore_sequence = ? AND key = ? AND chain_id = ?", (restore, *place)
    ).fetchone()
    return int(row[0])


def mark_restored(path: Path, *, backup_ns: int, now_ns: int) -> None:
    """Close a journal file that was just put back. It must not be in use.

    Args:
        path: Of any version: an older one is brought up to date when it is opened.
        backup_ns: When the backup was made.
        now_ns: Now.

    Raises:
        InputError: It is no journal.
    """
    from wallets.journal import SigningJournal

    SigningJournal(path, now_ns=lambda: now_ns).close()
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("INSERT INTO restores (backup_ns, restored_ns) VALUES (?, ?)", (backup_ns, now_ns))
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
    except sqlite3.Error as exc:
        raise InputError(f"{path} cannot be marked as restored: {exc}") from exc


def keys_of(run: Run) -> Sequence[tuple[Address, int]]:
    """Every key and chain the journal has something of."""
    rows = run("SELECT DISTINCT key, chain_id FROM signed ORDER BY key, chain_id").fetchall()
    return [(Address(key), int(chain_id)) for key, chain_id in rows]


def _latest(run: Run) -> int:
    row = run("SELECT MAX(sequence) FROM restores").fetchone()
    return int(row[0] or 0)


def _is_void(key: Address, payload: TransactionToSign | AuthorizationToSign) -> bool:
    return (
        isinstance(payload, TransactionToSign)
        and payload.to == key
        and payload.value_wei == 0
        and not payload.data
        and not payload.authorizations
    )
