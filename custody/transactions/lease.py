"""The lease on an account: one process at a time writes its transactions, and whoever lost the lease writes nothing.

A lease is a row with its holder, an expiry and a token that counts up with every holder. The token is the fence: each
database transaction that changes something compares it first, under the row's lock, so a process that was paused while
another took over finds out in its next transaction, which is undone. Clocks and expiry only decide when somebody may
take over; they are not what keeps two writers apart.

A holder usually has the system's lock as well (a file's, or PostgreSQL's), which is freed the moment it dies: then the
next one need not wait for the expiry.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final

from sqlmodel import Session, select

from custody.transactions.tables import LeaseRow
from domain import Address, ChainId, InputError, InvariantError
from runtime.database import Database

LEASE_S: Final = 10.0


class LeaseLost(InvariantError):
    """Another process has taken the account over. Nothing was written; this process must stop."""


class Lease:
    """One process's claim on one account.

    Args:
        database: Where the lease stands, beside what it guards.
        chain_id: With `address`: the account.
        address: See there.
        holder: Who we are, for messages.
        now_ns: UTC nanoseconds; processes that share an account should agree on it to a fraction of `lease_s`.
        lease_s: How long a holder that gives no sign of life keeps others waiting.
    """

    def __init__(
        self,
        database: Database,
        *,
        chain_id: ChainId,
        address: Address,
        holder: str,
        now_ns: Callable[[], int],
        lease_s: float = LEASE_S,
    ) -> None:
        self._database = database
        self._place = (int(chain_id), str(address))
        self._holder = holder
        self._now_ns = now_ns
        self._lease_ns = round(lease_s * 1e9)
        self._lock: AbstractContextManager[None] | None = None
        self.token = 0
        """Ours; 0 while we hold nothing."""

    @property
    def name(self) -> str:
        return f"vault chain/{self._place[0]}/{self._place[1]}"

    def acquire(self) -> None:
        """Take the lease: free, expired, or of a process that is dead.

        Raises:
            InputError: Another process holds it.
        """
        self._take_lock()
        try:
            with self._database.transaction() as session:
                self._database.serialize(session, f"lease of {self.name}")
                row = session.get(LeaseRow, self._place, with_for_update=True)
                if row is None:
                    row = LeaseRow(
                        chain_id=self._place[0], address=self._place[1], holder="", token=0, expires_ns=0, has_lock=True
                    )
                # Who had the system's lock and has it no more is dead, whatever the expiry says.
                is_dead = row.has_lock and self._lock is not None
                if not is_dead and row.expires_ns > self._now_ns():
                    raise InputError(
                        f"another process already writes {self.name}: {row.holder}",
                        hint="stop it first, or wait until it has ended",
                    )
                row.token += 1
                row.holder, row.expires_ns = self._holder, self._now_ns() + self._lease_ns
                row.has_lock = self._lock is not None
                session.add(row)
                token = row.token
        except BaseException:
            self._drop_lock()
            raise
        self.token = token

    def renew(self) -> None:
        """Say that we live, and try for the system's lock if a former holder kept it.

        Raises:
            LeaseLost: Another process has taken over.
        """
        if self._lock is None:
            self._take_lock()
        with self._database.transaction() as session:
            row = self._mine(session, exclusive=True)
            row.expires_ns = self._now_ns() + self._lease_ns
            row.has_lock = self._lock is not None
            session.add(row)

    def check(self, session: Session) -> None:
        """Let a transaction pass only while the lease is ours, and keep it ours until the transaction ends.

        Raises:
            LeaseLost: Another process has taken over.
        """
        self._mine(session, exclusive=False)

    def release(self) -> None:
        """Give the lease back, so that the next process need not wait. Safe to repeat, also after it was lost."""
        token, self.token = self.token, 0
        try:
            if token:
                with self._database.transaction() as session:
                    row = session.get(LeaseRow, self._place, with_for_update=True)
                    if row is not None and row.token == token:
                        row.expires_ns = 0
                        session.add(row)
        finally:
            self._drop_lock()

    def _mine(self, session: Session, *, exclusive: bool) -> LeaseRow:
        query = (
            select(LeaseRow)
            .where(LeaseRow.chain_id == self._place[0], LeaseRow.address == self._place[1])
            # Shared: our own transactions do not wait for one another, a take-over waits for them.
            .with_for_update(read=not exclusive)
        )
        row = session.exec(query).first()
        if row is None or not self.token or row.token != self.token:
            found = "nobody" if row is None else f"{row.holder} (token {row.token})"
            raise LeaseLost(f"the lease on {self.name} (token {self.token}) is not ours any more: {found} has it")
        return row

    def _take_lock(self) -> None:
        lock = self._database.writer_lock(self.name)
        try:
            lock.__enter__()
        except InputError:
            return  # Held: by a living holder, or by one that is paused and has lost its lease.
        self._lock = lock

    def _drop_lock(self) -> None:
        lock, self._lock = self._lock, None
        if lock is not None:
            lock.__exit__(None, None, None)
