"""Monte-Carlo: resampled results agree with closed forms, other conditions change what they should."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cli.main import main
from domain import InputError
from engine.backtest.config import load_config
from engine.backtest.data import load_events
from engine.backtest.result import result_of
from engine.backtest.run import run_backtest
from engine.backtest.saved import save_run
from engine.backtest.trips import trips_of
from engine.research.executors import Here
from engine.research.montecarlo import conditions, perturbed, resampled, summary
from engine.research.units import do_unit

EXAMPLES = Path(__file__).parents[3] / "examples" / "backtest"


@pytest.fixture(scope="module")
def config():
    made = load_config(EXAMPLES / "synthetic.toml")
    return made.model_copy(update={"data": (made.data[0].model_copy(update={"seconds": 20.0}),)})


@pytest.fixture(scope="module")
def run(config):
    return run_backtest(config, load_events(config, EXAMPLES), EXAMPLES)


def walking(run, seed=2):
    """The run with a curve that is a random walk without drift: steps of one unit, a thousand of them."""
    steps = np.random.default_rng(seed).normal(size=1_000)
    samples = np.zeros((1_001, run.samples.shape[1]), np.int64)
    samples[:, 0] = np.arange(1_001) * 10**9
    samples[1:, 1] = np.rint((steps - steps.mean()).cumsum() * 1e8)
    return replace(run, samples=samples)


def test_drawn_trades_have_the_moments_of_the_trades(run):
    trips = np.array([trip.net for trip in trips_of(run)])
    found = {one.name: one for one in resampled(run, draws=4_000).distributions}
    assert found["trades"].net.mean() == pytest.approx(trips.sum(), abs=4 * trips.std() * math.sqrt(len(trips) / 4_000))
    assert found["trades"].net.std() == pytest.approx(trips.std() * math.sqrt(len(trips)), rel=0.05)
    assert np.ptp(found["shuffled"].net) == pytest.approx(0.0, abs=1e-9)
    assert found["shuffled"].net[0] == pytest.approx(trips.sum())
    assert np.ptp(found["shuffled"].drawdown) > 0


def test_drawdown_of_a_walk_without_drift_is_that_of_brownian_motion(run):
    # Magdon-Ismail et al. (2004): E[deepest drawdown] = σ √(π T / 2); what a walk of steps misses between its points is
    # about 0.58 σ on each side (Broadie, Glasserman and Kou 1997).
    found = resampled(walking(run), draws=4_000, block=1)
    walked = next(one for one in found.distributions if one.name == "stationary")
    expected = math.sqrt(math.pi * 1_000 / 2) - 2 * 0.5826
    assert walked.drawdown.mean() == pytest.approx(expected, rel=0.04)
    assert walked.net.std() == pytest.approx(math.sqrt(1_000), rel=0.05)


def test_quantiles_are_in_order_and_the_seed_decides(run):
    told, again, other = (summary(resampled(run, draws=200, seed=seed)) for seed in (1, 1, 2))
    assert told == again != other
    for one in told["distributions"]:
        assert list(one["net"].values()) == sorted(one["net"].values())
        assert 0 <= one["loses"] <= 1
    assert [one["kind"] for one in told["distributions"]] == ["trades", "shuffled", "stationary"]


def test_run_that_nobody_looked_at_is_refused(run):
    with pytest.raises(InputError, match="no curve"):
        resampled(replace(run, samples=run.samples[:1]))


def test_conditions_are_around_the_configured_ones(config):
    drawn = conditions(config, 400, latency_spread=0.5, seed=3)
    latency = np.array([one["simulator.latency.order_us"] for one in drawn])
    assert np.median(latency) == pytest.approx(500, rel=0.1)
    assert np.log(latency).std() == pytest.approx(0.5, rel=0.15)
    assert {one["simulator.queue"] for one in drawn} >= {"risk_averse", "power4", "log"}
    assert len({one["simulator.seed"] for one in drawn}) == 400
    assert drawn == conditions(config, 400, latency_spread=0.5, seed=3)


def test_other_conditions_change_the_result_and_no_change_changes_nothing(config, run):
    found = perturbed(config, EXAMPLES, Here(), reruns=4)
    assert len(np.unique(found.net)) == 4
    again = perturbed(config, EXAMPLES, Here(), reruns=4)
    assert (again.net == found.net).all()
    base = {"kind": "backtest", "config": config.model_dump(mode="json"), "folder": str(EXAMPLES)}
    assert do_unit({**base, "changes": {}})["sha256"] == run.digest
    slow = do_unit({**base, "changes": {"simulator.latency.order_us": 100_000}})
    assert slow["sha256"] != run.digest
    assert slow["fills"] < len(run.fills)


def test_command_line_takes_a_file_or_a_saved_run(config, run, tmp_path, capsys):
    save_run(tmp_path / "run", run, result_of(run))
    text = (EXAMPLES / "synthetic.toml").read_text().replace("seconds = 600", "seconds = 20")
    (tmp_path / "run.toml").write_text(text)
    (tmp_path / "momentum.py").write_text((EXAMPLES / "momentum.py").read_text())
    for source, kinds in (("run", 3), ("run.toml", 4)):
        out = tmp_path / f"{kinds}"
        arguments = ["--draws", "100", "--reruns", "2", "--json", "--save", str(out)]
        with pytest.raises(SystemExit) as ended:
            main(["backtest", "montecarlo", str(tmp_path / source), *arguments])
        assert ended.value.code == 0
        assert len(json.loads(capsys.readouterr().out)["distributions"]) == kinds
        assert "<script src" not in (out / "montecarlo.html").read_text()
