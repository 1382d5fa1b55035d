"""Figures about ourselves: exact latency percentiles for reports, Prometheus counters for operators."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()
"""The process's own registry, the engine's above all; served by the API, never the library's global one."""

ORDERS_SENT = Counter("capstan_orders_sent", "Orders handed to a venue", ["venue"], registry=REGISTRY)
FILLS = Counter("capstan_fills", "Trades of ours", ["venue"], registry=REGISTRY)
SWAPS = Counter("capstan_swaps", "On-chain swaps by outcome", ["status"], registry=REGISTRY)
RISK_REJECTED = Counter("capstan_risk_rejected", "Refused by the risk gate", ["rule"], registry=REGISTRY)
UNEXPLAINED = Gauge(
    "capstan_reconciliation_unexplained", "Balances that books and places disagree on", ["scope"], registry=REGISTRY
)
INSOLVENT = Gauge("capstan_insolvent", "Kinds of value of which less is held than owed", registry=REGISTRY)
AUDIT_EXPORT_FAILED = Counter(
    "capstan_audit_export_failed",
    "Audit checkpoints that a place off this host did not take",
    ["target"],
    registry=REGISTRY,
)
EVENT_QUEUE = Gauge("capstan_event_queue", "Events waiting for the kernel", registry=REGISTRY)
TICK_TO_ORDER = Histogram(
    "capstan_tick_to_order_seconds",
    "Market bytes received to order bytes sent",
    buckets=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1),
    registry=REGISTRY,
)


class LatencyRecorder:
    """Keeps every sample (nanoseconds) of a bounded run and answers exact percentiles, nearest rank.

    Beyond `capacity` samples the oldest are overwritten, and the percentiles speak of the most recent ones.
    """

    def __init__(self, capacity: int = 1_000_000) -> None:
        self._samples: list[int] = []
        self._capacity = capacity
        self.count = 0

    def record(self, ns: int) -> None:
        if len(self._samples) < self._capacity:
            self._samples.append(ns)
        else:
            self._samples[self.count % self._capacity] = ns
        self.count += 1

    def since(self, count: int) -> list[int]:
        """The samples recorded after the first `count`, oldest first, as far as they are still kept."""
        fresh = min(self.count - count, len(self._samples))
        start = (self.count - fresh) % self._capacity if fresh else 0
        return [self._samples[(start + i) % self._capacity] for i in range(fresh)]

    def percentiles_us(
        self, ranks: Sequence[float] = (50, 90, 99), *, newest: int | None = None
    ) -> dict[str, float | None]:
        """Answer `{"p50": …}` in microseconds, of all samples or the `newest`; None where there is no sample."""
        ordered = sorted(self._samples if newest is None else self.since(self.count - newest))
        return {f"p{rank:g}": round(_nearest_rank(ordered, rank) / 1000, 1) if ordered else None for rank in ranks}


def _nearest_rank(ordered: Sequence[int], rank: float) -> int:
    return ordered[max(0, min(len(ordered) - 1, -(-int(rank * len(ordered)) // 100) - 1))]
