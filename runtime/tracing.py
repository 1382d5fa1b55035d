"""Traces (OpenTelemetry) of a request through our processes: API, engine, venue. Off, and free, until `start`.

    POST /v1/orders ──control socket: "trace"──> engine.place_order ──client order id──> venue.place

An order goes through the journal and the kernel, which carry no context: the door of clients' orders keeps it here by
the request's id, and by the order's once there is one. Spans have names, ids and outcomes, never what was said: of an
exception its kind alone.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from domain import InputError
from runtime.redaction import redact_text
from runtime.settings import SettingsPart

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, Tracer

CARRIED_MAX: Final = 10_000
_OFF: Final[AbstractContextManager[None]] = nullcontext()

_tracer: Tracer | None = None
_carried: OrderedDict[str, Context] = OrderedDict()


class TracingSettings(SettingsPart):
    """Traces, sent to a collector. Needs the extra `tracing`."""

    otlp: str = ""
    """Base URL of an OTLP collector over HTTP (`http://127.0.0.1:4318`). Empty: no traces."""
    sample: float = Field(default=1.0, ge=0, le=1)
    """Share of requests that are traced."""


def start(service: str, settings: TracingSettings, *, trusts_caller: bool, exporter: Any = None) -> Callable[[], None]:
    """Begin to trace in this process; give what ends it and sends what is left.

    Args:
        service: `capstan-api`, `capstan-engine`.
        settings: Where to, and how much.
        trusts_caller: Whether who calls decides what is sampled: of the engine, whose callers are ours.
        exporter: Another than OTLP's.

    Raises:
        InputError: The extra is not installed.
    """
    global _tracer  # noqa: PLW0603 - a process has one
    if not settings.otlp and exporter is None:
        return lambda: None
    try:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
        from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            processor: Any = BatchSpanProcessor(OTLPSpanExporter(f"{settings.otlp.rstrip('/')}/v1/traces"))
        else:
            processor = SimpleSpanProcessor(exporter)
    except ImportError as exc:
        raise InputError("[tracing] otlp needs OpenTelemetry's exporter", hint="uv sync --extra tracing") from exc
    ratio = TraceIdRatioBased(settings.sample)
    # Who calls from outside must not decide that everything is traced.
    sampler = (
        ParentBased(ratio)
        if trusts_caller
        else ParentBased(ratio, remote_parent_sampled=ratio, remote_parent_not_sampled=ratio)
    )
    provider = TracerProvider(resource=Resource.create({"service.name": service}), sampler=sampler)
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("capstan")

    def end() -> None:
        global _tracer  # noqa: PLW0603
        _tracer = None
        _carried.clear()
        provider.shutdown()

    return end


def is_on() -> bool:
    return _tracer is not None


def span(
    name: str, *, parent: str | Context | None = None, **attributes: str | int
) -> AbstractContextManager[Span | None]:
    """Trace what is done within: below `parent` (a traceparent of W3C, or a context), else below what goes on."""
    return _OFF if _tracer is None else _span(_tracer, name, parent, attributes)


@contextmanager
def _span(tracer: Tracer, name: str, parent: str | Context | None, attributes: dict[str, Any]) -> Iterator[Span]:
    from opentelemetry.trace import Status, StatusCode
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    above = TraceContextTextMapPropagator().extract({"traceparent": parent}) if isinstance(parent, str) else parent
    shown = {key: redact_text(value) if isinstance(value, str) else value for key, value in attributes.items()}
    with tracer.start_as_current_span(
        name, context=above, attributes=shown, record_exception=False, set_status_on_exception=False
    ) as found:
        try:
            yield found
        except BaseException as exc:
            found.set_status(Status(StatusCode.ERROR, type(exc).__name__))
            raise


def traceparent() -> str:
    """Where we are, for another process; empty while nothing is traced."""
    if _tracer is None:
        return ""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def carry(key: str) -> None:
    """Keep where we are under a key; `taken` gives it to whoever goes on."""
    if _tracer is None:
        return
    from opentelemetry.context import get_current

    _keep(key, get_current())


def hand_over(key: str, to: str) -> None:
    """What was kept under a key goes on under another."""
    if _tracer is not None and (found := _carried.pop(key, None)) is not None and to:
        _keep(to, found)


def taken(key: str) -> Context | None:
    """What was kept under a key, once; None where nothing was."""
    return _carried.pop(key, None) if _tracer is not None else None


def _keep(key: str, context: Context) -> None:
    _carried[key] = context
    while len(_carried) > CARRIED_MAX:
        _carried.popitem(last=False)
