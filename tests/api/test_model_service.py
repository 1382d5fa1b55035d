"""Models over HTTP give what they give in process, bit for bit; what training never saw is refused by name."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import uvicorn

from api.model_service import create_model_app
from cli.models import listening
from domain import InputError, VenueUnavailable
from engine.backtest.data import load_events
from engine.backtest.run import run_backtest
from engine.models.artefact import load_artefact
from engine.models.dataset import samples_of
from engine.models.inference import LocalModel
from engine.models.remote import RemoteModel, ServedModel
from engine.models.settings import LabelSettings
from tests.api.lab import Client
from tests.engine.models.trained import boosting, forest
from tests.engine.strategies.test_model_signal import config, signals
from tests.support.model_bars import bars
from tests.support.shipped_models import FOLDER, shipped

KINDS = ("forest", "boosting", "lstm", "small forest")


@pytest.fixture(scope="module")
def models() -> dict[str, LocalModel]:
    made = {"lstm": load_artefact(shipped("lstm")), "small forest": load_artefact(shipped("forest"))}
    made |= {"forest": forest().artefact, "boosting": boosting().artefact}
    return {kind: LocalModel(artefact) for kind, artefact in made.items()}


@pytest.fixture(scope="module")
def service(models: dict[str, LocalModel]) -> Iterator[str]:
    """A real server on loopback, on a thread."""
    with listening("127.0.0.1", 0) as listener:
        app = create_model_app(models.values(), reach=1e9)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()


@pytest.fixture
def client(models: dict[str, LocalModel]) -> Client:
    return Client(create_model_app(models.values(), reach=1.0))


def inputs(model: LocalModel, count: int = 100):
    return samples_of(bars(count + 100), LabelSettings(horizon_bars=6), steps=model.card.steps).x[:count]


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_over_http_are_those_in_process(models, service, kind):
    model = models[kind]
    remote = RemoteModel(service, model.artefact.digest, 10.0)
    remote.check()
    try:
        for x in inputs(model):
            assert remote.probability(x) == model.probability(x)
    finally:
        remote.close()


@pytest.mark.parametrize("kind", ["forest", "lstm"])
def test_a_strategy_decides_the_same_with_the_service(service, kind):
    alone, asked = config(kind), config(kind, service=service, service_timeout_ms=5_000)
    events = load_events(alone, FOLDER)
    there, here = run_backtest(asked, events, FOLDER), run_backtest(alone, events, FOLDER)
    assert there.digest == here.digest
    assert signals(there) == signals(here)
    assert len(here.fills)


async def test_several_inputs_at_once_are_those_one_by_one(models, client):
    model = models["lstm"]
    x = inputs(model, 8)
    answer = await _predict(client, model, x.tolist())
    assert answer["outputs"] == [model.probability(row) for row in x]
    assert answer["model"] == model.artefact.digest


async def test_what_lies_outside_is_told_and_what_lies_far_outside_refused(models, client):
    model = models["forest"]
    x, bounds = inputs(model, 1)[0], model.card.ranges[0]
    x[0] = bounds.high + 0.5 * (bounds.high - bounds.low)
    assert (await _predict(client, model, [x.tolist()]))["outside"] == [["return_1"]]
    x[0] = bounds.high + 1.5 * (bounds.high - bounds.low)
    status, _, body = await client.post(f"/v1/models/{model.artefact.digest}/predict", {"inputs": [x.tolist()]})
    problem = json.loads(body)
    assert (status, problem["code"], problem["rule"]) == (403, "refused", "drift")
    assert "return_1 is" in problem["detail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b'{"inputs": []}', b'{"inputs": [[1, 2]]}', b'{"inputs": [["a"]]}', b'{"inputs": [[1], [[2]]]}'],
)
async def test_what_is_no_input_is_refused(models, client, body):
    path = f"/v1/models/{models['forest'].artefact.digest}/predict"
    status, kind, _ = await client.ask("POST", path, body, headers={"content-type": "application/json"})
    assert (status, kind) == (422, "application/problem+json")


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e300"])
async def test_what_is_no_number_is_refused(models, client, value):
    row = ", ".join([value, *["0.0"] * 19])
    path = f"/v1/models/{models['forest'].artefact.digest}/predict"
    status, _, body = await client.ask(
        "POST", path, f'{{"inputs": [[{row}]]}}'.encode(), headers={"content-type": "application/json"}
    )
    assert status == 422
    assert b"not finite" in body


async def test_a_model_that_is_not_served_is_named(client):
    status, _, body = await client.post("/v1/models/0123/predict", {"inputs": [[0.0] * 20]})
    assert status == 422
    assert b"no model 0123" in body


async def test_a_listing_has_digests_ranges_and_the_runtime(models, client):
    _, _, body = await client.ask("GET", "/v1/models")
    known = json.loads(body)
    assert {model["digest"] for model in known["models"]} == {model.artefact.digest for model in models.values()}
    assert known["runtime"]
    first = known["models"][0]
    assert list(first["ranges"]) == first["features"]


def test_another_model_or_runtime_is_refused_before_use(service, models, monkeypatch):
    with pytest.raises(InputError, match="does not serve model 00000"):
        RemoteModel(service, "0" * 64, 10.0).check()
    monkeypatch.setattr("engine.models.remote.runtime_version", lambda: "0.1")
    with pytest.raises(InputError, match=r"this process 0\.1"):
        RemoteModel(service, models["forest"].artefact.digest, 10.0).check()


def test_a_silent_service_is_told_and_left_alone_for_a_while(models):
    model = models["forest"]
    x = inputs(model, 1)[0]
    with listening("127.0.0.1", 0) as closed:
        port = closed.getsockname()[1]
    remote = RemoteModel(f"http://127.0.0.1:{port}", model.artefact.digest, 0.05)
    with pytest.raises(VenueUnavailable, match="does not answer"):
        remote.probability(x)
    asked = []
    remote.check = lambda: asked.append(x) or _refuse()
    served = ServedModel(model, remote)
    assert [served.probability(x) for _ in range(50)] == [model.probability(x)] * 50
    assert len(asked) == 3
    assert served.fallbacks == 50


def test_a_service_that_computes_otherwise_is_not_asked(service, models, monkeypatch):
    model = models["lstm"]
    x = inputs(model, 1)[0]
    served = ServedModel(model, RemoteModel(service, model.artefact.digest, 10.0))
    assert served.probability(x) == model.probability(x)
    assert (served.fallbacks, served.refusal) == (0, "")
    monkeypatch.setattr("engine.models.remote.runtime_version", lambda: "0.1")
    other = ServedModel(model, RemoteModel(service, model.artefact.digest, 10.0))
    assert [other.probability(x) for _ in range(3)] == [model.probability(x)] * 3
    assert other.fallbacks == 3
    assert "ONNX Runtime" in other.refusal


def test_an_answer_for_another_model_is_not_believed(models, service):
    model = models["forest"]
    remote = RemoteModel(service, model.artefact.digest, 10.0)
    remote._digest = "f" * 64  # The service answers 422: it has no such model.
    with pytest.raises(VenueUnavailable, match="answered 422"):
        remote.probability(np.zeros(20, np.float32))


def _refuse():
    raise VenueUnavailable("silent")


async def _predict(client, model, rows):
    status, _, body = await client.post(f"/v1/models/{model.artefact.digest}/predict", {"inputs": rows})
    assert status == 200, body
    return json.loads(body)
