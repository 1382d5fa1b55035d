"""A backtest's journal and its feed give the run again."""

from __future__ import annotations

import hashlib

import capstan_native as native
import numpy as np
import pytest

from engine.backtest.synthetic import synthesize
from engine.sdk.run import engine_config
from tests.engine.sdk.runs import BTC

QUOTING = ("quoting", {"instrument": 0, "size": 20, "behind": 0, "position_max": 100, "interval_ns": 20_000_000})
VENUE = {"venue": 0, "latency": {"place": (1_000_000, 1_000_000)}}


@pytest.fixture(scope="module")
def feed():
    return synthesize(seconds=60)


@pytest.fixture
def run(feed, tmp_path):
    """A finished run: its configuration, its journal and what it decided."""
    config = engine_config([BTC], [("s", QUOTING)], account="USDT")
    journal = (tmp_path / "run.journal", hashlib.sha256(feed.tobytes()).digest())
    backtest = native.Backtest(config, (QUOTING,), [VENUE], capital=[(0, 10**9)], tick_ns=10**9, journal=journal)
    assert not backtest.run(feed.view(np.uint8), len(feed) + 1)
    return config, journal, backtest.digest()


def test_a_replay_decides_the_same(run, feed):
    config, journal, digest = run
    assert native.replay_backtest(config, (QUOTING,), feed.view(np.uint8), journal) == digest
    assert journal[0].stat().st_size < len(feed) * 64 / 2
    nothing = native.Backtest(config, (QUOTING,), [VENUE])
    assert digest != nothing.digest()


def test_another_strategy_decides_otherwise(run, feed):
    config, journal, digest = run
    other = (QUOTING[0], QUOTING[1] | {"behind": 1})
    try:
        decided = native.replay_backtest(config, (other,), feed.view(np.uint8), journal)
    except RuntimeError:
        return  # A fill of an order it never placed.
    assert decided != digest


def test_a_journal_of_another_feed_or_a_shorter_one_is_refused(run, feed):
    config, (path, identity), _ = run
    with pytest.raises(ValueError, match="another configuration"):
        native.replay_backtest(config, (QUOTING,), feed.view(np.uint8), (path, bytes(32)))
    with pytest.raises(ValueError, match="the feed has"):
        native.replay_backtest(config, (QUOTING,), feed[:500].view(np.uint8), (path, identity))


def test_a_damaged_journal_is_refused_and_a_second_run_does_not_write_into_it(run, feed):
    config, (path, identity), _ = run
    with pytest.raises(OSError, match="holds a run already"):
        native.Backtest(config, (QUOTING,), [VENUE], journal=(path, identity))
    damaged = bytearray(path.read_bytes())
    damaged[200] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="damaged"):
        native.replay_backtest(config, (QUOTING,), feed.view(np.uint8), (path, identity))
