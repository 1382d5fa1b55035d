"""From settings to a model with its skill: data, samples, purged folds, the last fit, export, and proof of the export.

bars ──> samples ──split at test_from──> before: purged folds (cv), then one fit on all of it ──> ONNX
                                         after:  probabilities of the ONNX file ──> test
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl

from domain import InputError, InvariantError
from engine.data import bar_events, read_bars
from engine.data.captures import Events
from engine.data.paths import data_path
from engine.models import features
from engine.models.artefact import Artefact, Card, FeatureRange, make_artefact
from engine.models.dataset import Samples, join, samples_of
from engine.models.features import Floats, Vectors
from engine.models.inference import LocalModel, runtime_version
from engine.models.lstm import export_lstm, fit_lstm, lstm_probabilities
from engine.models.settings import BarsSource, LstmSettings, TrainSettings, nanoseconds
from engine.models.skill import interval, measure
from engine.models.trees import export_trees, fit_trees
from engine.models.validation import purged_folds, split_at

EXPORT_TOLERANCE: Final = 1e-5
"""How far an exported model's probability may be from the library's own: sums of single-precision floats."""
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Trained:
    """A model and what was found out on the way."""

    artefact: Artefact
    export_error: float
    """The largest difference between the library's probabilities and the exported file's, on what was tested."""
    importance: dict[str, float]
    """Share of the forest's splits by feature, where the kind tells."""


def read_source(source: BarsSource, settings: TrainSettings, folder: Path) -> Events:
    """Read one instrument's bars as the records a strategy is told.

    Raises:
        InputError: No such file, no bars in it, or none in the time asked for.
    """
    frame = read_bars(data_path(source.path, folder))
    if source.since is not None:
        frame = frame.filter(pl.col("time") >= source.since)
    if source.until is not None:
        frame = frame.filter(pl.col("time") < source.until)
    if frame.is_empty():
        raise InputError(f"{source.path}: no bars between {source.since} and {source.until}")
    tick, lot = float(source.tick_size), float(source.lot_size)
    return bar_events(frame, instrument=0, tick=tick, lot=lot, period=settings.period)


def train(settings: TrainSettings, folder: Path, progress: Progress = lambda what, done, total: None) -> Trained:
    """Train a model, measure it, export it, and check the export against the library.

    Args:
        settings: Of `load_train_settings`.
        folder: Where relative paths begin.
        progress: Told what is being done, how much is done and how much there is.

    Raises:
        InputError: Data that is missing or too short, or a library that is not installed.
        InvariantError: The exported model does not say what the fitted one says.
    """
    histories = [read_source(source, settings, folder) for source in settings.data]
    return train_on(settings, histories, progress)


def train_on(
    settings: TrainSettings, histories: list[Events], progress: Progress = lambda what, done, total: None
) -> Trained:
    """Do what `train` does on bars that are read already."""
    samples = join([samples_of(bars, settings.label, steps=settings.steps) for bars in histories])
    before, after = split_at(samples, nanoseconds(settings.test_from))
    known, unseen = samples.take(before), samples.take(after)
    folds = list(
        purged_folds(known, settings.folds, int(settings.embargo_bars * settings.period.total_seconds()) * 10**9)
    )
    scores = []
    for at, (fit_rows, test_rows) in enumerate(folds):
        progress("cross-validation", at, len(folds))
        fitted = _fit(settings, known.take(fit_rows))
        tested = known.take(test_rows)
        scores.append(_score(settings, tested, fitted.probabilities(tested), float(known.y[fit_rows].mean())))
    progress("last fit", 0, 1)
    fitted = _fit(settings, known)
    onnx = fitted.export(settings.name)
    card = _card(settings, histories, known, unseen)
    model = LocalModel(make_artefact(card, onnx))
    found = model.probabilities(unseen.x)
    error = float(np.abs(found - fitted.probabilities(unseen)).max())
    if not error <= EXPORT_TOLERANCE:
        raise InvariantError(f"the exported model differs from the fitted one by {error:.3g}")
    skill = {"cv": scores, "test": _score(settings, unseen, found, card.base_rate)}
    artefact = make_artefact(_with_skill(card, skill), onnx)
    progress("last fit", 1, 1)
    return Trained(artefact, error, fitted.importance)


