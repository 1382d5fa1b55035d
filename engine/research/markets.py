"""A study's markets: loaded once in each process, and the same data wherever the work is done."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from domain import InputError
from engine.data import read_bars, read_funding
from engine.data.paths import data_path
from engine.research.bar_runs import BarRuns, Bars, BarTerms, Curve, Figures, ParameterSet, bars_of
from engine.research.study import CostSettings, MarketSettings, StudySettings


class Evaluator(Protocol):
    """What walk-forward and search are made of; `BarRuns` is one."""

    bars: Bars

    @property
    def periods_per_year(self) -> float: ...
    def evaluate(self, sets: Sequence[ParameterSet], begin: int = 0, end: int | None = None) -> Figures:
        """Figures of each set over a range, started flat; what signals need of the bars before is taken from them."""
        ...

    def curve(self, parameters: ParameterSet, begin: int = 0, end: int | None = None) -> Curve: ...


def market_of(study: StudySettings, market: MarketSettings, folder: Path) -> dict[str, Any]:
    """Describe a market so that another machine finds the same data or says that it has other."""
    paths = [market.path, *([market.funding] if market.funding else [])]
    return {
        "market": market.model_dump(mode="json"),
        "costs": study.costs.model_dump(mode="json"),
        "folder": str(folder),
        "sha256": [_digest(data_path(path, folder)) for path in paths],
    }


def open_market(described: dict[str, Any]) -> Evaluator:
    """Load a market that `market_of` described.

    Raises:
        InputError: Its files are not here, or hold something else.
    """
    market = MarketSettings.model_validate(described["market"])
    costs = CostSettings.model_validate(described["costs"])
    return _open(market, costs, Path(described["folder"]), tuple(described["sha256"]))


@lru_cache(maxsize=32)
def _open(market: MarketSettings, costs: CostSettings, folder: Path, digests: tuple[str, ...]) -> BarRuns:
    path = data_path(market.path, folder)
    _expect(path, digests[0])
    funding = None
    if market.funding is not None:
        _expect(data_path(market.funding, folder), digests[1])
        funding = read_funding(data_path(market.funding, folder))
    table = read_bars(path, symbol=market.symbol)
    bars = bars_of(table, period=timedelta(minutes=market.period_minutes), funding=funding)
    return BarRuns(bars, BarTerms(**costs.model_dump()))


def _expect(path: Path, digest: str) -> None:
    if (found := _digest(path)) != digest:
        raise InputError(f"{path} holds other data here: {found[:12]}…, expected {digest[:12]}…")


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}") from exc
