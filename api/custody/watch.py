"""What waits for people, on the stream: looked up once a second for those who read it, and for nobody else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import Session, col, func, select

from api.custody.approvals import Asked, not_over, shown
from api.custody.whose import Whose
from api.portfolios import Directory
from api.streams.hub import Hub
from custody.approvals import ApprovalState
from custody.approvals.tables import ApprovalRequestRow, ApprovalRow
from custody.counter import Counter
from runtime import Clock

CHANNEL: Final = "approvals"
SHOWN_MAX: Final = 500
AGAIN_NS: Final = 15 * 10**9
"""What a request has come to is worked out from its signatures, when somebody has signed; and so often besides, for
the policy may have changed."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What a request came to when it was last worked out."""

    stands: tuple[str, int]
    """Its digest, and how many have said something."""
    read_ns: int
    asked: Asked | None


class ApprovalWatch:
    """One process's. Without custody nothing waits."""

    def __init__(self, counter: Counter | None, directory: Directory, hub: Hub, clock: Clock) -> None:
        self._counter = counter
        self._directory = directory
        self._hub = hub
        self._clock = clock
        self._known: dict[str, _Known] = {}

    async def look(self) -> None:
        """Publish what waits now, to whoever reads; the newest, where there are very many."""
        organisations = self._hub.read_keys(CHANNEL)
        if self._counter is None or not organisations:
            return
        await self._directory.refresh()
        rest = self._directory.rest
        house = None if rest is None else rest.organisation
        parts = [Whose(organisation, organisation == house) for organisation in sorted(organisations)]
        found = await self._counter.database.read(lambda session: [self._waiting(session, part) for part in parts])
        since = self._clock.now_ns() - AGAIN_NS
        self._known = {intent: known for intent, known in self._known.items() if known.read_ns > since}
        for part, waiting in zip(parts, found, strict=True):
            state: dict[str, Any] = {one.id: one.model_dump(mode="json", exclude={"intent"}) for one in waiting}
            self._hub.replace(CHANNEL, part.organisation, state)

    def _waiting(self, session: Session, mine: Whose) -> list[Asked]:
        assert self._counter is not None
        number, intent, now = col(ApprovalRequestRow.id), col(ApprovalRequestRow.intent_id), self._clock.now_ns()
        said = select(func.count()).where(ApprovalRow.intent_id == intent).scalar_subquery()
        query = select(intent, ApprovalRequestRow.digest, said).where(mine.intent(intent))
        query = query.where(not_over(now // 10**9)).order_by(number.desc()).limit(SHOWN_MAX)
        found = [self._looked_at(session, name, (digest, count), now) for name, digest, count in session.exec(query)]
        return [one for one in found if one is not None]

    def _looked_at(self, session: Session, intent: str, stands: tuple[str, int], now_ns: int) -> Asked | None:
        """A request as it was worked out last, if nobody has said anything since; None of one that does not wait."""
        known = self._known.get(intent)
        if known is not None and known.stands == stands and now_ns - known.read_ns < AGAIN_NS:
            return known.asked
        assert self._counter is not None
        request = self._counter.approvals.find_in(session, intent)
        asked = shown(request) if request.state is ApprovalState.PENDING else None
        self._known[intent] = _Known(stands, now_ns, asked)
        return asked
