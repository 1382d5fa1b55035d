"""The watch: a worker's task that looks how things stand and brings the book of alerts to it.

Nothing is kept between runs but what is in the database: a run that was missed loses nothing, and one that comes twice
does nothing twice. What cannot be known now (the engine is away, a result has no price) leaves its alerts as they are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import structlog
from sqlmodel import Session, col, select

from api.alerts import facts, findings
from api.alerts.book import AlertBook
from api.alerts.rules import DRAWDOWN, Finding
from api.alerts.tables import AlertRow, RuleRow
from api.engine_door import EngineDoor
from api.health.checks import lost_venues
from api.portfolios import Directory
from domain import OutcomeUnknown, PlatformError, VenueUnavailable
from engine.feed import text
from runtime.database import Database

log = structlog.get_logger(__name__)

ENGINE_S: Final = 3.0
ENGINE: Final = "engine"
_VENUE: Final = "venue "
_ALWAYS: Final = frozenset({findings.DOWN, findings.WAITING, findings.FAILING})
_OF_THE_ENGINE: Final = frozenset({findings.STOPPED, DRAWDOWN})

Probe = Callable[[], Awaitable[Mapping[str, str]]]
"""Components of the installation to what is wrong with them; empty is nothing."""


class Watch:
    """Of one run of the task.

    Args:
        database: The API's tables beside the books.
        engine: The engine's door; `standing` and `venues` are asked of it.
        now_ns: The clock.
        probe: Further components.
    """

    def __init__(
        self, database: Database, engine: EngineDoor, now_ns: Callable[[], int], probe: Probe | None = None
    ) -> None:
        self._database = database
        self._engine = engine
        self._now_ns = now_ns
        self._probe = probe
        self._book = AlertBook(database, now_ns)
        self._directory = Directory(database, now_ns)

    async def run(self) -> None:
        """Look, and bring the book to it."""
        await self._directory.refresh(now=True)
        problems: dict[str, str] = {} if self._probe is None else dict(await self._probe())
        standing: Mapping[str, Any] | None = None
        has_venues = False
        try:
            standing = await self._engine.ask("standing", timeout_s=ENGINE_S)
            lost = lost_venues(await self._engine.ask("venues", timeout_s=ENGINE_S))
            problems |= {f"{_VENUE}{venue}": why[:200] for venue, why in lost.items()}
            has_venues = True
        except PlatformError as exc:
            problems[ENGINE] = _why(exc)
        await self._database.run(lambda session: self._judge(session, standing, problems, has_venues=has_venues))

    def _judge(
        self, session: Session, standing: Mapping[str, Any] | None, problems: Mapping[str, str], *, has_venues: bool
    ) -> None:
        rest = self._directory.rest
        house = rest.organisation if rest is not None else None
        found = facts.approvals_waiting(session, self._now_ns() // 10**9) + facts.receivers_failing(session)
        found += findings.down(problems, house) if house is not None else []
        kinds, unsure = _ALWAYS, set[str]()
        if not has_venues:
            unsure |= {key for key in _raised(session, findings.DOWN) if key.startswith(_VENUE)}
        if standing is not None:
            kinds |= _OF_THE_ENGINE
            owner = self._directory.of_strategy
            held = facts.held(session)
            found += findings.stopped(standing, owner, self._directory.organisations(), held)
            fallen, uncounted = self._drawdowns(session, standing)
            found += fallen
            unsure |= uncounted
            for differing in findings.differing(standing, house) if house is not None else ():
                self._book.open(session, differing)
        self._book.keep(session, found, kinds, unsure=unsure)
        if escalated := self._book.escalate_due(session):
            log.warning("alerts.escalated", count=escalated)

    def _drawdowns(self, session: Session, standing: Mapping[str, Any]) -> tuple[list[Finding], set[str]]:
        """Drawdowns beyond their limits, and the rules of which it cannot be told now. Peaks go up here."""
        raised = _raised(session, DRAWDOWN)
        found, unsure = [], set[str]()
        for rule in session.exec(select(RuleRow).where(RuleRow.kind == DRAWDOWN, col(RuleRow.enabled))).all():
            if rule.portfolio is None or rule.limit is None:
                continue
            result = findings.result_of(standing, rule.portfolio, self._directory.of_strategy)
            if result is None:
                unsure.add(rule.id)
                continue
            peak = max(result, Decimal(rule.peak)) if rule.peak is not None else result
            if rule.peak is None or peak != Decimal(rule.peak):
                rule.peak = text(peak)
                session.add(rule)
            one = findings.fallen(
                rule.organisation, rule.id, rule.portfolio, limit=Decimal(rule.limit), peak=peak, result=result,
                is_raised=rule.id in raised,
            )  # fmt: skip
            found += [] if one is None else [one]
        return found, unsure


def _raised(session: Session, kind: str) -> set[str]:
    """Keys of the alerts of a kind that are not over."""
    query = select(AlertRow.key).where(AlertRow.kind == kind, col(AlertRow.live_key).is_not(None))
    return set(session.exec(query))


def _why(exc: PlatformError) -> str:
    """In words that may leave the house: no paths."""
    match exc:
        case VenueUnavailable():
            return "nobody listens"
        case OutcomeUnknown():
            return "no answer in time"
        case _:
            return "it refuses to say how things stand"
