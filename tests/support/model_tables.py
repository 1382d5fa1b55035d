"""The tables of docs/models.md and docs/strategies/model-signal.md, from the recorded bars.

    python -m tests.support.model_tables skill     train every kind on every market, print the skill (minutes)
    python -m tests.support.model_tables trade     backtest the models that `skill` left in var/models

The LSTM needs the extra `torch`; without it its rows are missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from domain import InputError
from engine.backtest.config import BacktestConfig
from engine.backtest.data import load_events
from engine.backtest.images import write_images
from engine.backtest.result import result_of
from engine.backtest.run import run_backtest
from engine.models.artefact import list_artefacts, save_artefact
from engine.models.settings import (
    GradientBoostingSettings,
    LstmSettings,
    ModelSettings,
    RandomForestSettings,
    TrainSettings,
)
from engine.models.training import evaluate, read_source, train_on
from tests.support.market_data import absence, market_data_folder

MODELS = Path("var/models")
SHEETS = Path("var/model-sheets")
KINDS: tuple[ModelSettings, ...] = (RandomForestSettings(), GradientBoostingSettings(), LstmSettings())
SHORT = {"random-forest": "rf", "gradient-boosting": "gb", "lstm": "lstm"}
MARKETS = {
    "btc": ("BTCUSDT", "binance_BTCUSDT_1h_2017-2023.parquet", "0.01", "0.00001", "2022-01-01T00:00:00Z"),
    "eth": ("ETHUSDT", "binance_ETHUSDT_1h_2017-2023.parquet", "0.01", "0.0001", "2022-01-01T00:00:00Z"),
    "sol": ("SOLUSDT", "binance_SOLUSDT_1h_2021-2023.csv.gz", "0.01", "0.01", "2023-01-01T00:00:00Z"),
}


def settings_of(market: str, kind: ModelSettings, folder: Path) -> TrainSettings:
    """What a row of the table is trained with: the defaults."""
    symbol, file, tick, lot, test_from = MARKETS[market]
    source = {"instrument": f"binance:{symbol}", "path": folder / "ohlcv" / file, "tick_size": tick, "lot_size": lot}
    return TrainSettings.model_validate(
        {"name": f"{market}-{SHORT[kind.kind]}", "data": [source], "model": kind, "test_from": test_from}
    )


def skill(folder: Path) -> None:
    """Train, save, print a row each."""
    print("| market | model | AUC of the folds | AUC, out of sample (95 %) | skill | IC (95 %) | inputs outside |")
    print("|---|---|---|---|---|---|---|")
    for market in MARKETS:
        for kind in KINDS:
            settings = settings_of(market, kind, folder)
            histories = [read_source(source, settings, folder) for source in settings.data]
            try:
                trained = train_on(settings, histories)
            except InputError as exc:
                print(f"| {market} | {kind.kind} | {exc} | | | | |")
                continue
            save_artefact(trained.artefact, MODELS)
            from engine.models.inference import LocalModel

            found = evaluate(LocalModel(trained.artefact), settings, histories)
            folds = [fold["auc"] for fold in trained.artefact.card.skill["cv"]]
            print(
                f"| {MARKETS[market][0]} | {kind.kind} | {np.mean(folds):.3f} ({min(folds):.3f} to {max(folds):.3f}) "
                f"| {found['auc']:.3f} ({_pair(found['auc_95'])}) | {found['skill']:+.2%} "
                f"| {found['ic']:+.3f} ({_pair(found['ic_95'], '+')}) | {found['outside_share']:.1%} |",
                flush=True,
            )


def trade(folder: Path) -> None:
    """Backtest each model on what it never saw, at 5 bps a side, spread and impact; print a row, draw a sheet each."""
    print("| model | gate | days | trades | net | fees | spread, impact | before costs | deepest fall | stopped by |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for model, market, gate in _runs():
        config = config_of(model, market, gate, folder)
        finished = run_backtest(config, load_events(config, folder), folder)
        result = result_of(finished)
        stopped = [signal for signal in finished.signals if signal.name == "stopped"]
        costs, days = result["costs"], (finished.ended_ns - finished.began_ns) / 86_400e9
        slipped = costs["spread"] + costs["slippage"]
        write_images(SHEETS / f"{model.parent.name}-{gate}", finished)
        why = ""
        if stopped:
            day = datetime.fromtimestamp(stopped[0].time_ns // 10**9, UTC).date()
            why = f"{day}: {stopped[0].inputs['reason']}"
        print(
            f"| {model.parent.name} | {gate} | {days:.0f} | {result['orders']['filled']} | {costs['net']:+,.0f} "
            f"| {costs['fees']:,.0f} | {slipped:,.0f} | {costs['net'] + costs['fees'] + slipped:+,.0f} "
            f"| {result['drawdown_max']:,.0f} | {why} |",
            flush=True,
        )


def config_of(model: Path, market: str, gate: str, folder: Path) -> BacktestConfig:
    """A position of about 10,000 USDT, long or short, as a linear contract."""
    symbol, file, tick, lot, test_from = MARKETS[market]
    name = f"binance:{symbol}"
    drift = {} if gate == "default" else {"reach": 1e9, "share_max": 1.0}
    data = {
        "kind": "ohlcv",
        "instrument": name,
        "path": folder / "ohlcv" / file,
        "since": test_from,
        "tradable": {"path": "open_close"},
    }
    strategy = {
        "kind": "model-signal",
        "instrument": name,
        "model": model.resolve(),
        "qty": {"btc": "0.22", "eth": "2.7", "sol": "1000"}[market],
        "short": True,
        "drift": drift,
    }
    return BacktestConfig.model_validate(
        {
            "name": f"{model.parent.name}, {gate} gate",
            "data": [data],
            "instruments": {
                name: {
                    "base": symbol[:3],
                    "quote": "USDT",
                    "contract": "linear",
                    "tick_size": tick,
                    "lot_size": lot,
                    "taker_fee_bps": "5",
                }
            },
            "strategies": [strategy],
            "risk": {
                "order_notional_max": 10**6,
                "position_notional_max": 10**6,
                "exposure_notional_max": 10**7,
                "drawdown_max": 10**6,
                "price_collar_bps": 500,
                "executions_max": 60_000,
            },
            "capital": {"binance/USDT": "100000"},
        }
    )


def _runs() -> Iterator[tuple[Path, str, str]]:
    for model, artefact in list_artefacts(MODELS):
        if isinstance(artefact, InputError):
            raise artefact
        for gate in ("default", "open"):
            yield model, artefact.card.name.partition("-")[0], gate


def _pair(bounds: Any, sign: str = "") -> str:
    return f"{bounds[0]:{sign}.3f} to {bounds[1]:{sign}.3f}"


def main() -> None:
    """Print the table that is asked for."""
    folder = market_data_folder()
    if folder is None:
        sys.exit(absence())
    {"skill": skill, "trade": trade}[sys.argv[1]](folder)


if __name__ == "__main__":
    main()
