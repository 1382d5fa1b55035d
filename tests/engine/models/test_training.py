"""Training finds what is there and nothing where nothing is, the same every time, and exports what it fitted."""

from __future__ import annotations

import numpy as np
import pytest

from domain import InputError
from engine.models.artefact import make_artefact
from engine.models.dataset import samples_of
from engine.models.inference import LocalModel
from engine.models.settings import LabelSettings, TrainSettings, load_train_settings, nanoseconds
from engine.models.training import evaluate, train, train_on
from engine.models.trees import export_trees, fit_trees
from tests.engine.models.trained import boosting, forest
from tests.support.market_data import absence, market_data_folder
from tests.support.model_bars import BOOSTING, FOREST, bars, settings, source, table

MODELS = pytest.mark.parametrize("trained", [forest, boosting], ids=["random-forest", "gradient-boosting"])


@MODELS
def test_what_carries_on_is_found_out_of_sample(trained):
    card = trained().artefact.card
    test = card.skill["test"]
    assert test["samples"] == pytest.approx(394, abs=2)
    assert test["auc"] > 0.6
    assert test["skill"] > 0.0
    assert len(card.skill["cv"]) == 2
    assert all(fold["auc"] > 0.55 for fold in card.skill["cv"])


def test_nothing_is_found_in_a_random_walk():
    pytest.importorskip("sklearn", reason="the extra ml is not installed")
    test = train_on(settings(BOOSTING), [bars(carry=0.0)]).artefact.card.skill["test"]
    low, high = test["auc_95"]
    assert low < 0.5 < high
    assert test["skill"] < 0.01


@MODELS
def test_the_export_says_what_the_library_says(trained):
    assert trained().export_error < 1e-5


@pytest.mark.parametrize("settings_of", [FOREST, BOOSTING], ids=["random-forest", "gradient-boosting"])
def test_an_exported_model_agrees_on_inputs_at_its_thresholds(settings_of):
    # Inputs are single, thresholds double precision: rounding a threshold the wrong way would move such a sample over.
    pytest.importorskip("sklearn", reason="the extra ml is not installed")
    samples = samples_of(bars(), LabelSettings(horizon_bars=6))
    samples.x[:, :] = np.round(samples.x, 2)  # Thresholds fall on and between few values.
    fitted = fit_trees(settings_of, samples, 7)
    artefact = make_artefact(forest().artefact.card, export_trees(fitted, samples.x.shape[1], "t"))
    found = LocalModel(artefact).probabilities(samples.x)
    assert np.abs(found - fitted.predict_proba(samples.x)[:, 1]).max() < 1e-5


def test_the_same_data_and_settings_make_the_same_model():
    assert train_on(settings(FOREST), [bars()]).artefact.digest == forest().artefact.digest
    assert train_on(settings(FOREST), [bars(seed=2)]).artefact.digest != forest().artefact.digest


def test_a_card_says_what_the_model_was_made_of():
    card = forest().artefact.card
    known = samples_of(bars(), LabelSettings(horizon_bars=6))
    known = known.take(known.ends_ns < nanoseconds(settings().test_from))
    assert card.ranges[0].low == float(known.x[:, 0].min())
    assert card.base_rate == float(known.y.mean())
    assert card.trained_until < card.skill["test"]["from"]
    assert card.instruments == ("sim:BTCUSDT",)
    assert card.settings["data"][0]["bars"] == 1_500
    assert "path" not in card.settings["data"][0]
    assert sum(forest().importance.values()) == pytest.approx(1.0)


@MODELS
def test_one_row_alone_is_what_it_is_among_many(trained):
    model = LocalModel(trained().artefact)
    x = samples_of(bars(), LabelSettings(horizon_bars=6)).x[:64]
    alone = np.array([model.probability(row) for row in x])
    assert np.abs(alone - model.probabilities(x)).max() < 1e-6
    assert (alone > 0).all()
    assert (alone < 1).all()


def test_inputs_that_are_no_numbers_or_of_another_shape_are_refused():
    model = LocalModel(forest().artefact)
    x = samples_of(bars(), LabelSettings(horizon_bars=6)).x[0]
    with pytest.raises(InputError, match="not finite"):
        model.probability(np.where(np.arange(len(x)) == 3, np.nan, x))
    with pytest.raises(InputError, match="takes"):
        model.probability(x[:-1])


def test_bytes_that_are_no_model_are_refused():
    with pytest.raises(InputError, match="cannot load"):
        LocalModel(make_artefact(forest().artefact.card, b"no model"))


def test_a_file_of_settings_trains_a_model_that_evaluates_to_its_card(tmp_path):
    pytest.importorskip("sklearn", reason="the extra ml is not installed")
    table().write_parquet(tmp_path / "bars.parquet")
    one = "\n".join(f'{key} = "{value}"' for key, value in source("bars.parquet").items())
    (tmp_path / "m.toml").write_text(
        'name = "tried"\ntest_from = 2021-02-15T20:00:00Z\nfolds = 2\nembargo_bars = 24\n'
        f"label = {{ horizon_bars = 6 }}\n[[data]]\n{one}\n"
        '[model]\nkind = "random-forest"\ntrees = 20\ndepth_max = 4\nleaf_min = 30\n'
    )
    read = load_train_settings(tmp_path / "m.toml")
    trained = train(read, tmp_path)
    assert trained.artefact.digest == forest().artefact.digest
    found = evaluate(LocalModel(trained.artefact), read, [bars()])
    assert {key: found[key] for key in trained.artefact.card.skill["test"]} == trained.artefact.card.skill["test"]
    assert 0.0 <= found["outside_share"] < 0.5


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name = 1", "name"),
        ('name = "a"\ntest_from = 2021-02-15T20:00:00\n', "test_from"),
        ('nam = "a"', "nam"),
        ("{", "m.toml"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(tmp_path, text, said):
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(InputError, match=said):
        load_train_settings(tmp_path / "m.toml")


def test_real_bars_train_too():
    folder = market_data_folder()
    if folder is None:
        pytest.skip(absence())
    pytest.importorskip("sklearn", reason="the extra ml is not installed")
    real = {
        "instrument": "binance:ETHUSDT",
        "path": folder / "ohlcv/binance_ETHUSDT_1h_2017-2023.parquet",
        "tick_size": "0.01",
        "lot_size": "0.0001",
        "since": "2022-01-01T00:00:00Z",
        "until": "2022-06-01T00:00:00Z",
    }
    given = {**settings(BOOSTING).model_dump(), "data": [real], "test_from": "2022-04-15T00:00:00Z"}
    asked = TrainSettings.model_validate(given)
    trained = train(asked, folder)
    assert 0.4 < trained.artefact.card.skill["test"]["auc"] < 0.65  # A market is no textbook: far more would be a leak.
    assert trained.export_error < 1e-5
