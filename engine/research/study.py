"""What a study is made of, as a TOML or YAML file: markets or a backtest, the space of parameters, how it is judged."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from domain import InputError
from engine.research.space import Axis, Space
from runtime import SettingsPart

Score = Literal["sharpe", "sortino", "calmar", "net"]
Bars = Annotated[int, Field(ge=0)]


class MarketSettings(SettingsPart):
    """Bars of one market, and its funding if it is a perpetual."""

    name: str
    path: Path
    """`$CAPSTAN_DATA` at the beginning is filled in, by each machine for itself."""
    symbol: str = ""
    period_minutes: int = Field(default=60, gt=0)
    funding: Path | None = None


class CostSettings(SettingsPart):
    """What trading costs on bars; see docs/research.md."""

    equity: Annotated[float, Field(gt=0)] = 100_000.0
    fee_bps: Annotated[float, Field(ge=0)] = 5.0
    spread_bps: Annotated[float, Field(ge=0)] = 2.0
    impact: Annotated[float, Field(ge=0)] = 1.0
    depth_share: Annotated[float, Field(gt=0, le=1)] = 0.1


class WalkForwardSettings(SettingsPart):
    """Lengths in bars."""

    train: int = Field(default=8_766, ge=10)
    test: int = Field(default=2_190, ge=2)
    purge: Bars = 24
    embargo: Bars = 24
    anchored: bool = False
    blocks: int = Field(default=8, ge=2, le=16)
    """Of the data, for the probability of overfitting; an even number."""

    @model_validator(mode="after")
    def _even(self) -> WalkForwardSettings:
        if self.blocks % 2:
            raise ValueError("blocks must be even")
        return self


class StudySettings(SettingsPart):
    """The whole file."""

    name: str = "study"
    seed: int = Field(default=7, ge=0)
    trials: int = Field(default=100, ge=1, le=1_000_000)
    """Sets that are tried: drawn, or searched."""
    search: Literal["random", "grid", "optuna"] = "random"
    batch: int = Field(default=8, ge=1, le=1_000)
    """Trials that Optuna is asked for at once: part of the result, so that it does not depend on how many processes
    share the work."""
    holdout: Annotated[float, Field(ge=0, lt=1)] = 0.25
    """Share of each market's bars, its last, that a search never sees and its best set is then run over."""
    points: int = Field(default=5, ge=2)
    """On each range without a step, of a grid."""
    score: Score = "sharpe"
    space: dict[str, Axis] = Field(min_length=1)
    where: tuple[tuple[str, Literal["<", "<="], str], ...] = ()
    fixed: dict[str, Any] = Field(default_factory=dict)
    """Parameters that every set has."""
    markets: tuple[MarketSettings, ...] = ()
    backtest: Path | None = None
    """Instead of markets: a backtest's file, whose keys the space names (`strategies.0.behind_ticks`)."""
    costs: CostSettings = CostSettings()
    walkforward: WalkForwardSettings = WalkForwardSettings()

    @model_validator(mode="after")
    def _one_kind(self) -> StudySettings:
        if bool(self.markets) == (self.backtest is not None):
            raise ValueError("give markets, or a backtest")
        if len({market.name for market in self.markets}) < len(self.markets):
            raise ValueError("two markets have the same name")
        Space(axes=self.space, where=self.where)
        return self

    @property
    def axes(self) -> Space:
        return Space(axes=self.space, where=self.where)


def load_study(path: Path) -> StudySettings:
    """Read a study and check all of it.

    Raises:
        InputError: Unreadable, neither TOML nor YAML, an unknown key, or a value that cannot be; in one line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.safe_load(text) if path.suffix in (".yaml", ".yml") else tomllib.loads(text)
        return StudySettings.model_validate(data)
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}", hint="examples/research/ has some") from exc
    except (tomllib.TOMLDecodeError, yaml.YAMLError) as exc:
        raise InputError(f"{path}: {' '.join(str(exc).split())}") from exc
    except ValidationError as exc:
        first = exc.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {place or 'study'}: {first['msg']}", hint="docs/research.md lists the keys") from exc