def evaluate(model: LocalModel, settings: TrainSettings, histories: list[Events]) -> dict[str, Any]:
    """Measure a model on bars: those decided from `settings.test_from` on.

    Raises:
        InputError: The settings are of other steps or another horizon than the model.
    """
    card = model.card
    if (settings.steps, settings.label.horizon_bars, settings.period_minutes) != (
        card.steps,
        card.horizon_bars,
        card.period_minutes,
    ):
        raise InputError(
            f"{card.name} reads {card.steps} bars of {card.period_minutes} minutes for {card.horizon_bars} more, "
            f"the settings say {settings.steps}, {settings.period_minutes} and {settings.label.horizon_bars}"
        )
    samples = join([samples_of(bars, settings.label, steps=card.steps) for bars in histories])
    unseen = samples.take(samples.times_ns >= nanoseconds(settings.test_from))
    if not len(unseen):
        raise InputError(f"no bars from {settings.test_from} on")
    found = _score(settings, unseen, model.probabilities(unseen.x), card.base_rate)
    return {**found, "outside_share": outside_share(card, unseen.x)}


def outside_share(card: Card, x: Vectors) -> float:
    """Share of inputs with a feature outside its range of training."""
    low = np.array([bounds.low for bounds in card.ranges], dtype=np.float32)
    high = np.array([bounds.high for bounds in card.ranges], dtype=np.float32)
    last = x if x.ndim == 2 else x[:, -1]
    return float(((last < low) | (last > high)).any(axis=1).mean())


@dataclass(frozen=True, slots=True)
class _Fitted:
    """A fitted model of either library."""

    probabilities: Callable[[Samples], Floats]
    export: Callable[[str], bytes]
    importance: dict[str, float]


def _fit(settings: TrainSettings, samples: Samples) -> _Fitted:
    width = samples.x.shape[-1]
    if isinstance(settings.model, LstmSettings):
        network, steps = fit_lstm(settings.model, samples, settings.seed), settings.model.steps
        return _Fitted(
            probabilities=lambda asked: lstm_probabilities(network, asked),
            export=lambda _name: export_lstm(network, steps, width),
            importance={},
        )
    model = fit_trees(settings.model, samples, settings.seed)
    shares = getattr(model, "feature_importances_", None)
    return _Fitted(
        probabilities=lambda asked: np.asarray(model.predict_proba(asked.x)[:, 1], dtype=np.float64),
        export=lambda name: export_trees(model, width, name),
        importance={} if shares is None else dict(zip(features.NAMES, map(float, shares), strict=True)),
    )


def _score(settings: TrainSettings, samples: Samples, p: Floats, base_rate: float) -> dict[str, Any]:
    # Blocks of a week or more: labels overlap over the horizon, and moods last longer than that.
    week = round(7 * 24 * 60 / settings.period_minutes) * len(settings.data)
    block = min(max(5 * settings.label.horizon_bars * len(settings.data), week), len(samples))
    found: dict[str, Any] = {"from": _day(int(samples.times_ns[0])), "until": _day(int(samples.times_ns[-1]))}
    found |= measure(samples.y, p, samples.forward, base_rate)
    ranges = interval(samples.y, p, samples.forward, block=block, seed=settings.seed)
    return found | {f"{name}_95": list(bounds) for name, bounds in ranges.items()}


def _card(settings: TrainSettings, histories: list[Events], known: Samples, unseen: Samples) -> Card:
    flat = known.x.reshape(-1, known.x.shape[-1])
    low, high = flat.min(axis=0), flat.max(axis=0)
    described = settings.model_dump(mode="json", exclude={"name", "data"})
    described["data"] = [
        {"instrument": source.instrument, "bars": len(bars), "sha256": hashlib.sha256(bars.tobytes()).hexdigest()}
        for source, bars in zip(settings.data, histories, strict=True)
    ]
    return Card(
        name=settings.name,
        kind=settings.model.kind,
        features=features.NAMES,
        features_digest=features.DIGEST,
        steps=settings.steps,
        period_minutes=settings.period_minutes,
        horizon_bars=settings.label.horizon_bars,
        instruments=tuple(source.instrument for source in settings.data),
        trained_from=_day(int(known.times_ns[0])),
        trained_until=_day(int(known.times_ns[-1])),
        tested_until=_day(int(unseen.times_ns[-1])),
        base_rate=float(known.y.mean()),
        ranges=tuple(FeatureRange(float(a), float(b)) for a, b in zip(low, high, strict=True)),
        skill={},
        settings=described,
        runtime=runtime_version(),
    )


def _with_skill(card: Card, skill: dict[str, Any]) -> Card:
    return msgspec.structs.replace(card, skill=skill)


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).isoformat()
