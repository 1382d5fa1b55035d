"""A signal: features of a bar, a probability in process and over HTTP, by kind; one float32 input at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import uvicorn

from api.model_service import create_model_app
from bench.rows import Row, figure_row
from cli.models import listening
from engine.models.artefact import load_artefact
from engine.models.dataset import samples_of
from engine.models.features import FeatureStream, of_history
from engine.models.inference import LocalModel
from engine.models.remote import RemoteModel
from engine.models.settings import GradientBoostingSettings, LabelSettings, RandomForestSettings
from engine.models.training import train_on
from tests.support.model_bars import bars, settings
from tests.support.shipped_models import shipped

BARS = 4_000


def run() -> list[Row]:
    """Measure; the forest and the boosting have the defaults' sizes, the LSTM is the one in the tests."""
    history = bars(BARS)
    models = {
        kind.kind: LocalModel(train_on(settings(kind), [history]).artefact)
        for kind in (RandomForestSettings(), GradientBoostingSettings())
    }
    models["lstm, 6 bars, 4 units"] = LocalModel(load_artefact(shipped("lstm")))
    stream, took = FeatureStream([]), []
    for bar in history[:1_000]:
        prices = (int(bar["aux"][0]), int(bar["aux"][1]), int(bar["sequence"]), int(bar["price"]))
        began = time.perf_counter_ns()
        stream.update(int(bar["time_exchange_ns"]), prices, int(bar["size"]))
        took.append(time.perf_counter_ns() - began)
    began = time.perf_counter()
    of_history(history)
    rate = BARS / (time.perf_counter() - began)
    rows = [
        _row("features of a bar, running", float(np.median(took[100:])) / 1e3),
        _row("features of a bar, over a history", 1e6 / rate),
    ]
    with _served(list(models.values())) as url:
        for kind, model in models.items():
            x = samples_of(history, LabelSettings(horizon_bars=6), steps=model.card.steps).x[:300]
            remote = RemoteModel(url, model.artefact.digest, 10.0)
            rows.append(_row(f"{kind}, in process", _median_us(model.probability, x)))
            rows.append(_row(f"{kind}, over HTTP", _median_us(remote.probability, x)))
            remote.close()
    return rows


def _row(name: str, took_us: float) -> Row:
    return figure_row(topic="engine", name=f"models: {name}", ours=took_us, unit="us", peer_name="")


def _median_us(ask: Callable[[np.ndarray], float], x: np.ndarray) -> float:
    took = []
    for one in x:
        began = time.perf_counter_ns()
        ask(one)
        took.append(time.perf_counter_ns() - began)
    return float(np.median(took)) / 1e3


@contextmanager
def _served(models: list[LocalModel]) -> Iterator[str]:
    with listening("127.0.0.1", 0) as listener:
        app = create_model_app(models, reach=1e9)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()
