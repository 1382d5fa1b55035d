"""A trained model's signal: long when it gives a rise enough of a chance, short (where allowed) when too little.

At the close of each bar the features of the last bars go through the drift gate and to the model; its probability of a
rise less one half is the edge. From `enter` on the position is `qty`, from minus `enter` down it is minus `qty` if
`short`; within `leave` of nothing it is closed, between the two it stays. One order is out at a time, immediate and
bounded. When the gate closes the position is closed and nothing is opened again.
"""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from domain import InputError
from engine.models.artefact import load_artefact
from engine.models.drift import DriftGate, DriftSettings
from engine.models.features import FeatureStream
from engine.models.inference import LocalModel, Predictor
from engine.sdk import Context, EventView
from engine.strategies.base import CatalogSettings, CatalogStrategy, Positive

Edge = Annotated[float, Field(ge=0, le=0.5)]


class ModelSignalSettings(CatalogSettings):
    """See the module."""

    kind: Literal["model-signal"] = "model-signal"
    instrument: str
    model: Path
    """The model's folder, `NAME/DIGEST`; relative to the configuration, or to the installation's data directory."""
    period_minutes: int = Field(default=60, ge=1, le=1_440)
    """Of the bars it asks for; the model's must be the same."""
    digest: str = Field(default="", pattern=r"([0-9a-f]{16,64})?")
    """Beginning of the digest it must have; the folder's name says 16 digits of it anyway."""
    service: str = ""
    """Address of `capstan models serve`, which must have the same model; nothing: computed in process."""
    service_timeout_ms: int = Field(default=100, ge=1, le=5_000)
    """What the service does not answer within this time is computed in process: the same number, a moment later."""
    qty: Positive
    """Base units (or contracts) of the whole position."""
    enter: Edge = 0.03
    leave: Edge = 0.0
    short: bool = False
    slippage_bps: Annotated[Decimal, Field(gt=0, le=1_000)] = Decimal(50)
    """How much worse than the touch an order may trade."""
    drift: DriftSettings = DriftSettings()

    fixed: ClassVar[tuple[str, ...]] = ("model", "period_minutes", "digest", "service", "service_timeout_ms", "drift")

    def instrument_names(self) -> tuple[str, ...]:
        return (self.instrument,)

    @field_validator("service")
    @classmethod
    def _is_ours(cls, url: str) -> str:
        from engine.models.remote import loopback

        if url:
            try:
                loopback(url)
            except InputError as exc:
                raise ValueError(str(exc)) from exc
        return url


class ModelSignal(CatalogStrategy[ModelSignalSettings]):
    """See the module."""

    saved = ("_rows", "_vectors", "_recent", "_reason", "_order")

    def __init__(self, settings: ModelSignalSettings) -> None:
        super().__init__(settings)
        self.bar_interval_ns = settings.period_minutes * 60_000_000_000
        self._rows: list[list[int]] = []
        self._vectors: list[list[float]] = []
        """Features of the last bars, as many as the model reads."""
        self._recent: list[int] = []
        self._reason = ""
        """Why the drift gate is closed."""
        self._order: int | None = None

    def on_start(self, ctx: Context) -> None:
        settings = self.settings
        artefact = load_artefact(self.located(settings.model))
        if not artefact.digest.startswith(settings.digest):
            raise InputError(
                f"strategy {self.id}: the model at {settings.model} is {artefact.digest[:16]}, not {settings.digest}"
            )
        if artefact.card.period_minutes != settings.period_minutes:
            raise InputError(
                f"strategy {self.id}: the model reads bars of {artefact.card.period_minutes} minutes, "
                f"period_minutes is {settings.period_minutes}"
            )
        local = LocalModel(artefact)
        self._card, self._model = artefact.card, self._predictor(local, artefact.digest)
        self._features = FeatureStream(self._rows)
        self._gate = DriftGate(artefact.card, settings.drift, self._recent, self._reason)

    def on_bar(self, ctx: Context, event: EventView) -> None:
        edge = self._edge(ctx, event)
        if ctx.stopping or ctx.halted or (self._order is not None and ctx.is_open(self._order)):
            return
        lots = math.floor(float(self.settings.qty) / ctx.lot(event.instrument) + 1e-9)
        wanted = self._wanted(edge, lots, ctx.position(event.instrument))
        self._move(ctx, event.instrument, wanted - ctx.position(event.instrument))

    # --- the signal

    def _edge(self, ctx: Context, event: EventView) -> float | None:
        """The model's probability of a rise less one half; None while it says nothing."""
        prices = (event.aux0, event.aux1, event.sequence, event.price)
        vector = self._features.update(event.time_exchange_ns, prices, event.size)
        if vector is None:
            return None
        self._vectors.append([float(value) for value in vector])
        del self._vectors[: -self._card.steps]
        if len(self._vectors) < self._card.steps:
            return None
        x = np.array(self._vectors, dtype=np.float32) if self._card.steps > 1 else vector
        if not self._gate.admit(x):
            if not self._reason:
                self._reason = self._gate.reason
                ctx.signal("stopped", 1.0, reason=self._reason)
            return None
        probability = self._model.probability(x)
        ctx.signal("probability", probability, **dict(zip(self._card.features, self._vectors[-1], strict=True)))
        return probability - 0.5

    @property
    def stopped_because(self) -> str:
        """Why it opens nothing any more; empty while it does."""
        return self._reason

    # --- the position

    def _wanted(self, edge: float | None, lots: int, position: int) -> int:
        settings = self.settings
        if edge is None:
            return 0 if self._gate.is_closed else position
        if edge >= settings.enter:
            return lots
        if edge <= -settings.enter and settings.short:
            return -lots
        is_over = edge <= settings.leave if position > 0 else edge >= -settings.leave
        return 0 if is_over else position

    def _move(self, ctx: Context, instrument: int, change: int) -> None:
        book = ctx.book(instrument)
        if not change or not book.is_valid:
            return
        slip = float(self.settings.slippage_bps) / 1e4
        if change > 0:
            side, limit = 0, math.floor(book.ask * (1.0 + slip))
        else:
            side, limit = 1, math.ceil(book.bid * (1.0 - slip))
        self._order = ctx.place(instrument, side, limit, abs(change), order_type="market", time_in_force="ioc")

    def _predictor(self, local: LocalModel, digest: str) -> Predictor:
        settings = self.settings
        if not settings.service:
            return local
        from engine.models.remote import RemoteModel, ServedModel

        remote = RemoteModel(settings.service, digest, settings.service_timeout_ms / 1e3)
        return ServedModel(local, remote)
