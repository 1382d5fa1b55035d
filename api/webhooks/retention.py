"""What was told long ago is forgotten, a bounded piece at a time, so that nobody waits behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import structlog
from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.webhooks.tables import AttemptRow, DeliveryRow, EventRow
from runtime.database import Database

log = structlog.get_logger(__name__)

PIECE: Final = 500
PIECES_MAX: Final = 200
"""Of one run; the next goes on."""
_DAY_NS: Final = 24 * 3_600 * 10**9


class Forgetter:
    """Of one run of the task.

    Args:
        database: Whose outbox.
        now_ns: The clock.
        days: How long deliveries that have ended are kept. One that is still to be told is kept however old it is.
    """

    def __init__(self, database: Database, now_ns: Callable[[], int], days: int) -> None:
        self._database = database
        self._before_ns = now_ns() - days * _DAY_NS

    def run(self) -> int:
        """Forget what is old; give how many events."""
        count = 0
        for _ in range(PIECES_MAX):
            with self._database.transaction() as session:
                gone = self._piece(session)
            count += gone
            if gone < PIECE:
                break
        log.info("webhooks.forgotten", events=count)
        return count

    def _piece(self, session: Session) -> int:
        waiting = select(DeliveryRow.event).where(DeliveryRow.state == "pending")
        query = select(EventRow.id).where(EventRow.created_ns < self._before_ns, col(EventRow.id).not_in(waiting))
        events = list(session.exec(query.order_by(col(EventRow.created_ns)).limit(PIECE)))
        if not events:
            return 0
        mine = select(DeliveryRow.id).where(col(DeliveryRow.event).in_(events))
        session.execute(delete(AttemptRow).where(col(AttemptRow.delivery).in_(mine)))
        session.execute(delete(DeliveryRow).where(col(DeliveryRow.event).in_(events)))
        session.execute(delete(EventRow).where(col(EventRow.id).in_(events)))
        return len(events)
