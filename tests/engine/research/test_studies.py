"""Folds, spaces, walk-forward and search: nothing is trained on what is tested, luck is told from skill,
the same here and in processes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.main import main
from domain import InputError
from engine.research import units
from engine.research.bar_runs import FIGURES
from engine.research.executors import Here, Processes
from engine.research.folds import blocks, purged, walk_forward
from engine.research.overfitting import overfitting
from engine.research.scores import joined, scores
from engine.research.search import run_search
from engine.research.space import Space, draw, grid, nested
from engine.research.study import StudySettings, load_study
from engine.research.walkforward import run_walk_forward, summary
from tests.engine.research.studies import market, write_study

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"

# --- folds


@given(
    n=st.integers(20, 400),
    train=st.integers(1, 80),
    test=st.integers(1, 40),
    purge=st.integers(0, 10),
    embargo=st.integers(0, 10),
    anchored=st.booleans(),
)
def test_walk_forward_never_trains_on_or_after_its_test(n, train, test, purge, embargo, anchored):
    try:
        folds = walk_forward(n, train=train, test=test, purge=purge, embargo=embargo, anchored=anchored)
    except InputError:
        assert n - train - purge - embargo < max(1, (test + 1) // 2)
        return
    for fold in folds:
        (trained,) = fold.train
        assert trained.end + purge + embargo == fold.test.begin
        assert trained.bars == train if not anchored else trained.begin == 0
        assert 0 <= trained.begin < trained.end
        assert fold.test.end <= n
    for before, after in pairwise(folds):
        assert before.test.end == after.test.begin
    assert n - folds[-1].test.end < max(1, (test + 1) // 2) + test


@given(
    n=st.integers(30, 200), count=st.integers(2, 6), purge=st.integers(0, 9), embargo=st.integers(0, 9), data=st.data()
)
def test_purged_folds_leave_out_exactly_what_reaches_into_a_test(n, count, purge, embargo, data):
    tested = data.draw(st.integers(1, count - 1))
    parts = blocks(n, count)
    folds = purged(n, count, tested, purge=purge, embargo=embargo)
    assert [part.end for part in parts[:-1]] == [part.begin for part in parts[1:]]
    groups = [folds[at : at + tested] for at in range(0, len(folds), tested)]
    for group in groups:
        closed = {bar for fold in group for bar in range(fold.test.begin - purge, fold.test.end + embargo)}
        for fold in group:
            trained = [bar for piece in fold.train for bar in range(*piece)]
            assert set(trained) == set(range(n)) - closed
            assert len(trained) == len(set(trained))


@pytest.mark.parametrize(("train", "test", "purge"), [(0, 5, 0), (5, 0, 0), (5, 5, -1), (99, 5, 0)])
def test_folds_that_cannot_be_are_refused(train, test, purge):
    with pytest.raises(InputError):
        walk_forward(100, train=train, test=test, purge=purge)


# --- overfitting


def test_noise_overfits_about_half_the_time_and_skill_does_not():
    random = np.random.default_rng(3)
    probabilities = []
    for _ in range(20):
        returns = random.normal(0, 1, (8, 100, 30))
        probabilities.append(overfitting(returns.sum(1), (returns**2).sum(1), np.full(8, 100.0)).probability)
    # Best in sample is worst out of sample a little more often than not: the halves share one mean.
    assert 0.4 < np.mean(probabilities) < 0.8
    returns[:, :, 4] += 0.4
    found = overfitting(returns.sum(1), (returns**2).sum(1), np.full(8, 100.0))
    assert found.probability == 0.0
    assert found.splits == 70
    assert found.sharpe_out == pytest.approx(0.4, abs=0.08)


def test_overfitting_by_hand_of_two_blocks():
    # Set 0 wins the first block and loses the second: whichever half chooses, the choice is the worse one outside.
    sums, squares = np.array([[2.0, 1.0], [1.0, 2.0]]), np.full((2, 2), 10.0)
    assert overfitting(sums, squares, np.array([5.0, 5.0])).probability == 1.0
    with pytest.raises(InputError, match="blocks"):
        overfitting(sums[:1], squares[:1], np.array([5.0]))


# --- spaces and scores

SPACE = Space.model_validate(
    {
        "axes": {
            "fast": {"low": 2, "high": 20},
            "slow": {"low": 5, "high": 50, "step": 5},
            "band_bps": {"low": 0.0, "high": 30.0, "step": 10.0},
            "share": {"low": 0.0, "high": 1.0},
            "pull": {"low": 0.01, "high": 1.0, "log": True},
            "sizing.fraction": [0.5, 1.0],
        },
        "where": [["fast", "<", "slow"]],
    }
)


def test_drawn_sets_are_within_the_space_all_different_and_by_the_seed():
    sets = draw(SPACE, 200, 1)
    assert len({tuple(one.values()) for one in sets}) == 200
    for one in sets:
        assert 2 <= one["fast"] <= 20
        assert one["slow"] in range(5, 51, 5)
        assert one["band_bps"] in (0.0, 10.0, 20.0, 30.0)
        assert 0.01 <= one["pull"] <= 1.0
        assert one["fast"] < one["slow"]
    assert 0.4 < np.mean([one["share"] for one in sets]) < 0.6
    assert len({one["share"] for one in sets}) == 200
    assert draw(SPACE, 200, 1) == sets != draw(SPACE, 200, 2)
    assert nested(sets[0])["sizing"]["fraction"] in (0.5, 1.0)


def test_small_space_is_drawn_out_and_a_grid_has_every_point():
    space = Space.model_validate({"axes": {"a": {"low": 1, "high": 3}, "b": [True, False]}})
    assert len(draw(space, 100, 1)) == 6
    assert grid(space, 9) == [{"a": a, "b": b} for a in (1, 2, 3) for b in (True, False)]
    logs = Space.model_validate({"axes": {"c": {"low": 1.0, "high": 100.0, "log": True}}})
    assert [round(one["c"], 9) for one in grid(logs, 3)] == [1.0, 10.0, 100.0]


def test_space_that_nothing_keeps_is_refused():
    space = Space.model_validate(
        {"axes": {"a": {"low": 5, "high": 9}, "b": {"low": 1, "high": 4}}, "where": [["a", "<", "b"]]}
    )
    with pytest.raises(InputError, match="keeps"):
        draw(space, 3, 1)
    with pytest.raises(ValueError, match="no axis c"):
        Space.model_validate({"axes": {"a": [1]}, "where": [["a", "<", "c"]]})


def test_scores_are_those_of_the_returns_and_ranges_join():
    returns = np.random.default_rng(1).normal(0.001, 0.01, 300)

    def figures(part):
        made = np.zeros(1, FIGURES)
        made["bars"], made["sum1"], made["sum2"] = len(part), part.sum(), (part**2).sum()
        made["down2"], made["net"] = (np.minimum(part, 0) ** 2).sum(), part.sum() * 1000
        made["drawdown"] = 20.0
        return made

    whole, parts = figures(returns), joined([figures(returns[:100]), figures(returns[100:])])
    for score, expected in (
        ("sharpe", returns.mean() / returns.std() * 10),
        ("sortino", returns.mean() / np.sqrt((np.minimum(returns, 0) ** 2).mean()) * 10),
        ("net", returns.sum() * 1000),
        ("calmar", returns.mean() * 1000 * 100 / 20),
    ):
        assert scores(whole, score, 100.0)[0] == pytest.approx(expected)
        assert scores(parts, score, 100.0)[0] == pytest.approx(expected)
    assert scores(np.zeros(1, FIGURES), "sharpe", 100.0)[0] == 0.0


# --- walk-forward and search


@pytest.fixture
def study(tmp_path):
    return write_study(tmp_path)


@pytest.fixture(scope="module")
def pool():
    made = Processes(2)
    yield made
    made.close()


def test_walk_forward_finds_a_period_that_lasts_and_the_same_in_processes(study, pool):
    settings = load_study(study)
    found = run_walk_forward(settings, study.parent, Here())
    told = summary(found)
    assert [one["folds"] for one in told["markets"]] == [9, 7]
    for one in told["markets"]:
        assert one["sharpe"] > 2
        assert one["net"] > 0
        assert one["overfitting"] < 0.2
        assert one["score_in_sample"] > 0
    assert run_walk_forward(settings, study.parent, pool).digest == found.digest
    other = settings.model_copy(update={"seed": 8})
    assert run_walk_forward(other, study.parent, Here()).digest != found.digest


def test_what_comes_later_changes_no_fold_that_is_over(study):
    settings = load_study(study)
    before = run_walk_forward(settings, study.parent, Here()).markets[0].answers
    table = pl.read_parquet(study.parent / "a.parquet")
    later = pl.int_range(pl.len()) >= 1_500
    changed = [pl.when(later).then(pl.col(name) * 3).otherwise(pl.col(name)).alias(name) for name in table.columns[1:5]]
    table.with_columns(changed).write_parquet(study.parent / "a.parquet")
    units._EVENTS.clear()
    after = run_walk_forward(settings, study.parent, Here()).markets[0].answers
    # Tests begin at 620 and are 200 bars long: four are over by 1,420.
    assert before[:4] == after[:4]
    assert before[5:] != after[5:]


def test_data_that_is_not_the_same_elsewhere_is_refused(study):
    settings = load_study(study)

    class Elsewhere(Here):
        def run(self, units, progress=lambda done, total: None):
            market(study.parent / "a.parquet", seed=99)
            for unit in units:
                unit["market"]["sha256"] = ["0" * 64]
            return super().run(units)

    with pytest.raises(InputError, match="other data here"):
        run_walk_forward(settings, study.parent, Elsewhere())


@pytest.mark.parametrize("search", ["optuna", "random", "grid"])
def test_search_finds_a_good_set_that_holds_on_bars_it_did_not_see(study, search):
    settings = load_study(study).model_copy(update={"search": search, "trials": 48, "points": 7})
    found = run_search(settings, study.parent, Here())
    assert found.best.score == max(trial.score for trial in found.trials)
    assert found.best.score > 2
    assert found.held_out["score"] > 1
    assert found.held_out["bars"] == 625 + 500
    assert 0 <= found.deflated <= 1
    again = run_search(settings, study.parent, Here())
    assert again.trials == found.trials


def test_search_of_a_backtest_changes_its_keys_and_is_the_same_in_processes(tmp_path, pool):
    text = (EXAMPLES / "backtest" / "synthetic.toml").read_text().replace("seconds = 600", "seconds = 20")
    (tmp_path / "run.toml").write_text(text)
    (tmp_path / "momentum.py").write_text((EXAMPLES / "backtest" / "momentum.py").read_text())
    settings = StudySettings.model_validate(
        {
            "trials": 6,
            "batch": 3,
            "search": "optuna",
            "score": "net",
            "backtest": "run.toml",
            "space": {"strategies.0.behind_ticks": {"low": 0, "high": 4}, "simulator.latency.order_us": [500, 5000]},
        }
    )
    found = run_search(settings, tmp_path, Here())
    assert len(found.trials) == 6
    assert len({trial.net for trial in found.trials}) > 1
    assert found.held_out is None
    assert run_search(settings, tmp_path, pool).trials == found.trials
    sharpe = settings.model_copy(update={"score": "sharpe", "trials": 2})
    with pytest.raises(InputError, match="no trial has a sharpe score"):
        run_search(sharpe, tmp_path, Here())


def test_key_that_leads_nowhere_is_refused():
    config = {"strategies": [{"qty": 1}]}
    assert units.changed(config, {"strategies.0.qty": 2}) == {"strategies": [{"qty": 2}]}
    assert config == {"strategies": [{"qty": 1}]}
    for name in ("strategies.3.qty", "nothing.here", "strategies.x.qty"):
        with pytest.raises(InputError, match="no key"):
            units.changed(config, {name: 1})
    with pytest.raises(InputError, match="no unit of work"):
        units.do_unit({"kind": "nothing"})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("blocks = 6", "blocks = 7", "even"),
        ("trials = 24", "trails = 24", "trails"),
        ('path = "b.parquet"', 'path = "none.parquet"', "cannot read"),
        ('kind = "moving-average"', 'kind = "moving"', "no kind"),
        ("train = 600", "train = 6000", "too few"),
        ('name = "B"', 'name = "A"', "same name"),
    ],
)
def test_study_that_cannot_be_is_one_line(study, capsys, old, new, message):
    text = study.read_text()
    assert old in text
    study.write_text(text.replace(old, new, 1))
    with pytest.raises(SystemExit) as ended:
        main(["backtest", "walkforward", str(study), "--json"])
    assert ended.value.code == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert message in printed.err.splitlines()[0]


def test_command_line_writes_pages(study, capsys, tmp_path):
    for command, page in (("walkforward", "walkforward.html"), ("optimize", "optimize.html")):
        with pytest.raises(SystemExit) as ended:
            main(["backtest", command, str(study), "--json", "--save", str(tmp_path / "out")])
        assert ended.value.code == 0
        assert json.loads(capsys.readouterr().out)["name"] == "t"
        text = (tmp_path / "out" / page).read_text()
        assert "<script src" not in text
    assert {"walkforward.json", "optimize.json"} <= {path.name for path in (tmp_path / "out").iterdir()}
