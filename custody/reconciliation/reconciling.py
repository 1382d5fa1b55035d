"""Looking at all places, and what follows: an unexplained difference freezes its scope until two people lift it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import structlog
from sqlmodel import Session

from custody import freeze
from custody.audit import AuditLog
from custody.freeze import Freezes
from custody.reconciliation.chains import ChainReconciler
from custody.reconciliation.coverage import AssetGroup, Solvency, solvency
from custody.reconciliation.findings import Comparison, Report
from custody.reconciliation.venues import VenueReconciler
from domain import InputError, VenueError
from runtime.database import Database
from runtime.metrics import INSOLVENT, UNEXPLAINED

log = structlog.get_logger(__name__)

SOURCE: Final = "reconciliation"
SOLVENCY_SOURCE: Final = "solvency"
_LOOKS: Final = 3


class Reconciliation:
    """All places of an installation. Safe to run as often as you like, and by several processes."""

    def __init__(
        self,
        database: Database,
        audit: AuditLog,
        now_ns: Callable[[], int],
        *,
        chains: Sequence[ChainReconciler] = (),
        venues: Sequence[VenueReconciler] = (),
        groups: Sequence[AssetGroup] = (),
        pause: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._database = database
        self._audit = audit
        self._freezes = Freezes(database, audit, now_ns)
        self._chains = tuple(chains)
        self._venues = tuple(venues)
        self._groups = tuple(groups)
        self._pause = pause or _wait_a_moment

    async def reconcile(self) -> Report:
        """Compare every place with the books; freeze the scopes where something stays unexplained in a second look.

        A place that does not answer is reported as unread, and freezes nothing: nothing is known about it.
        """
        comparisons: list[Comparison] = []
        pinned: dict[str, str] = {}
        unread: list[str] = []
        for chain in self._chains:
            try:
                block, found = await chain.look()
                if any(item.is_mismatch for item in found):  # Booked between our two readings? Then not any more.
                    block, found = await chain.look()
            except (VenueError, InputError) as exc:
                log.error("reconciliation.unread", scope=chain.scope, error=str(exc))
                unread.append(chain.scope)
                continue
            pinned[chain.scope] = f"{block.number} {block.hash}"
            comparisons += found
        for venue in self._venues:
            try:
                comparisons += await venue.look()
            except (VenueError, InputError) as exc:
                log.error("reconciliation.unread", scope=venue.scope, error=str(exc))
                unread.append(venue.scope)
        report = Report(tuple(comparisons), pinned, tuple(unread))
        await asyncio.to_thread(self._act, report)
        return report

    async def check_solvency(self) -> list[Solvency]:
        """Compare what is held now with what is owed; freeze everything when it is less in three looks.

        A trade is booked a moment after it happened; until then neither what was sold counts nor what was bought.

        Raises:
            VenueError: A place did not answer. Without all of them there is no answer, and nothing is frozen.
        """
        for left in reversed(range(_LOOKS)):
            found: dict[str, Mapping[str, int]] = {}
            for chain in self._chains:
                found |= await chain.balances()
            for venue in self._venues:
                found |= await venue.balances()
            results = await asyncio.to_thread(solvency, self._database, found, self._groups)
            short = [item for item in results if not item.is_solvent]
            if not short or not left:
                break
            await self._pause()
        INSOLVENT.set(len(short))
        if short:
            what = "; ".join(f"{item.name}: {item.held_raw} held, {item.owed_raw} owed" for item in short)
            log.critical("solvency.short", short=what)
            detail = {"short": [{"name": s.name, "held": str(s.held_raw), "owed": str(s.owed_raw)} for s in short]}
            await asyncio.to_thread(
                self._freeze, freeze.ALL, SOLVENCY_SOURCE, f"less is held than owed: {what}", detail
            )
        return results

    def _act(self, report: Report) -> None:
        by_scope: dict[str, list[Comparison]] = {}
        for item in report.comparisons:
            found = by_scope.setdefault(item.scope, [])
            if item.is_mismatch:
                found.append(item)
        for scope, found in by_scope.items():
            UNEXPLAINED.labels(scope).set(len(found))
            if not found:
                continue
            wire = [item.to_wire() for item in found]
            log.critical("reconciliation.mismatch", scope=scope, differences=wire)
            worst = found[0]
            reason = f"{worst.account} differs by {worst.unexplained_raw} of {worst.asset}"
            if len(found) > 1:
                reason += f", and {len(found) - 1} more"
            pinned = report.pinned.get(scope, "")
            self._freeze(scope, SOURCE, reason, {"block": pinned, "differences": wire[:100]})

    def _freeze(self, scope: str, source: str, reason: str, detail: Mapping[str, Any]) -> None:
        """Freeze, with one audit record of what was found; the same again while it stands adds nothing."""

        def is_standing(session: Session) -> bool:
            return any(found.source == source for found in freeze.standing(session, scope))

        with self._database.transaction() as session:
            self._database.serialize(session, f"freeze/{scope}")
            if is_standing(session):
                return
            imposed = self._freezes.impose_in(session, scope, source=source, reason=reason)
            self._audit.append(session, f"{source}.mismatch", f"freeze/{imposed.id}", {"scope": scope, **detail})


async def _wait_a_moment() -> None:
    await asyncio.sleep(1.0)
