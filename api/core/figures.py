"""What the API tells of itself: rate, errors and duration of requests by route, and how its streams keep up.

In a registry of its own: `/metrics` puts the engine's figures beside it, and no name is told twice.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

REGISTRY: Final = CollectorRegistry()

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

REQUESTS: Final = Counter(
    "capstan_http_requests", "Requests answered", ["method", "route", "status"], registry=REGISTRY
)
DURATION: Final = Histogram(
    "capstan_http_request_seconds",
    "From the first byte of a request to the last of its answer",
    ["method", "route"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
IN_FLIGHT: Final = Gauge("capstan_http_requests_in_flight", "Requests that are being answered", registry=REGISTRY)
REFUSALS: Final = Counter(
    "capstan_http_refusals", "Requests that were answered with a problem, by its code", ["code"], registry=REGISTRY
)
CONNECTIONS_CUT: Final = Counter(
    "capstan_connections_cut",
    "Connections that were closed before they were answered: `slow_head`, `silent`, `stalled`, `malformed`, too many"
    " `connections` or too many `per_address`",
    ["why"],
    registry=REGISTRY,
)
WS_CLIENTS: Final = Gauge("capstan_ws_clients", "Connections to the stream", registry=REGISTRY)
WS_SEND_LAG: Final = Histogram(
    "capstan_ws_send_lag_seconds",
    "From the first news for a connection until its socket had taken all there was",
    buckets=(*_SECONDS, 30),
    registry=REGISTRY,
)
CONFLATED: Final = Counter(
    "capstan_conflated", "Deltas of state channels that went out within a later one", ["channel"], registry=REGISTRY
)
SEQ_GAP_RESUBS: Final = Counter(
    "capstan_seq_gap_resubs",
    "Subscriptions that said where they stand, by what they got: `resumed`, or a new `snapshot`",
    ["answer"],
    registry=REGISTRY,
)

UNKNOWN: Final = "unknown"
"""The route of a request that none fits: paths of one's own making must not make figures."""
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request."""
    requests, duration = _children(method if method in _METHODS else UNKNOWN, route, status)
    requests.inc()
    duration.observe(seconds)


@lru_cache(4096)
def _children(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(method, route, str(status)), DURATION.labels(method, route)


def generate() -> bytes:
    """Everything counted here, in the text form of Prometheus."""
    return generate_latest(REGISTRY)
