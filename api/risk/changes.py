"""Changes of risk limits: written by the engine's process as they are asked for, read by the API."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import func
from sqlmodel import Session, col, select

from api.risk.tables import LimitChangeRow


def add_change(
    session: Session,
    strategy: str,
    actor: str,
    reason: str,
    *,
    changed: dict[str, list[Any]],
    now_ns: int,
) -> None:
    """Write one."""
    before = newest_changes(session).get(strategy, {})
    limits = before | {name: new for name, (_, new) in changed.items()}
    session.add(
        LimitChangeRow(
            strategy=strategy, actor=actor[:120], reason=reason[:200], changed=msgspec.json.encode(changed).decode(),
            limits=msgspec.json.encode(limits).decode(), created_ns=now_ns,
        )
    )  # fmt: skip
    session.flush()


def newest_changes(session: Session) -> dict[str, dict[str, Any]]:
    """What was last wanted of each scope's limits, those alone that anybody changed; the run's is that of nobody."""
    newest = select(func.max(LimitChangeRow.id)).group_by(col(LimitChangeRow.strategy))
    rows = session.exec(select(LimitChangeRow).where(col(LimitChangeRow.id).in_(newest)))
    return {row.strategy: msgspec.json.decode(row.limits) for row in rows}
