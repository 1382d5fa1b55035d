"""Features are the same bar by bar and over a history, know nothing of what comes after, and are what they say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from domain import InputError
from engine.models.features import DIGEST, NAMES, WINDOW, FeatureStream, of_history
from tests.support.model_bars import bars


def told(stream, bar):
    prices = (int(bar["aux"][0]), int(bar["aux"][1]), int(bar["sequence"]), int(bar["price"]))
    return stream.update(int(bar["time_exchange_ns"]), prices, int(bar["size"]))


def test_bar_by_bar_is_the_history_to_the_last_bit():
    history = bars(400)
    stream = FeatureStream([])
    streamed = [vector for bar in history if (vector := told(stream, bar)) is not None]
    assert len(streamed) == 400 - WINDOW + 1
    assert np.array_equal(np.stack(streamed), of_history(history))


def test_a_stream_goes_on_from_its_saved_rows():
    history = bars(200)
    stream = FeatureStream([])
    for bar in history[:150]:
        told(stream, bar)
    resumed = FeatureStream(json.loads(json.dumps(stream.rows)))
    for bar in history[150:]:
        assert np.array_equal(told(resumed, bar), told(stream, bar))


def test_what_comes_later_changes_nothing_before():
    history = bars(300)
    changed = history.copy()
    for name in ("price", "size", "sequence"):
        changed[name][250:] = changed[name][250:] * 3
    changed["aux"][250:] *= 3
    before, after = of_history(history), of_history(changed)
    assert np.array_equal(before[: 250 - WINDOW + 1], after[: 250 - WINDOW + 1])
    assert not np.array_equal(before, after)


def test_values_of_a_steady_rise_are_closed_forms():
    history = bars(WINDOW)
    growth = 2**-6  # Exact in binary: prices stay whole for a while, and ratios come out exactly.
    close = np.array([2**40 * (1 + growth) ** at for at in range(WINDOW)])
    history["price"] = history["aux"][:, 1] = np.rint(close)
    history["aux"][:, 0] = history["sequence"] = np.rint(close / (1 + growth))
    history["size"] = 1_000
    found = dict(zip(NAMES, map(float, of_history(history)[0]), strict=True))
    assert found["return_1"] == pytest.approx(growth)
    assert found["return_24"] == pytest.approx((1 + growth) ** 24 - 1, rel=1e-6)
    assert found["volatility_24"] == pytest.approx(growth)
    assert found["volatility_ratio"] == pytest.approx(1.0)
    assert found["trend_24"] == pytest.approx(((1 + growth) ** 24 - 1) / (growth * 24**0.5), rel=1e-6)
    assert found["autocorrelation_24"] == pytest.approx(24 / 25)
    assert found["up_share_24"] == found["place_in_bar"] == found["place_in_24"] == found["place_in_72"] == 1.0
    assert found["range_1"] == pytest.approx(1 - 1 / (1 + growth))
    assert found["volume_1"] == found["volume_24"] == 1.0
    assert found["hour"] == (WINDOW % 24)  # The first bar opened at midnight; the last closes after WINDOW hours.


def test_a_market_that_stands_still_has_neutral_values():
    history = bars(WINDOW)
    history["price"] = history["sequence"] = history["aux"][:, 0] = history["aux"][:, 1] = 100
    history["size"] = 0
    found = dict(zip(NAMES, map(float, of_history(history)[0]), strict=True))
    assert all(np.isfinite(list(found.values())))
    assert (found["place_in_24"], found["volume_1"], found["volatility_ratio"], found["trend_24"]) == (0.5, 1, 1, 0)


def test_a_bar_without_a_price_is_refused_or_left_out():
    history = bars(100)
    history["sequence"][50] = 0
    with pytest.raises(InputError, match="price of zero"):
        of_history(history)
    stream = FeatureStream([])
    told(stream, history[49])
    assert told(stream, history[50]) is None
    assert len(stream.rows) == 1


def test_too_few_bars_are_refused():
    with pytest.raises(InputError, match="73 bars, there are 72"):
        of_history(bars(WINDOW - 1))


def test_definitions_have_the_digest_that_models_were_trained_on():
    # Whoever changes a definition raises VERSION, and this: models of the old one are refused then.
    assert DIGEST == "593acd144cd1d635"
