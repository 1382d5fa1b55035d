"""The check for look-ahead passes what is honest and catches planted leaks, in the kernel and in arrays."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from cli.main import main
from domain import InputError
from engine.backtest.config import load_config
from engine.backtest.data import load_events
from engine.backtest.run import run_backtest
from engine.backtest.synthetic import synthesize
from engine.data import StoredInstrument, write_store
from engine.records import EVENT, EventFlag
from engine.research.cut_files import run_prefix
from engine.research.lookahead import _headers, check_prefixes, check_signal
from engine.signals import ema, moving_average_sides, rsi

EXAMPLES = Path(__file__).parents[3] / "examples" / "backtest"

PEEK = '''
from pathlib import Path
import numpy as np
from engine.data import open_store
from engine.records import EventKind
from engine.sdk import Strategy


class Peek(Strategy):
    """Trades towards the price that its own file has {ahead} trades later."""

    book_interval_ns = 100_000_000
    calls = 0

    def __init__(self, path):
        super().__init__()
        events = open_store(Path(path)).events
        trades = events[events["kind"] == EventKind.TRADE]
        self.times, self.prices = trades["time_local_ns"].copy(), trades["price"].copy()

    def on_book(self, ctx, book):
        if not book.is_valid:
            return
        at = int(np.searchsorted(self.times, ctx.now_ns)) - 1
        later = self.prices[max(0, min(at + {ahead}, len(self.prices) - 1))]
        side = 0 if later > (book.bid + book.ask) / 2 else 1
        if (1 - 2 * side) * ctx.position(book.instrument) > 5:
            return
        ctx.take(book.instrument, side, book.ask if side == 0 else book.bid, 1)
'''

CONFIG = """
[[data]]
kind = "store"
instrument = "sim:BTCUSDT"
path = "market.store"
[instruments."sim:BTCUSDT"]
base = "BTC"
quote = "USDT"
contract = "linear"
tick_size = "0.1"
lot_size = "0.001"
[[strategies]]
kind = "python"
strategy = "NAME:Peek"
parameters = { path = "market.store" }
[risk]
messages_per_second_max = 1000
executions_max = 60000
position_notional_max = 20000
exposure_notional_max = 50000
"""

counter = itertools.count()


@pytest.fixture
def peek(tmp_path, monkeypatch):
    def made(ahead):
        name = f"peek_{next(counter)}"  # A module is imported once: each has a name of its own.
        (tmp_path / f"{name}.py").write_text(PEEK.format(ahead=ahead))
        events = synthesize(seconds=60, seed=3, price=300_000)
        write_store(tmp_path / "market.store", events, (StoredInstrument(0, "sim", "BTCUSDT", "0.1", "0.001"),))
        (tmp_path / "run.toml").write_text(CONFIG.replace("NAME", name))
        monkeypatch.chdir(tmp_path)
        return tmp_path / "run.toml"

    return made


@pytest.mark.parametrize("example", ["synthetic.toml", "pool.toml"])
def test_shipped_examples_do_not_look_ahead(example):
    config = load_config(EXAMPLES / example)
    data = tuple(
        item.model_copy(update={"seconds": 25.0}) if item.kind == "synthetic" else item for item in config.data
    )
    config = config.model_copy(update={"data": data})
    events = load_events(config, EXAMPLES)
    checked = check_prefixes(lambda part: run_backtest(config, part, EXAMPLES), events, cuts=3)
    assert checked.is_clean, checked
    assert checked.compared > 10


def test_planted_leak_is_caught_where_it_happened(peek):
    path = peek(100)
    config, folder = load_config(path), path.parent
    events = load_events(config, folder)
    checked = check_prefixes(lambda part: run_prefix(config, part, folder), events)
    assert checked.is_repeatable
    assert len(checked.leaks) >= 3
    # It sees a hundred trades ahead: what differs was decided shortly before the cut, never long before.
    for leak in checked.leaks:
        assert 0 <= leak.cut - leak.at < 20 * 10**9
        assert leak.whole != leak.prefix


def test_the_same_strategy_without_the_leak_is_clean(peek):
    path = peek(0)
    config, folder = load_config(path), path.parent
    checked = check_prefixes(lambda part: run_prefix(config, part, folder), load_events(config, folder))
    assert checked.is_clean
    assert checked.compared > 50


def test_chance_is_told_from_look_ahead():
    config = load_config(EXAMPLES / "synthetic.toml")
    data = (config.data[0].model_copy(update={"seconds": 10.0}),)
    config = config.model_copy(update={"data": data})
    events = load_events(config, EXAMPLES)
    sizes = itertools.count(10)

    def decide(part):
        strategy = config.strategies[1].model_copy(update={"parameters": {**PARAMETERS, "size": next(sizes)}})
        return run_backtest(config.model_copy(update={"strategies": (strategy,)}), part, EXAMPLES)

    checked = check_prefixes(decide, events, cuts=2)
    assert not checked.is_repeatable
    assert not checked.is_clean


PARAMETERS = {"instrument": "sim:BTCUSDT", "threshold": 0.5}


def test_command_line_says_it_and_ends_with_one(peek, capsys):
    def check(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["backtest", "check", *map(str, arguments)])
        printed = capsys.readouterr()
        return ended.value.code, printed.out or printed.err

    leaking = peek(100)
    code, printed = check(leaking, "--json")
    assert code == 1
    assert json.loads(printed)["leaks"]
    (leaking.parent / "signals_of_mine.py").write_text(
        "import numpy as np\n"
        "def honest(bars): return bars['close'].rolling_mean(5).fill_null(0).to_numpy()\n"
        "def leaking(bars): return (bars['close'] - bars['close'].mean()).to_numpy()\n"
    )
    market(300).write_parquet(leaking.parent / "bars.parquet")
    assert check("--signal", "signals_of_mine:honest", "--bars", "bars.parquet")[0] == 0
    code, printed = check("--signal", "signals_of_mine:leaking", "--bars", "bars.parquet")
    assert code == 1
    assert "NOT clean" in printed
    assert check()[0] == 1
    assert check("--signal", "signals_of_mine:none", "--bars", "bars.parquet")[0] == 1


def test_file_that_cannot_be_cut_is_refused(peek):
    path = peek(0)
    config = load_config(path)
    capture = config.model_copy(update={"data": (config.data[0].model_copy(update={"kind": "capture"}),)})
    with pytest.raises(InputError, match="cannot be cut"):
        run_prefix(capture, load_events(config, path.parent), path.parent)


def test_payloads_are_no_records():
    events = np.zeros(6, EVENT)
    events["flags"][1] = EventFlag.PAYLOAD
    events["aux"][1, 1] = 100  # Two records of 64 bytes.
    events["flags"][2] = EventFlag.PAYLOAD  # Bytes of the payload, which say nothing.
    assert _headers(events).tolist() == [0, 1, 4, 5]


# --- signals over arrays


def market(n, seed=4):
    close = 100 * np.exp(np.random.default_rng(seed).normal(0, 0.01, n).cumsum())
    open_ = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    times = pl.datetime_range(
        pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 1) + pl.duration(hours=n - 1), "1h", eager=True
    )
    return pl.DataFrame({"time": times, "open": open_, "high": high, "low": low, "close": close, "volume": np.ones(n)})


def closes(bars):
    return bars["close"].to_numpy()


HONEST = {
    "ema": lambda bars: ema(closes(bars), 20),
    "rsi": lambda bars: rsi(closes(bars), 14),
    "crossing": lambda bars: moving_average_sides(closes(bars), 5, 30),
    "two columns": lambda bars: np.column_stack([ema(closes(bars), 5), ema(closes(bars), 9)]),
}
LEAKING = {
    "next close": lambda bars: bars["close"].shift(-1).to_numpy(),
    "centred mean": lambda bars: bars["close"].rolling_mean(5, center=True).to_numpy(),
    "scaled by all": lambda bars: ((bars["close"] - bars["close"].mean()) / bars["close"].std()).to_numpy(),
    "fitted on all": lambda bars: np.polyval(
        np.polyfit(np.arange(bars.height), closes(bars), 1), np.arange(bars.height)
    ),
    "filled from behind": lambda bars: bars["close"].rolling_max(3).shift(-2).fill_null(strategy="backward").to_numpy(),
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_signal_is_clean(name):
    checked = check_signal(HONEST[name], market(400))
    assert checked.is_clean, checked.leaks
    assert checked.compared > 1_000


@pytest.mark.parametrize("name", LEAKING)
def test_leaking_signal_is_caught(name):
    checked = check_signal(LEAKING[name], market(400))
    assert checked.is_repeatable
    assert len(checked.leaks) == checked.cuts


def test_signal_with_chance_in_it_is_told():
    random = np.random.default_rng()
    assert not check_signal(lambda bars: random.normal(size=bars.height), market(100)).is_repeatable


def test_signal_of_another_length_or_too_few_bars_is_refused():
    with pytest.raises(InputError, match="one for each"):
        check_signal(lambda bars: closes(bars)[1:], market(50))
    with pytest.raises(InputError, match="too few"):
        check_signal(closes, market(9))
