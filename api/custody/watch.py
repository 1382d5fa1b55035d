"""What waits for people, on the stream: looked up once a second for those who read it, and for nobody else."""

from __future__ import annotations

from typing import Any, Final

from sqlmodel import Session, col, select

from api.custody.approvals import Asked, not_over, shown
from api.custody.whose import Whose
from api.portfolios import Directory
from api.streams.hub import Hub
from custody.approvals import ApprovalState
from custody.approvals.tables import ApprovalRequestRow
from custody.counter import Counter
from runtime import Clock

CHANNEL: Final = "approvals"
SHOWN_MAX: Final = 500


class ApprovalWatch:
    """One process's. Without custody nothing waits."""

    def __init__(self, counter: Counter | None, directory: Directory, hub: Hub, clock: Clock) -> None:
        self._counter = counter
        self._directory = directory
        self._hub = hub
        self._clock = clock

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
        for part, waiting in zip(parts, found, strict=True):
            state: dict[str, Any] = {one.id: one.model_dump(mode="json", exclude={"intent"}) for one in waiting}
            self._hub.replace(CHANNEL, part.organisation, state)

    def _waiting(self, session: Session, mine: Whose) -> list[Asked]:
        assert self._counter is not None
        approvals, number = self._counter.approvals, col(ApprovalRequestRow.id)
        query = select(ApprovalRequestRow.intent_id).where(mine.intent(col(ApprovalRequestRow.intent_id)))
        query = query.where(not_over(self._clock.now_ns() // 10**9)).order_by(number.desc()).limit(SHOWN_MAX)
        requests = [approvals.find_in(session, intent_id) for intent_id in session.exec(query)]
        return [shown(request) for request in requests if request.state is ApprovalState.PENDING]
