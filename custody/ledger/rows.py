"""The statements of booking, many rows at a time.

PostgreSQL takes whole columns as arrays, in one statement for thousands of rows; SQLite has no arrays and does not
need them, because a statement there costs no round trip.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from sqlalchemy import bindparam, insert, text, tuple_, update
from sqlmodel import Session, col, select

from custody.ledger.entries import Entry
from custody.ledger.tables import BalanceRow, EntryRow, PostingRow

Pair = tuple[str, str]
"""Account and asset."""
_T = TypeVar("_T")
_CHUNK: Final = 400  # SQLite takes some thousand parameters in a statement.

# LATERAL makes it one index look-up per row given, in the order given. Left to choose, a planner without statistics
# (a table that has just grown from nothing) reads all of it instead, for every batch.
_LOCK: Final = (
    "SELECT b.account, b.asset, b.raw FROM unnest(%s::text[], %s::text[]) AS w(account, asset) CROSS JOIN LATERAL"
    " (SELECT * FROM ledger_balances WHERE account = w.account AND asset = w.asset FOR UPDATE) AS b"
)
_OPEN: Final = (
    "INSERT INTO ledger_balances (account, asset, raw) SELECT account, asset, 0 FROM"
    " unnest(%s::text[], %s::text[]) AS w(account, asset) ON CONFLICT DO NOTHING"
)
_DIGESTS: Final = (
    "SELECT e.key, e.digest FROM unnest(%s::text[]) AS w(key) CROSS JOIN LATERAL"
    " (SELECT key, digest FROM ledger_entries WHERE key = w.key LIMIT 1) AS e"
)
_INSERT: Final = (
    "WITH fresh AS (INSERT INTO ledger_entries (key, kind, strategy, note, digest, time_ns, tx_hash)"
    " SELECT key, kind, strategy, note, digest, %s, tx_hash FROM"
    " unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
    " AS e(key, kind, strategy, note, digest, tx_hash) RETURNING id, key)"
    " INSERT INTO ledger_postings (entry_id, line, account, asset, raw)"
    " SELECT fresh.id, p.line, p.account, p.asset, p.raw FROM"
    " unnest(%s::text[], %s::int[], %s::text[], %s::text[], %s::text[]::numeric[])"
    " AS p(key, line, account, asset, raw) JOIN fresh ON fresh.key = p.key ORDER BY fresh.id, p.line"
)
_SET: Final = (
    "UPDATE ledger_balances b SET raw = n.raw FROM unnest(%s::text[], %s::text[], %s::text[]::numeric[])"
    " AS n(account, asset, raw) WHERE b.account = n.account AND b.asset = n.asset"
)


def lock_balances(session: Session, pairs: Iterable[Pair]) -> dict[Pair, int]:
    """Give balances and hold them until the transaction ends; who else books or locks them waits."""
    wanted = sorted(pairs)
    found = _locked(session, wanted)
    if missing := [pair for pair in wanted if pair not in found]:
        _open(session, missing)
        found |= _locked(session, missing)
    return found


def known_digests(session: Session, keys: Collection[str]) -> dict[str, str]:
    """Give the fingerprints of those entries that are booked already, by key."""
    if _is_postgresql(session):
        rows = session.connection().exec_driver_sql(_DIGESTS, (list(keys),))
        return {key: digest for key, digest in rows.all()}  # noqa: C416
    found: dict[str, str] = {}
    for chunk in _chunks(sorted(keys)):
        query = select(EntryRow.key, EntryRow.digest).where(col(EntryRow.key).in_(chunk))
        found.update(dict(session.exec(query).all()))
    return found


def insert_entries(session: Session, fresh: Sequence[tuple[Entry, str]], now_ns: int) -> None:
    """Write entries, each with its fingerprint, and their postings."""
    legs = [(entry.key, line, leg) for entry, _ in fresh for line, leg in enumerate(entry.postings)]
    if _is_postgresql(session):
        columns = (
            now_ns,
            [entry.key for entry, _ in fresh],
            [entry.kind for entry, _ in fresh],
            [entry.strategy for entry, _ in fresh],
            [entry.note for entry, _ in fresh],
            [digest for _, digest in fresh],
            [entry.tx_hash for entry, _ in fresh],
            [key for key, _, _ in legs],
            [line for _, line, _ in legs],
            [leg.account for _, _, leg in legs],
            [leg.asset for _, _, leg in legs],
            [str(leg.raw) for _, _, leg in legs],
        )
        session.connection().exec_driver_sql(_INSERT, columns)
        return
    rows = [
        {
            "key": entry.key,
            "kind": entry.kind,
            "strategy": entry.strategy,
            "note": entry.note,
            "digest": digest,
            "time_ns": now_ns,
            "tx_hash": entry.tx_hash,
        }
        for entry, digest in fresh
    ]
    written = session.execute(insert(EntryRow).returning(col(EntryRow.id), col(EntryRow.key)), rows)
    numbers = {key: number for number, key in written}
    session.execute(
        insert(PostingRow),
        [
            {"entry_id": numbers[key], "line": line, "account": leg.account, "asset": leg.asset, "raw": leg.raw}
            for key, line, leg in legs
        ],
    )


def set_balances(session: Session, after: Mapping[Pair, int]) -> None:
    """Write balances whose rows are locked."""
    if _is_postgresql(session):
        columns = ([pair[0] for pair in after], [pair[1] for pair in after], [str(raw) for raw in after.values()])
        session.connection().exec_driver_sql(_SET, columns)
        return
    session.connection().execute(
        update(BalanceRow)
        .where(col(BalanceRow.account) == bindparam("of"), col(BalanceRow.asset) == bindparam("what"))
        .values(raw=bindparam("now")),
        [{"of": account, "what": asset, "now": raw} for (account, asset), raw in after.items()],
    )


def _locked(session: Session, pairs: Sequence[Pair]) -> dict[Pair, int]:
    if _is_postgresql(session):
        columns = ([pair[0] for pair in pairs], [pair[1] for pair in pairs])
        rows = session.connection().exec_driver_sql(_LOCK, columns)
        return {(account, asset): int(raw) for account, asset, raw in rows}
    found: dict[Pair, int] = {}
    for chunk in _chunks(pairs):
        query = select(BalanceRow.account, BalanceRow.asset, BalanceRow.raw).where(
            tuple_(col(BalanceRow.account), col(BalanceRow.asset)).in_(chunk)
        )
        found.update(((account, asset), int(raw)) for account, asset, raw in session.exec(query))
    return found


def _open(session: Session, pairs: Sequence[Pair]) -> None:
    if _is_postgresql(session):
        session.connection().exec_driver_sql(_OPEN, ([pair[0] for pair in pairs], [pair[1] for pair in pairs]))
        return
    session.execute(
        text("INSERT INTO ledger_balances (account, asset, raw) VALUES (:account, :asset, 0)"),
        [{"account": account, "asset": asset} for account, asset in pairs],
    )


def _is_postgresql(session: Session) -> bool:
    return session.get_bind().dialect.name == "postgresql"


def _chunks(items: Sequence[_T]) -> Iterable[list[_T]]:
    rest = iter(items)
    while chunk := list(islice(rest, _CHUNK)):
        yield chunk
