"""The engine's figures for Prometheus: what was counted as it happened, and what stands now, looked up when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cli.engine_venues import describe_venues
from engine.edge.words import STAGES
from engine.native import VALUE_DECIMALS, NativeKernel
from engine.ports import ExchangeVenue
from runtime.metrics import REGISTRY


class EngineFigures(Collector):
    """Of one running engine; `text` is called on its loop."""

    def __init__(self, kernel: NativeKernel, venues: Mapping[str, ExchangeVenue], now_ns: Callable[[], int]) -> None:
        self._kernel = kernel
        self._venues = venues
        self._now_ns = now_ns
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(namespace="capstan_engine", registry=self._registry)

    def text(self) -> str:
        """Everything in the text form of Prometheus."""
        return (generate_latest(REGISTRY) + generate_latest(self._registry)).decode()

    def describe(self) -> Iterator[Metric]:
        """Nothing before there is something: without it, registering would already ask the kernel."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        yield from self._state()
        yield from self._places()

    def _state(self) -> Iterator[Metric]:
        kernel = self._kernel
        stage = GaugeMetricFamily(
            "capstan_kill_stage",
            f"How far the run or a strategy is stopped: {', '.join(f'{at} {name}' for at, name in enumerate(STAGES))}",
            labels=["strategy"],
        )
        stage.add_metric([""], STAGES.index(kernel.stage))
        orders = GaugeMetricFamily("capstan_orders_open", "Orders at venues by state", labels=["strategy", "state"])
        result = GaugeMetricFamily(
            "capstan_result", "Result since the run began, in the unit of account", labels=["strategy"]
        )
        result.add_metric([""], float(kernel.result()))
        for strategy in kernel.strategies:
            stage.add_metric([strategy.id], STAGES.index(kernel.stages.get(strategy.id, STAGES[0])))
            result.add_metric([strategy.id], float(kernel.result(strategy.id)))
            states: dict[str, int] = {}
            for order in kernel.orders.open_orders(strategy.id):
                states[order.state.value] = states.get(order.state.value, 0) + 1
            for state, count in sorted(states.items()):
                orders.add_metric([strategy.id, state], count)
        falls = GaugeMetricFamily(
            "capstan_drawdown", "Below the highest result, in the unit of account", labels=["strategy"]
        )
        # Each strategy's as the kernel numbers them, and at last the run's.
        for name, used in zip([*(s.id for s in kernel.strategies), ""], kernel.native.usage(), strict=False):
            if used["drawdown"] is not None:
                falls.add_metric([name], float(Decimal(used["drawdown"]).scaleb(-VALUE_DECIMALS)))
        swaps = GaugeMetricFamily("capstan_swaps_in_flight", "On-chain swaps that are not settled yet")
        swaps.add_metric([], len(kernel.swaps))
        yield from (stage, falls, result, orders, swaps)

    def _places(self) -> Iterator[Metric]:
        age = GaugeMetricFamily("capstan_feed_age_seconds", "Since a book last changed", labels=["venue", "instrument"])
        valid = GaugeMetricFamily("capstan_feed_valid", "Whether a book can be trusted", labels=["venue", "instrument"])
        trading = GaugeMetricFamily("capstan_venue_trading", "Whether orders go out to a venue", labels=["venue"])
        skew = GaugeMetricFamily("capstan_venue_clock_ahead_seconds", "A venue's clock against ours", labels=["venue"])
        for venue in describe_venues(self._venues, self._kernel, self._now_ns()):
            trading.add_metric([venue["id"]], venue["is_trading"])
            if venue["clock_ahead_ms"] is not None:
                skew.add_metric([venue["id"]], venue["clock_ahead_ms"] / 1000)
            for book in venue["books"]:
                valid.add_metric([venue["id"], book["instrument"]], book["is_valid"])
                if book["age_ms"] is not None:
                    age.add_metric([venue["id"], book["instrument"]], book["age_ms"] / 1000)
        yield from (age, valid, trading, skew)
