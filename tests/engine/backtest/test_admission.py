"""What anybody may have run: no code, no file but recordings, nothing that is huge; and texts that are traps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from domain import InputError, Refused
from engine.backtest.admission import KINDS, REFUSED_KINDS, TEXT_MAX, Bounds, admit, read_config
from engine.strategies.catalog import CATALOG

BOUNDS = Bounds(market_s_max=600, bytes_max=10_000)
MARKET = """
[instruments."sim:BTCUSDT"]
base = "BTC"
quote = "USDT"
contract = "linear"
tick_size = "0.1"
lot_size = "0.001"
"""
DATA = '[[data]]\nkind = "synthetic"\ninstrument = "sim:BTCUSDT"\nseconds = 60\n'
QUOTING = (
    '[[strategies]]\nkind = "quoting"\ninstrument = "sim:BTCUSDT"\nqty = "0.01"\nposition_max = "0.1"\n'
    '[capital]\n"sim/USDT" = "100000"\n'
)
CONFIG = f'name = "small"\naccount = "USDT"\n{DATA}{MARKET}{QUOTING}'


def refusal(text, folder=Path("/nowhere"), bounds=BOUNDS):
    with pytest.raises(Refused) as refused:
        admit(read_config(text, "toml"), folder, bounds)
    return refused.value.rule


def test_every_kind_of_the_catalog_was_looked_at_and_those_for_everybody_name_no_file():
    assert {*CATALOG, "quoting", "python"} == KINDS | set(REFUSED_KINDS)
    assert not KINDS & set(REFUSED_KINDS)
    for kind, entry in CATALOG.items():
        names_files = '"format": "path"' in str(entry.settings.model_json_schema()).replace("'", '"')
        assert names_files == (kind == "model-signal"), kind


def test_code_models_and_requests_are_refused_also_within_a_desk():
    def strategy(text):
        return f'account = "USDT"\n{DATA}{MARKET}[[strategies]]\n{text}'

    model = 'instrument = "sim:BTCUSDT"\nmodel = "/etc/passwd"\nqty = "1"\n'
    for text in (
        'kind = "python"\nstrategy = "os:system"\n',
        f'kind = "model-signal"\n{model}',
        'kind = "client-orders"\ninstruments = ["sim:BTCUSDT"]\n',
        'kind = "netted"\n[[strategies.members]]\ncapital = "1000"\n[strategies.members.strategy]\n'
        f'kind = "model-signal"\n{model}',
    ):
        assert refusal(strategy(text)) == "backtest-strategy"
    admit(read_config(CONFIG, "toml"), Path("/nowhere"), BOUNDS)


def test_recordings_are_read_from_one_folder_and_from_nowhere_else(tmp_path):
    folder = tmp_path / "market-data"
    folder.mkdir()
    (tmp_path / "secret.store").write_text("key")
    (folder / "link.store").symlink_to(tmp_path / "secret.store")
    (folder / "loop.store").symlink_to(folder / "loop.store")
    (folder / "good.store").write_bytes(b"x" * 100)
    (folder / "large.store").write_bytes(b"x" * 10_001)
    (folder / "set").mkdir()
    (folder / "set" / "out.parquet").symlink_to(tmp_path / "secret.store")

    def reading(path):
        data = f'[[data]]\nkind = "store"\ninstrument = "sim:BTCUSDT"\npath = "{path}"\n'
        return f'account = "USDT"\n{data}{MARKET}{QUOTING}'

    admit(read_config(reading("good.store"), "toml"), folder, BOUNDS)
    for path in (
        "../secret.store", str(tmp_path / "secret.store"), "link.store", "loop.store", "set", "none.store",
        "$CAPSTAN_DATA/x", "good.store/../../secret.store", "\\u0000", "a" * 300,
    ):  # fmt: skip
        assert refusal(reading(path), folder) == "backtest-data", path
    assert refusal(reading("large.store"), folder) == "backtest-size"
    assert refusal(CONFIG.replace("seconds = 60", "seconds = 601")) == "backtest-size"


@pytest.mark.parametrize(
    ("form", "text", "said"),
    [
        ("toml", "a." * 20_000 + "a = 1", "a line of more than"),
        ("toml", "a = " + "[" * 1_900, "nested too deeply"),
        ("json", "[" * 40_000, "nested too deeply"),
        ("yaml", "{a: " * 100, "nested too deeply"),
        ("yaml", "{" * 40_000, "nesting depth"),
        ("yaml", "a: &a [1]\nb: [*a, *a]", "aliases are not read here"),
        ("yaml", "a: b: c", "mapping values are not allowed"),
        ("json", "3", "expected a table of keys"),
        ("toml", "x" * (TEXT_MAX + 1), "at most 48000 characters"),
        ("ini", "x", "one of toml, yaml, json"),
        ("toml", CONFIG.replace("seconds", "secons"), "unknown key 'secons'"),
    ],
)
def test_a_text_that_cannot_be_is_one_line_and_takes_no_time(form, text, said):
    with pytest.raises(InputError, match=said) as refused:
        read_config(text, form)
    assert "\n" not in str(refused.value)


@pytest.fixture(autouse=True)
def _usual_depth():
    """As deep as Python starts with: Hypothesis allows more and leaves it so."""
    sys.setrecursionlimit(1_000)
