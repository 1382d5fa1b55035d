"""A configuration is checked whole; what is wrong is named in one line, with what was probably meant."""

from __future__ import annotations

import pytest

from domain import InputError
from engine.backtest.config import load_config

GOOD = """
[[data]]
kind = "synthetic"
instrument = "sim:BTCUSDT"
[instruments."sim:BTCUSDT"]
base = "BTC"
quote = "USDT"
tick_size = "0.1"
lot_size = "0.001"
[[strategies]]
kind = "quoting"
instrument = "sim:BTCUSDT"
qty = "0.01"
position_max = "0.2"
[capital]
"sim/USDT" = "100000"
"""


def loaded(tmp_path, text, name="run.toml"):
    path = tmp_path / name
    path.write_text(text)
    return load_config(path)


def test_good_configuration_has_safe_defaults(tmp_path):
    config = loaded(tmp_path, GOOD)
    assert config.simulator.latency.order_us == 500
    assert config.strategies[0].interval_ms == 100
    assert not config.strategies[0].python


def test_yaml_says_the_same(tmp_path):
    text = """
data: [{kind: synthetic, instrument: "sim:BTCUSDT"}]
instruments: {"sim:BTCUSDT": {base: BTC, quote: USDT, tick_size: "0.1", lot_size: "0.001"}}
strategies: [{kind: quoting, instrument: "sim:BTCUSDT", qty: "0.01", position_max: "0.2"}]
capital: {sim/USDT: "100000"}
"""
    assert loaded(tmp_path, text, "run.yaml") == loaded(tmp_path, GOOD)


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        ("qty =", "quantity =", "strategies.0.quoting: unknown key 'quantity'", "known here"),
        ("tick_size", "ticksize", "unknown key 'ticksize'|tick_size: Field required", ""),
        ('"sim:BTCUSDT"\nqty', '"sim:BTCUSD"\nqty', "strategies.0: no instrument sim:BTCUSD", "sim:BTCUSDT"),
        ("[capital]", "[captial]", "unknown key 'captial'", "did you mean capital"),
        ('"sim/USDT"', '"sim/USD"', "capital.sim/USD: no such holding", "sim/USDT"),
        ('kind = "synthetic"', 'kind = "sintetic"', "data.0", ""),
        ('"0.001"', '"-1"', "lot_size: Input should be greater than 0", ""),
        ("[[data]]", "[[data", "run.toml", ""),
        ('lot_size = "0.001"', 'lot_size = "0.001"\nface = "100"', "inverse contract has a face", ""),
    ],
)
def test_mistake_is_one_line_with_a_hint(tmp_path, old, new, message, hint):
    assert old in GOOD
    with pytest.raises(InputError, match=message) as caught:
        loaded(tmp_path, GOOD.replace(old, new, 1))
    assert "\n" not in str(caught.value)
    assert hint in caught.value.hint


def test_file_that_is_not_there_is_said_plainly(tmp_path):
    with pytest.raises(InputError, match="No such file"):
        load_config(tmp_path / "none.toml")
