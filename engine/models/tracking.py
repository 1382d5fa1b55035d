"""Training runs in a local MLflow store: a SQLite file and a folder of artefacts beside the models.

Needs the extra `ml` (mlflow-skinny). `mlflow ui --backend-store-uri sqlite:///…/mlflow.db` of any environment that has
the whole package shows the same runs. Nothing leaves this machine: telemetry is switched off before MLflow is imported.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domain import InputError
from engine.models.artefact import Artefact
from engine.models.training import Trained

EXPERIMENT = "capstan"


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """One training run as the store holds it."""

    id: str
    name: str
    digest: str
    metrics: dict[str, float]
    parameters: dict[str, str]


def track(models: Path, trained: Trained) -> str:
    """Write a training run down: its settings, its skill, the model and its card.

    Returns:
        The run's id.

    Raises:
        InputError: MLflow is not installed, or the store cannot be written.
    """
    client, artefact = _client(models), trained.artefact
    with _told_as_input_error(models):
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = (
            client.create_experiment(EXPERIMENT, artifact_location=(models / "mlflow").resolve().as_uri())
            if found is None
            else found.experiment_id
        )
        run = client.create_run(experiment, run_name=artefact.reference)
        identity = run.info.run_id
        for key, value in _flat(artefact.card.settings):
            client.log_param(identity, key, value)
        for key, number in _metrics(trained):
            client.log_metric(identity, key, number)
        client.set_tag(identity, "capstan.digest", artefact.digest)
        client.set_tag(identity, "capstan.model", artefact.card.name)
        with tempfile.TemporaryDirectory() as folder:
            for name, content in _files(artefact):
                Path(folder, name).write_bytes(content)
            client.log_artifacts(identity, folder, "model")
        client.set_terminated(identity)
        return str(identity)


def tracked_runs(models: Path) -> Iterator[TrackedRun]:
    """Give every run in the store, newest first.

    Raises:
        InputError: MLflow is not installed, or the store cannot be read.
    """
    if not (models / "mlflow.db").exists():
        return
    client = _client(models)
    with _told_as_input_error(models):
        experiment = client.get_experiment_by_name(EXPERIMENT)
        runs = [] if experiment is None else client.search_runs([experiment.experiment_id])
    for run in runs:
        tags = run.data.tags
        yield TrackedRun(
            id=run.info.run_id,
            name=tags.get("capstan.model", ""),
            digest=tags.get("capstan.digest", ""),
            metrics=dict(run.data.metrics),
            parameters=dict(run.data.params),
        )


class _told_as_input_error:  # noqa: N801 - reads as a phrase
    """Foreign exceptions of the store, in our words."""

    def __init__(self, models: Path) -> None:
        self._models = models

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, exc: BaseException | None, _trace: Any) -> None:
        if isinstance(exc, Exception):
            raise InputError(f"the MLflow store in {self._models} failed: {exc}") from exc


def _client(models: Path) -> Any:
    os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
    try:
        from mlflow import MlflowClient
    except ImportError as exc:
        raise InputError("tracking needs MLflow", hint="uv sync --extra ml, or train with --no-track") from exc
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    models.mkdir(parents=True, exist_ok=True)
    with _told_as_input_error(models):
        return MlflowClient(tracking_uri=f"sqlite:///{(models / 'mlflow.db').resolve()}")


def _metrics(trained: Trained) -> Iterator[tuple[str, float]]:
    skill = trained.artefact.card.skill
    yield "export_error", trained.export_error
    for key, value in skill["test"].items():
        if isinstance(value, float):
            yield f"test.{key}", value
    for key in ("auc", "skill", "ic"):
        values = [fold[key] for fold in skill["cv"]]
        yield f"cv.{key}", sum(values) / len(values)
    for name, share in trained.importance.items():
        yield f"importance.{name}", share


def _files(artefact: Artefact) -> tuple[tuple[str, bytes], ...]:
    import msgspec

    return ("model.onnx", artefact.onnx), ("card.json", msgspec.json.encode(artefact.card))


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as `a.b.0.c`; MLflow keeps up to 6,000 characters of each."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{prefix}{key}.")
    elif isinstance(value, (list, tuple)):
        for at, inner in enumerate(value):
            yield from _flat(inner, f"{prefix}{at}.")
    else:
        yield prefix[:-1], str(value)
