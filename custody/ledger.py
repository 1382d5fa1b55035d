"""Double-entry books in integer units: every movement of value is an entry whose postings sum to zero per asset.

An account holds what was added minus what was taken. Places that hold value (`venue/…`, `chain/…`) count up when value
arrives; `trading/…`, `fees/…`, `gas/…` and `equity/…` are where it came from or went, so a profit stands there as a
negative amount. Nothing is ever changed or deleted: a mistake is mended by a contra entry.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ColumnElement, func, insert, or_, text
from sqlmodel import Session, col, select

from custody.tables import APPEND_ONLY, EntryRow, PostingRow
from domain import InputError, InvariantError
from runtime.database import Database, raw_sum

_ACCOUNT: Final = re.compile(r"[a-z]+(/[A-Za-z0-9:._\-]{1,80}){1,3}")
_KEY_LENGTH_MAX: Final = 200
_PROFIT_ACCOUNTS: Final = ("trading", "fees", "gas")


@dataclass(frozen=True, slots=True)
class Posting:
    """Add `raw` smallest units of an asset (by asset id) to an account; negative takes them away."""

    account: str
    asset: str
    raw: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced movement of value. `key` names what happened, uniquely and for ever.

    Raises:
        InvariantError: Not balanced, empty, or with an account that is none.
    """

    key: str
    kind: str
    postings: tuple[Posting, ...]
    strategy: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "postings", tuple(posting for posting in self.postings if posting.raw))
        if not self.key or len(self.key) > _KEY_LENGTH_MAX or not self.postings:
            raise InvariantError(f"entry {self.key!r} needs a key of at most {_KEY_LENGTH_MAX} characters and postings")
        totals: dict[str, int] = defaultdict(int)
        for posting in self.postings:
            if type(posting.raw) is not int or not _ACCOUNT.fullmatch(posting.account):
                raise InvariantError(f"entry {self.key}: cannot post {posting}")
            totals[posting.asset] += posting.raw
        if left := {asset: raw for asset, raw in totals.items() if raw}:
            raise InvariantError(f"entry {self.key} is not balanced: {left}")

    def digest(self) -> str:
        """Fingerprint of what is posted; the note may differ."""
        legs = [[posting.account, posting.asset, str(posting.raw)] for posting in self.postings]
        content = json.dumps([self.key, self.kind, self.strategy, legs], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Verification:
    """What `Ledger.verify` found. `problems` is empty when the books are sound."""

    entries: int
    postings: int
    problems: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        return not self.problems


class Ledger:
    """The books in a database whose schema `open_books` has brought up to date.

    Methods are synchronous and short; from a coroutine, call them through `asyncio.to_thread`.
    """

    def __init__(self, database: Database, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._now_ns = now_ns

    def post(self, entry: Entry) -> bool:
        """Book an entry; return False when it was booked before.

        Raises:
            InvariantError: Its key was booked with other content.
        """
        return self.post_many([entry])[0]

    def post_many(self, entries: Sequence[Entry]) -> list[bool]:
        """Book entries in one transaction (one sync of the disk): all of them or none."""
        with self._database.transaction() as session:
            return [self.post_in(session, entry) for entry in entries]

    def post_missing(self, entries: Sequence[Entry]) -> None:
        """Book the entries whose keys are not known yet, in one transaction; what stands under a known key stands."""
        with self._database.transaction() as session:
            keys = col(EntryRow.key).in_([entry.key for entry in entries])
            known = set(session.exec(select(EntryRow.key).where(keys)))
            for entry in entries:
                if entry.key not in known:
                    self.post_in(session, entry)

    def post_in(self, session: Session, entry: Entry) -> bool:
        """Book an entry inside a transaction of the caller's, so that it stands or falls with it."""
        self._database.serialize(session, f"ledger/{entry.key}")
        known = session.exec(select(EntryRow.digest).where(col(EntryRow.key) == entry.key)).first()
        digest = entry.digest()
        if known is not None:
            if known != digest:
                raise InvariantError(f"entry {entry.key} was booked before with other content")
            return False
        row = EntryRow(
            key=entry.key,
            kind=entry.kind,
            strategy=entry.strategy,
            note=entry.note,
            digest=digest,
            time_ns=self._now_ns(),
        )
        session.add(row)
        session.flush()
        session.execute(
            insert(PostingRow),
            [
                {"entry_id": row.id, "line": line, "account": leg.account, "asset": leg.asset, "raw": leg.raw}
                for line, leg in enumerate(entry.postings)
            ],
        )
        return True

    def balance(self, account: str, asset: str) -> int:
        """What an account holds of an asset, in its smallest unit."""
        query = select(raw_sum(PostingRow.raw)).where(
            col(PostingRow.account) == account, col(PostingRow.asset) == asset
        )
        with self._database.snapshot() as session:
            return int(session.exec(query).one())

    def balances(self, prefix: str = "") -> dict[str, dict[str, int]]:
        """Balances by account and asset of an account and all beneath it (`chain/1337`); of all, without a prefix.

        Accounts that came back to zero are left out.
        """
        query = select(PostingRow.account, PostingRow.asset, raw_sum(PostingRow.raw)).group_by(
            col(PostingRow.account), col(PostingRow.asset)
        )
        if prefix:
            query = query.where(_beneath(prefix))
        found: dict[str, dict[str, int]] = defaultdict(dict)
        with self._database.snapshot() as session:
            for account, asset, raw in session.exec(query.order_by(col(PostingRow.account), col(PostingRow.asset))):
                if raw:
                    found[account][asset] = int(raw)
        return dict(found)

    def trial_balance(self) -> dict[str, int]:
        """Sum over all accounts by asset: zero everywhere, or the books are broken."""
        query = select(PostingRow.asset, raw_sum(PostingRow.raw)).group_by(col(PostingRow.asset))
        with self._database.snapshot() as session:
            return {asset: int(raw) for asset, raw in session.exec(query)}

    def profit(self, strategy: str) -> dict[str, int]:
        """What a strategy gained (negative: lost) by asset id, after fees and gas, in smallest units.

        Amounts of different assets are not converted: that needs prices, which the books do not know.
        """
        accounts = [f"{kind}/{strategy}" for kind in _PROFIT_ACCOUNTS]
        query = (
            select(PostingRow.asset, raw_sum(PostingRow.raw))
            .where(col(PostingRow.account).in_(accounts))
            .group_by(col(PostingRow.asset))
        )
        with self._database.snapshot() as session:
            return {asset: -int(raw) for asset, raw in session.exec(query) if raw}

    def strategies(self) -> list[str]:
        """Every strategy that has something booked."""
        with self._database.snapshot() as session:
            query = select(EntryRow.strategy).where(col(EntryRow.strategy) != "").distinct()
            return sorted(session.exec(query))

    def verify(self) -> Verification:
        """Check all the books: each entry balances and fits its fingerprint, and the append-only triggers stand."""
        with self._database.snapshot() as session:
            return Verification(
                entries=session.exec(select(func.count()).select_from(EntryRow)).one(),
                postings=session.exec(select(func.count()).select_from(PostingRow)).one(),
                problems=(*self._unbalanced(session), *_altered(session), *self._missing_triggers(session)),
            )

    @staticmethod
    def _unbalanced(session: Session) -> list[str]:
        total = raw_sum(PostingRow.raw)
        query = (
            select(PostingRow.entry_id, PostingRow.asset, total)
            .group_by(col(PostingRow.entry_id), col(PostingRow.asset))
            .having(total != 0)
        )
        return [f"entry {number} is off by {raw} of {asset}" for number, asset, raw in session.exec(query)]

    def _missing_triggers(self, session: Session) -> list[str]:
        if self._database.is_sqlite:
            wanted = {f"{table}_no_{change}" for table in APPEND_ONLY for change in ("update", "delete")}
            rows = session.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
        else:
            wanted = {f"{table}_{kind}" for table in APPEND_ONLY for kind in ("append_only", "no_truncate")}
            rows = session.execute(text("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D'"))
        return [f"trigger {name} is missing" for name in sorted(wanted - {name for (name,) in rows})]


def _altered(session: Session) -> list[str]:
    """Entries whose rows do not match the fingerprint taken when they were booked."""
    legs: Mapping[int, list[Posting]] = defaultdict(list)
    for row in session.exec(select(PostingRow).order_by(col(PostingRow.entry_id), col(PostingRow.line))):
        legs[row.entry_id].append(Posting(row.account, row.asset, row.raw))
    problems = []
    for entry in session.exec(select(EntryRow).order_by(col(EntryRow.id))):
        try:
            booked = Entry(entry.key, entry.kind, tuple(legs.get(entry.id or 0, ())), entry.strategy)
        except InvariantError as exc:
            problems.append(str(exc))
            continue
        if booked.digest() != entry.digest:
            problems.append(f"entry {entry.key} does not match its fingerprint")
    return problems


def _beneath(prefix: str) -> ColumnElement[bool]:
    if not re.fullmatch(r"[A-Za-z0-9:._\-/]+", prefix):
        raise InputError(f"not an account prefix: {prefix!r}")
    escaped = prefix.replace("\\", "\\\\").replace("_", "\\_")
    return or_(col(PostingRow.account) == prefix, col(PostingRow.account).like(f"{escaped}/%", escape="\\"))
