"""What a settled transaction booked, so that a reorganisation can undo exactly that and book what came instead.

An outcome may be booked more than once: each time under keys of its own, the second as `swap/<intent>#2`. What was
undone stands in the ledger with its contra entry beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from sqlmodel import Session

from custody.ledger import Entry, Ledger, Posting
from custody.ledger.postings import contra
from custody.transactions.tables import TransactionRow


def prepare(row: TransactionRow, entries: Sequence[Entry]) -> Sequence[Entry]:
    """Remember on the transaction what its outcome books; gives the entries under the keys they are to be booked."""
    row.bookings += 1
    if row.bookings > 1:
        entries = [replace(entry, key=f"{entry.key}#{row.bookings}") for entry in entries]
    row.booked = _encode(entries)
    return entries


def undo(session: Session, ledger: Ledger, row: TransactionRow, reason: str) -> None:
    """Book the opposite of what the present outcome booked."""
    # Backwards: what a later entry moved on lies where the earlier one left it only after that is undone.
    ledger.post_all_in(session, [contra(entry, reason) for entry in reversed(_decode(row.booked or "[]"))])
    row.booked = None


def _encode(entries: Sequence[Entry]) -> str:
    rows = [
        [
            entry.key,
            entry.kind,
            [[posting.account, posting.asset, str(posting.raw)] for posting in entry.postings],
            entry.strategy,
            entry.note,
            entry.tx_hash,
        ]
        for entry in entries
    ]
    return json.dumps(rows, separators=(",", ":"))


def _decode(text: str) -> list[Entry]:
    return [
        Entry(key, kind, tuple(Posting(account, asset, int(raw)) for account, asset, raw in legs), *rest)
        for key, kind, legs, *rest in json.loads(text)
    ]
