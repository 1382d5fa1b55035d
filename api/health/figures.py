"""Everything that `/metrics` says: this process's own figures, the engine's, and what stands in the books."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import structlog
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlmodel import Session, col, func, select

from api.core import figures
from api.kill.tables import KillRow
from api.services import Services
from api.webhooks.tables import DeliveryRow
from custody.transactions.tables import TransactionRow
from custody.withdrawals.tables import WithdrawalRow
from domain import PlatformError

log = structlog.get_logger(__name__)

ENGINE_S: Final = 3.0


async def all_figures(services: Services) -> str:
    """Everything, as text; who does not answer is told as down, and its figures are left out."""
    try:
        engine, engine_up = str((await services.engine.ask("metrics", timeout_s=ENGINE_S))["text"]), 1
    except PlatformError:
        engine, engine_up = "", 0
    try:
        books, books_up = await services.database.read(_count), 1
    except PlatformError as exc:
        log.warning("figures.books_unread", error=str(exc))
        books, books_up = [], 0
    engine_gauge = GaugeMetricFamily("capstan_engine_up", "Whether the engine answers", engine_up)
    books_gauge = GaugeMetricFamily("capstan_books_up", "Whether the database of the books answers", books_up)
    looked_up = CollectorRegistry()
    looked_up.register(_Found([engine_gauge, books_gauge, *books]))
    return (figures.generate() + generate_latest(looked_up)).decode() + engine


class _Found(Collector):
    """What was looked up already."""

    def __init__(self, found: list[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterator[Metric]:
        yield from self._found


def _count(session: Session) -> list[Metric]:
    """Count rows by state, over indices of the state alone."""
    withdrawals = GaugeMetricFamily("capstan_withdrawals", "Withdrawals by state", labels=["state"])
    for state, count in session.exec(select(WithdrawalRow.state, func.count()).group_by(WithdrawalRow.state)):
        withdrawals.add_metric([state], count)
    signing = GaugeMetricFamily(
        "capstan_transactions", "Transactions by state: admitted, approved, signed, sent, settled", labels=["state"]
    )
    for state, count in session.exec(select(TransactionRow.state, func.count()).group_by(TransactionRow.state)):
        signing.add_metric([state], count)
    deliveries = GaugeMetricFamily("capstan_webhook_deliveries", "Deliveries of webhooks by state", labels=["state"])
    for state, count in session.exec(select(DeliveryRow.state, func.count()).group_by(DeliveryRow.state)):
        deliveries.add_metric([state], count)
    kills = GaugeMetricFamily("capstan_kills", "Presses of the kill switch that hold, by target", labels=["target"])
    held = select(KillRow.target, func.count()).where(col(KillRow.released_ns).is_(None)).group_by(KillRow.target)
    for target, count in session.exec(held):
        kills.add_metric([target], count)
    return [withdrawals, signing, deliveries, kills]
