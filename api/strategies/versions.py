"""Versions of a strategy's parameters: written by the engine's process as it takes them, read by the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlmodel import Session, col, select

from api.strategies.tables import StrategyVersionRow


@dataclass(frozen=True, slots=True)
class Authored:
    """Who gave parameters, and why."""

    source: str
    author: str
    reason: str


def add_version(
    session: Session,
    strategy: str,
    authored: Authored,
    *,
    changed: dict[str, list[Any]],
    parameters: dict[str, Any],
    now_ns: int,
) -> int:
    """Write the next version; give its number."""
    newest = newest_version(session, strategy)
    version = 1 if newest is None else newest.version + 1
    session.add(
        StrategyVersionRow(
            strategy=strategy, version=version, source=authored.source, author=authored.author[:120],
            reason=authored.reason[:200], changed=_text(changed), parameters=_text(parameters), created_ns=now_ns,
        )
    )  # fmt: skip
    session.flush()
    return version


def note_version(session: Session, strategy: str, authored: Authored, parameters: dict[str, Any], now_ns: int) -> None:
    """Write what a strategy runs with where that is not what was written last: its first, or one that a crash took."""
    newest = newest_version(session, strategy)
    if newest is None:
        add_version(session, strategy, authored, changed={}, parameters=parameters, now_ns=now_ns)
        return
    before = msgspec.json.decode(newest.parameters)
    after = msgspec.json.decode(_text(parameters))
    if before != after:
        changed = {
            key: [before.get(key), after.get(key)] for key in {**before, **after} if before.get(key) != after.get(key)
        }
        add_version(session, strategy, authored, changed=changed, parameters=parameters, now_ns=now_ns)


def newest_version(session: Session, strategy: str) -> StrategyVersionRow | None:
    query = select(StrategyVersionRow).where(StrategyVersionRow.strategy == strategy)
    return session.exec(query.order_by(col(StrategyVersionRow.version).desc()).limit(1)).one_or_none()


def read_versions(session: Session, strategy: str, *, before: int | None, limit: int) -> list[StrategyVersionRow]:
    """Up to `limit` versions below a number, the newest first."""
    query = select(StrategyVersionRow).where(StrategyVersionRow.strategy == strategy)
    if before is not None:
        query = query.where(col(StrategyVersionRow.version) < before)
    return list(session.exec(query.order_by(col(StrategyVersionRow.version).desc()).limit(limit)))


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
