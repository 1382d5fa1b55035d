"""`capstan ramp`, on an installation with journals; and the stage that an engine starts at."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from cli.data_dir import DataDir
from cli.engine_process import _begun
from cli.main import main
from cli.ramp_state import StartStage, ramps_of
from cli.settings import load_settings
from custody import open_books
from domain import InputError, VenueUnavailable
from domain import events as e
from engine.journal import Journal
from engine.services.ramp import terms_of
from engine.setup import RunConfig
from runtime import SystemClock
from runtime.database import Database
from tests.engine.strategies.test_reconfigure import run_config

HOUR = 3_600 * 10**9
SETTINGS = """mode = "live"
[[venues]]
id = "v"
exchange = "binance"
instruments = ["ETHUSDC"]
[engine.risk]
exposure_notional_max = 5000
[engine.ramp.expected]
mean = 1
deviation = 100
[[engine.ramp.stages]]
capital = 100
order_notional_max = 50
days_min = 2
result_min = 0
drawdown_max = 5
[[engine.ramp.stages]]
capital = 1000
days_min = 2
drawdown_max = 5
[[engine.ramp.stages]]
capital = 90000
drawdown_max = 5
"""


class Installation:
    """A folder with settings, books and journals, and its commands."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys
        (root / "capstan.toml").write_text(SETTINGS)
        self.database = open_books(Database.at(root / "paper.db"))
        self.ramps = ramps_of(self.database, SystemClock().now_ns, "live")

    def start(self) -> StartStage:
        return StartStage.of(load_settings(self.root / "capstan.toml").engine, self.ramps)

    def trade(self, run: str, hours: int) -> None:
        """Start a run and let its clock tick every hour from now on."""
        stage = self.start()
        config = run_config()
        config = RunConfig(run, "live", config.settings, config.instruments, (), None)
        journal = Journal.open(self.root / f"journal-{run}.bin", config.to_header())
        stage.note(run)
        now = SystemClock().now_ns()
        for n in range(hours):
            journal.append(e.TimerFired(time_ns=now + n * HOUR))
        journal.close()

    def run(self, *arguments: str) -> tuple[object, dict[str, object], str]:
        self.capsys.readouterr()  # What the engine's start logged.
        with pytest.raises(SystemExit) as ended:
            main(["ramp", *arguments, "--data-dir", str(self.root), "--json"])
        told = self.capsys.readouterr()
        return ended.value.code, json.loads(told.out) if told.out else {}, told.err

    def by(self, verb: str, who: str, *more: str) -> tuple[object, dict[str, object], str]:
        return self.run(verb, *more, "--operator", who, "--reason", "because")


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Installation:
    return Installation(tmp_path, capsys)


def test_days_checks_and_two_people_step_up_and_one_steps_down(place: Installation) -> None:
    code, _, err = place.by("propose", "ann")
    assert (code, "has not begun" in err) == (1, True)
    place.trade("a", 24)
    code, _, err = place.by("propose", "ann")
    assert code == 1
    assert "whole days at this stage, 2 are needed" in err
    place.trade("b", 24 * 4)
    code, told, _ = place.run("status")
    assert (code, told["stage"], told["against"], told["realised"]["result"]) == (0, 1, [], 0.0)  # type: ignore[index]
    code, told, _ = place.by("propose", "ann")
    assert (code, told["stage"]) == (0, 2)
    number = str(told["proposal"])
    assert "another person" in place.by("approve", "ann", number)[2]
    # The checks are made again: a journal that went away, a stage that was edited since.
    kept = (place.root / "journal-a.bin").rename(place.root / "away")
    assert "the journal of run a is not there" in place.by("approve", "bob", number)[2]
    kept.rename(place.root / "journal-a.bin")
    (place.root / "capstan.toml").write_text(SETTINGS.replace("capital = 1000", "capital = 2000"))
    assert "not those that were proposed" in place.by("approve", "bob", number)[2]
    (place.root / "capstan.toml").write_text(SETTINGS)
    assert place.start().where.number == 1
    assert place.by("approve", "bob", number)[1]["stage"] == 2
    assert place.start().where.number == 2
    assert "whole days" in place.by("propose", "ann")[2]
    assert "not lower" in place.by("lower", "ann", "--to", "2")[2]
    assert place.by("lower", "ann")[1]["stage"] == 1
    assert place.start().where.number == 1


