"""Where users withdraw to, and since when: a thief's new address has to wait, and be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlmodel import Session, col, select

from custody.audit import AuditLog
from custody.withdrawals.requests import Destination
from custody.withdrawals.tables import AddressRow
from domain import InputError, Refused
from runtime.database import Database

_LABEL_MAX = 80


@dataclass(frozen=True, slots=True)
class KnownAddress:
    """An entry of a user's address book."""

    user: str
    place: str
    address: str
    memo: str
    label: str
    added_ns: int


class AddressBook:
    """The address books of all users.

    Args:
        database: Brought up to date by `custody.open_books`.
        audit: Told of every change.
        now_ns: UTC nanoseconds.
        cool_down_s: How long an address must have been there before anything goes to it.
        is_required: Whether withdrawals go to known addresses only; else an unknown one has no age, and policy decides.
    """

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        now_ns: Callable[[], int],
        *,
        cool_down_s: int = 0,
        is_required: bool = False,
    ) -> None:
        self._database = database
        self._audit = audit
        self._now_ns = now_ns
        self._cool_down_s = cool_down_s
        self._is_required = is_required

    @property
    def cool_down_s(self) -> int:
        """How long an address must have been there before anything goes to it."""
        return self._cool_down_s

    def add(self, user: str, destination: Destination, *, label: str = "", by: str) -> KnownAddress:
        """Enter an address; one that is there already keeps its age."""
        with self._database.transaction() as session:
            return _known(self.add_in(session, user, destination, label, by=by))

    def add_in(self, session: Session, user: str, destination: Destination, label: str, *, by: str) -> AddressRow:
        """Enter an address in a transaction of the caller's; see `add`."""
        if len(label) > _LABEL_MAX or not label.isprintable():
            raise InputError(f"a label is printable text of at most {_LABEL_MAX} characters")
        place = place_of(destination)
        self._database.serialize(session, f"address-book/{user}")
        row = _find(session, user, destination)
        if row is None:
            row = AddressRow(
                user=user,
                place=place,
                address=destination.address,
                memo=destination.memo,
                label=label,
                added_ns=self._now_ns(),
            )
            session.add(row)
            session.flush()
            detail = {"place": place, "address": destination.address, "memo": destination.memo, "by": by}
            self._audit.append(session, "withdrawal.address-added", f"user/{user}", detail)
        return row

    def remove(self, user: str, destination: Destination, *, by: str) -> None:
        """Take an address out. Added again, it is new again.

        Raises:
            InputError: It is not in this user's book.
        """
        with self._database.transaction() as session:
            self._database.serialize(session, f"address-book/{user}")
            row = _find(session, user, destination)
            if row is None:
                raise InputError(f"{destination.address} is not in the address book of {user}")
            self.remove_in(session, row, by=by)

    def remove_in(self, session: Session, row: AddressRow, *, by: str) -> None:
        """Take an entry out in a transaction of the caller's; see `remove`."""
        row.removed_ns = self._now_ns()
        session.add(row)
        session.flush()
        detail = {"place": row.place, "address": row.address, "by": by}
        self._audit.append(session, "withdrawal.address-removed", f"user/{row.user}", detail)

    def list(self, user: str) -> list[KnownAddress]:
        """Give a user's addresses, oldest first."""
        with self._database.snapshot() as session:
            query = (
                select(AddressRow)
                .where(col(AddressRow.user) == user, col(AddressRow.removed_ns) == 0)
                .order_by(col(AddressRow.id))
            )
            return [_known(row) for row in session.exec(query)]

    def check(self, session: Session, user: str, destination: Destination) -> None:
        """Demand that a withdrawal may go to an address now.

        Raises:
            Refused: Rule `unknown-address` or `cool-down`.
        """
        row = _find(session, user, destination)
        if row is None:
            if self._is_required or self._cool_down_s:
                raise Refused(
                    f"{destination.address} is not in the address book of {user}",
                    rule="unknown-address",
                    hint="`capstan withdrawals address add`, then wait for the cool-down",
                )
            return
        age_s = (self._now_ns() - row.added_ns) / 1e9
        if age_s < self._cool_down_s:
            raise Refused(
                f"{destination.address} was added {age_s:.0f} s ago, it must have been there for {self._cool_down_s} s",
                rule="cool-down",
            )

    def first_seen_s(self, session: Session, addresses: Iterable[str]) -> dict[str, int]:
        """Since when each address is known (Unix seconds), for policy's fact of a destination's age.

        An address that several users have is as old as its youngest entry; unknown ones are left out.
        """
        query = select(AddressRow.address, AddressRow.added_ns).where(
            col(AddressRow.address).in_(list(addresses)), col(AddressRow.removed_ns) == 0
        )
        found: dict[str, int] = {}
        for address, added_ns in session.exec(query):
            found[address] = max(found.get(address, 0), added_ns // 10**9)
        return found


def place_of(destination: Destination) -> str:
    """Name where an address is one: a chain's id, or a venue with its network."""
    return destination.place if destination.kind == "chain" else f"{destination.place}:{destination.network}"


def _find(session: Session, user: str, destination: Destination) -> AddressRow | None:
    query = select(AddressRow).where(
        col(AddressRow.user) == user,
        col(AddressRow.place) == place_of(destination),
        col(AddressRow.address) == destination.address,
        col(AddressRow.memo) == destination.memo,
        col(AddressRow.removed_ns) == 0,
    )
    return session.exec(query).first()


def _known(row: AddressRow) -> KnownAddress:
    return KnownAddress(row.user, row.place, row.address, row.memo, row.label, row.added_ns)
