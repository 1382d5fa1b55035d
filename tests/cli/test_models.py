"""`capstan models`: train, list, evaluate, serve, as a person types them."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys

import pytest

from cli.main import main
from domain import InputError
from engine.models.artefact import load_artefact
from engine.models.tracking import track, tracked_runs
from tests.engine.models.trained import forest
from tests.support.model_bars import source, table
from tests.support.shipped_models import FOLDER, shipped

CONFIG = """
name = "tried"
test_from = 2021-02-15T20:00:00Z
folds = 2
embargo_bars = 24
label = { horizon_bars = 6 }

[model]
kind = "random-forest"
trees = 20
depth_max = 4
leaf_min = 30

[[data]]
"""


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["models", *map(str, arguments)])
    return ended.value.code


@pytest.fixture
def folder(tmp_path):
    pytest.importorskip("sklearn", reason="the extra ml is not installed")
    table().write_parquet(tmp_path / "bars.parquet")
    lines = [f'{key} = "{value}"' for key, value in source("bars.parquet").items()]
    (tmp_path / "m.toml").write_text(CONFIG + "\n".join(lines) + "\n")
    return tmp_path


def test_a_model_is_trained_tracked_listed_and_evaluated(folder, capsys, monkeypatch):
    pytest.importorskip("mlflow", reason="the extra ml is not installed")
    models = folder / "models"
    assert run("train", folder / "m.toml", "--models", models, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["digest"] == forest().artefact.digest

    (tracked,) = tracked_runs(models)
    assert (tracked.id, tracked.digest, tracked.name) == (told["mlflow_run"], told["digest"], "tried")
    assert tracked.metrics["test.auc"] == told["skill"]["test"]["auc"]
    assert tracked.metrics["importance.return_12"] == told["importance"]["return_12"]
    assert tracked.parameters["model.trees"] == "20"
    kept = models / "mlflow" / tracked.id / "artifacts" / "model" / "model.onnx"
    assert kept.read_bytes() == forest().artefact.onnx

    assert run("list", "--models", models, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["models"]
    assert (row["digest"], row["auc"]) == (told["digest"], told["skill"]["test"]["auc"])

    assert run("evaluate", told["model"], folder / "m.toml", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["auc"] == row["auc"]
    assert found["is_out_of_sample"] is True
    (folder / "m.toml").write_text((folder / "m.toml").read_text().replace("2021-02-15", "2021-01-15"))
    assert run("evaluate", told["model"], folder / "m.toml", "--json") == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["is_out_of_sample"] is False
    assert "no skill out of sample" in printed.err


def test_a_damaged_store_is_told_as_that(folder):
    pytest.importorskip("mlflow", reason="the extra ml is not installed")
    (folder / "mlflow.db").write_bytes(b"no database, but long enough to be read as one" * 50)
    with pytest.raises(InputError, match="MLflow store"):
        track(folder, forest())
    assert list(tracked_runs(folder / "none")) == []


def test_people_see_a_table_and_where_the_model_is(folder, capsys):
    assert run("train", folder / "m.toml", "--models", folder / "models", "--no-track") == 0
    printed = capsys.readouterr()
    assert "fold 2" in printed.out
    assert "test" in printed.out
    assert forest().artefact.digest[:16] in printed.err
    assert not (folder / "models" / "mlflow.db").exists()
    assert run("list", "--models", folder / "models") == 0
    assert "random-forest" in capsys.readouterr().out


def test_a_damaged_model_is_listed_as_that_and_not_served(folder, capsys):
    assert run("train", folder / "m.toml", "--models", folder / "models", "--no-track") == 0
    (card,) = (folder / "models").glob("*/*/card.json")
    card.write_bytes(card.read_bytes() + b"\n")
    capsys.readouterr()
    assert run("list", "--models", folder / "models", "--json") == 0
    assert "changed after it was trained" in json.loads(capsys.readouterr().out)["models"][0]["problem"]
    assert run("serve", "--models", folder / "models") == 1
    assert "no models to serve" in capsys.readouterr().err


def test_nothing_but_this_machine_is_served(capsys):
    assert run("serve", "--models", FOLDER, "--host", "0.0.0.0") == 1
    assert "no http address of this machine" in capsys.readouterr().err


def test_a_service_of_its_own_answers_until_it_is_told_to_end():
    command = [sys.executable, "-m", "cli", "models", "serve", "--models", str(FOLDER), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert load_artefact(shipped("lstm")).digest in ready["models"]
            connection = http.client.HTTPConnection("127.0.0.1", ready["port"], timeout=60)
            connection.request("GET", "/v1/health")
            assert json.loads(connection.getresponse().read()) == {"models": "ok"}
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) in (0, -signal.SIGTERM)
        finally:
            process.kill()