def test_what_is_less_than_expected_or_twice_there_is_a_no(place: Installation) -> None:
    place.trade("a", 24 * 4)
    (place.root / "capstan.toml").write_text(SETTINGS.replace("deviation = 100", "deviation = 0.1"))
    assert "expected less 2 standard errors" in place.by("propose", "ann")[2]
    (place.root / "capstan.toml").write_text(SETTINGS.replace("mean = 1\ndeviation = 100", 'backtest = "none"'))
    assert "results cannot be read: engine.ramp.expected.backtest" in place.by("propose", "ann")[2]
    (place.root / "capstan.toml").write_text(SETTINGS)
    (place.root / "journal-copy.bin").write_bytes((place.root / "journal-a.bin").read_bytes())
    assert "run a is in journal-a.bin and in journal-copy.bin" in place.by("propose", "ann")[2]


def test_without_a_ramp_the_commands_say_so_and_settings_hold(place: Installation) -> None:
    (place.root / "capstan.toml").write_text(SETTINGS[: SETTINGS.index("[engine.ramp")])
    code, _, err = place.run("status")
    assert (code, err.count("\n")) == (1, 2)
    assert "no capital ramp" in err
    stage = place.start()
    assert stage.shown() is None
    assert stage.settings == load_settings(place.root / "capstan.toml").engine
    stage.note("a")
    assert place.ramps.standing() is None


def test_an_engine_starts_with_the_smaller_limits_and_what_is_unknown_is_the_lowest(place: Installation) -> None:
    place.trade("a", 1)
    lowest = place.start()
    assert lowest.settings.risk.capital == Decimal(100)
    assert lowest.settings.risk.order_notional_max == 50
    for to, whole in ((2, 1_000), (3, 5_000)):
        step = place.ramps.standing()
        assert step is not None
        terms = terms_of(lowest.settings.ramp.stages, to)  # type: ignore[union-attr]
        number = place.ramps.propose(step, terms, operator="ann", reason="r", against=()).id
        place.ramps.approve(number, operator="bob", reason="r", against=())
        stage = place.start()
        assert (stage.where.number, stage.settings.risk.capital) == (to, whole)  # Never above the settings.
        assert stage.settings.risk.order_notional_max == 1_000
    (place.root / "capstan.toml").write_text(SETTINGS.replace("capital = 1000", "capital = 1001"))
    edited = place.start()
    assert (edited.where.number, edited.settings.risk.capital) == (1, 100)
    shown = edited.shown()
    assert shown is not None
    assert "not those that were agreed to" in shown["unknown"]
    edited.note("b")
    assert place.ramps.standing().runs == ()  # type: ignore[union-attr]
    assert "ramp lower --to 1" in place.by("propose", "ann")[2]
    assert "only stage 1" in place.by("lower", "ann", "--to", "2")[2]
    assert place.by("lower", "ann")[1]["stage"] == 1
    assert place.start().where.unknown == ""


def test_steps_that_cannot_be_read_are_the_lowest_stage(place: Installation) -> None:
    class Broken:
        def standing(self) -> None:
            raise VenueUnavailable("the disk is gone")

    stage = StartStage.of(load_settings(place.root / "capstan.toml").engine, Broken())  # type: ignore[arg-type]
    assert (stage.where.number, stage.settings.risk.capital) == (1, 100)
    assert "the disk is gone" in stage.where.unknown


def test_a_run_of_another_stage_is_not_gone_on_with(place: Installation) -> None:
    stage, config = place.start(), run_config()
    data = DataDir(place.root)
    began = RunConfig("a", "live", config.settings, config.instruments, (), None)
    Journal.open(data.journal, began.to_header()).close()
    assert "ramp" not in msgspec.json.decode(msgspec.json.encode(began.to_header()["settings"]))
    part = config.settings.model_copy(update={"risk": stage.settings.risk, "ramp": stage.settings.ramp})
    wanted = RunConfig("a", "live", part, config.instruments, (), None)
    with pytest.raises(InputError, match="other limits than the stage") as refused:
        _begun(data, wanted)
    assert "journal-a.bin" in refused.value.hint
