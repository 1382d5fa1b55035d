"""Accepted policies in custody's database: what was active when, and which comes next. The audit log is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlmodel import Session, col, select

from custody.audit import AuditLog
from custody.policy.bundle import Admins, Bundle, check_quorum, check_successor, effective_s, read_bundle
from custody.policy.tables import PolicyBundleRow
from runtime.database import Database

_NS: int = 10**9


@dataclass(frozen=True, slots=True)
class Accepted:
    """A bundle that was accepted."""

    bundle: Bundle
    signed_s: int
    seen_s: int
    effective_s: int
    """When it became, or will become, active; one that a higher version overtook before never does."""


class PolicyHistory:
    """The policies of an installation.

    Args:
        database: Brought up to date by `custody.open_books`.
        admins: Who may change the policy.
        now_ns: UTC nanoseconds.
    """

    def __init__(self, database: Database, admins: Admins, *, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._admins = admins
        self._now_ns = now_ns
        self._audit = AuditLog(database, now_ns)

    def accept(self, bundle: Bundle) -> Accepted:
        """Verify a bundle and record it; the same one again is a no-op.

        Raises:
            Refused: See `check_quorum` and `check_successor`.
        """
        with self._database.transaction() as session:
            return self.accept_in(session, bundle)

    def accept_in(self, session: Session, bundle: Bundle) -> Accepted:
        """Accept a bundle in a transaction of the caller's; see `accept`."""
        signed_s, now_s = check_quorum(bundle, self._admins), self._now_ns() // _NS
        rulebook = bundle.rulebook
        self._database.serialize(session, "policy")
        earlier = self._all(session)
        if earlier and earlier[-1].bundle.rulebook.digest == rulebook.digest:
            return earlier[-1]
        highest = earlier[-1].bundle.rulebook.version if earlier else 0
        active = active_of(earlier, now_s)
        current = None if active is None else active.bundle.rulebook
        check_successor(bundle, signed_s=signed_s, highest=highest, current=current, now_s=now_s)
        accepted = Accepted(bundle, signed_s, now_s, max(effective_s(bundle, seen_s=now_s, current=current), now_s))
        session.add(
            PolicyBundleRow(
                version=rulebook.version,
                digest=rulebook.digest,
                bundle=bundle.to_json(),
                signed_s=signed_s,
                seen_s=now_s,
                effective_s=accepted.effective_s,
            )
        )
        self._audit.append(
            session,
            "policy.activated",
            f"policy/{rulebook.version}",
            {
                "digest": rulebook.digest,
                "effective_s": accepted.effective_s,
                "admins": sorted(signature.admin for signature in bundle.signatures),
                "replaces": None if current is None else current.version,
            },
        )
        return accepted

    def active(self) -> Accepted | None:
        """The bundle that is active now."""
        return active_of(self.all(), self._now_ns() // _NS)

    def all(self) -> list[Accepted]:
        """Every bundle that was accepted, oldest first."""
        with self._database.snapshot() as session:
            return self._all(session)

    def _all(self, session: Session) -> list[Accepted]:
        rows = session.exec(select(PolicyBundleRow).order_by(col(PolicyBundleRow.version)))
        return [Accepted(read_bundle(row.bundle), row.signed_s, row.seen_s, row.effective_s) for row in rows]


def active_of(accepted: list[Accepted], now_s: int) -> Accepted | None:
    """Find what is active at an instant: the last whose time has come and that was not overtaken before it."""
    active: Accepted | None = None
    for number, each in enumerate(accepted):
        overtaken = any(later.seen_s < each.effective_s for later in accepted[number + 1 :])
        if each.effective_s <= now_s and not overtaken:
            active = each
    return active
