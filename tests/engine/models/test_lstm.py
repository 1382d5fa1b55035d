"""An LSTM: one that was exported before runs everywhere; training one needs PyTorch."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from domain import InputError
from engine.models.artefact import load_artefact
from engine.models.dataset import samples_of
from engine.models.inference import LocalModel
from engine.models.settings import LabelSettings, LstmSettings
from engine.models.skill import auc
from engine.models.training import train_on
from tests.support.model_bars import bars, settings
from tests.support.shipped_models import shipped

SMALL = LstmSettings(steps=6, hidden=4, epochs=4, batch=64, learning_rate=0.02)


def test_an_exported_one_runs_and_reads_the_whole_sequence():
    model = LocalModel(load_artefact(shipped("lstm")))
    x = samples_of(bars(300), LabelSettings(horizon_bars=6), steps=6).x
    assert np.abs(np.array([model.probability(row) for row in x[:32]]) - model.probabilities(x[:32])).max() < 1e-6
    older = x[0].copy()
    older[0] = x[50][0]
    assert model.probability(older) != model.probability(x[0])
    with pytest.raises(InputError, match=r"takes \(6, 20\)"):
        model.probability(x[0][1:])


def test_an_exported_one_still_knows_what_it_learned():
    card = load_artefact(shipped("lstm")).card
    model = LocalModel(load_artefact(shipped("lstm")))
    unseen = samples_of(bars(900, seed=9), LabelSettings(horizon_bars=6), steps=card.steps)
    assert auc(unseen.y, model.probabilities(unseen.x)) > 0.6


def test_without_pytorch_training_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(InputError) as caught:
        train_on(settings(SMALL), [bars()])
    assert "--extra torch" in caught.value.hint


def test_training_finds_what_carries_on_and_exports_what_it_fitted():
    pytest.importorskip("torch", reason="PyTorch (the extra torch, 4.5 GB) is not installed")
    trained = train_on(settings(SMALL), [bars()])
    test = trained.artefact.card.skill["test"]
    assert trained.export_error < 1e-5
    assert test["auc"] > 0.55
    again = train_on(settings(SMALL), [bars()])
    assert again.artefact.digest == trained.artefact.digest
