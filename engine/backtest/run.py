"""One backtest: from its configuration to its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import capstan_native as native
import numpy as np

from domain import InputError, InvariantError
from engine.backtest.chain import chain_model, gas, pool_terms
from engine.backtest.config import (
    BacktestConfig,
    InstrumentSettings,
    OhlcvData,
    PythonSettings,
    QuotingSettings,
    SimulatorSettings,
    StrategySettings,
)
from engine.backtest.looks import looks_at, traded_lots, traded_values
from engine.data.captures import Events
from engine.records import COMMAND, EVENT
from engine.sdk import Signal, Strategy, builds_bars
from engine.sdk.loading import load_strategy
from engine.sdk.run import Market, Native, engine_config
from engine.strategies.avellaneda_stoikov import AvellanedaStoikovSettings
from engine.strategies.base import CatalogSettings
from engine.strategies.catalog import make
from engine.strategies.quoting import Quoting
from engine.strategies.rounding import lots_down

SAMPLES: Final = 2_000
"""How often the state is looked at, for the curve and the figures made of it."""
_STEP: Final = 250_000


class Settlement(NamedTuple):
    """What became of a swap. Amounts are raw units."""

    client_id: int
    is_mined: bool
    amount_in: int
    amount_out: int
    gas_wei: int
    block_number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """What a run left behind."""

    config: BacktestConfig
    markets: tuple[Market, ...]
    events: int
    began_ns: int
    ended_ns: int
    fills: Events
    commands: Any
    samples: Any
    """One row a look: time, result, each strategy's result, then lots and twice the mid of each instrument."""
    digest: str
    settlements: tuple[Settlement, ...]
    """What became of swaps, in the order in which it was told."""
    pools: tuple[tuple[int, ...], ...]
    """The reserves of each pool at the end, our swaps included."""
    balances: Mapping[str, int]
    """What was held at the end, in raw units by `venue/ASSET`."""
    signals: tuple[Signal, ...]
    """What strategies said they saw, oldest first, up to a million."""
    wall_s: float
    cpu_s: float
    looks: Any
    """The market around each fill: `engine.backtest.looks.LOOK`."""
    market_values: tuple[float, ...]
    """What each market traded, in ticks times lots; `market_lots` alike in lots."""
    market_lots: tuple[float, ...]
    strategies: tuple[Strategy | Native, ...] = ()
    """What decided, as it stood at the end."""


def run_backtest(
    config: BacktestConfig,
    events: Events,
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Finished:
    """Run to the end.

    Args:
        config: What to run.
        events: Of `engine.backtest.data.load_events`.
        folder: Where strategies of one's own are looked for first.
        progress: Told how many events are taken, and of how many.

    Raises:
        InputError: A strategy or an instrument that cannot be.
    """
    markets = tuple(market(name, terms) for name, terms in config.instruments.items())
    pools = pool_terms(config)
    strategies = tuple(make_strategy(item, config, folder) for item in config.strategies)
    _check_periods(config, strategies)
    settings = engine_config(
        markets,
        [(item.id, made) for item, made in zip(config.strategies, strategies, strict=True)],
        account=config.account,
        seed=config.simulator.seed,
        can_amend=config.simulator.can_amend,
        risk=config.risk,
        pools=pools,
        gas=gas(config),
    )
    assets = {asset["id"]: at for at, asset in enumerate(settings["assets"])}
    capital = [
        (assets[place], int(amount.scaleb(settings["assets"][assets[place]]["decimals"])))
        for place, amount in config.capital.items()
    ]
    try:
        run = native.Backtest(
            settings,
            strategies,
            [venue(config.simulator, at) for at in range(len(settings["venues"]))],
            capital=capital,
            tick_ns=config.tick_ms * 1_000_000,
            settle_ns=config.simulator.settle_s * 1_000_000_000,
            pools=pools,
            chain=chain_model(config),
        )
    except ValueError as exc:
        raise InputError(f"the backtest cannot be set up: {exc}") from exc
    buffer, total = events.view(np.uint8), len(events)
    every = max(1, total // SAMPLES)
    wall, cpu = time.perf_counter(), time.process_time()
    while run.run(buffer, every, _STEP):
        progress(run.position(), total)
    wall_s, cpu_s = time.perf_counter() - wall, time.process_time() - cpu
    progress(total, total)
    made = run.records()
    fills, commands = _told_once(np.frombuffer(made[0], EVENT)), np.frombuffer(made[1], COMMAND)
    ids = [item.id for item in config.strategies]
    return Finished(
        config=config,
        markets=markets,
        events=total,
        began_ns=int(events["time_local_ns"][0]),
        ended_ns=int(events["time_local_ns"][-1]),
        fills=fills,
        commands=commands,
        samples=np.array(run.samples(), dtype=np.int64),
        digest=run.digest(),
        settlements=tuple(Settlement(*row) for row in run.settlements()),
        pools=tuple(pool.state if (pool := run.pool(at)) is not None else () for at in range(len(pools))),
        balances=dict(zip(assets, run.balances(), strict=True)),
        signals=tuple(
            Signal(time_ns=at, strategy=ids[place], name=name, value=value, inputs=inputs or {})
            for at, place, name, value, inputs in run.signals()[0]
        ),
        wall_s=wall_s,
        cpu_s=cpu_s,
        looks=looks_at(events, fills, commands),
        market_values=traded_values(events, len(markets)),
        market_lots=traded_lots(events, len(markets)),
        strategies=strategies,
    )


def _check_periods(config: BacktestConfig, strategies: Sequence[Strategy | Native]) -> None:
    """Refuse bars from outside of another time than a strategy wants: it would take them for what they are not."""
    for item in config.data:
        if not isinstance(item, OhlcvData):
            continue
        period_ns = item.period_minutes * 60 * 10**9
        for made in strategies:
            if not isinstance(made, Strategy) or not builds_bars(made):
                continue
            if item.instrument in (made.instruments or (item.instrument,)) and made.bar_interval_ns != period_ns:
                raise InputError(
                    f"strategy {made.id} wants bars of {made.bar_interval_ns / 6e10:g} minutes, the data of "
                    f"{item.instrument} has bars of {item.period_minutes}",
                )


def market(name: str, terms: InstrumentSettings) -> Market:
    return Market(
        name=name,
        base=terms.base,
        quote=terms.quote,
        tick_size=terms.tick_size,
        lot_size=terms.lot_size,
        contract=terms.contract,
        face=terms.face,
        notional_min=terms.min_notional,
        maker_fee_bps=terms.maker_fee_bps,
        taker_fee_bps=terms.taker_fee_bps,
        base_decimals=terms.base_decimals,
        quote_decimals=terms.quote_decimals,
    )


def venue(simulator: SimulatorSettings, index: int) -> dict[str, Any]:
    """One simulated venue as `capstan_native` takes it."""
    latency, faults = simulator.latency, simulator.faults
    return {
        "venue": index,
        "queue": simulator.queue,
        "latency": {
            "place": (latency.order_us * 1_000, latency.answer_us * 1_000),
            "per_message_ns": latency.per_message_us * 1_000,
        },
        "fees": {"asset": simulator.fee_asset},
        "impact": {"slippage_ticks": simulator.slippage_ticks},
        "faults": {
            "seed": simulator.seed + index,
            "request_lost_ppm": faults.request_lost_ppm,
            "report_lost_ppm": faults.report_lost_ppm,
            "duplicate_ppm": faults.duplicate_ppm,
            "delayed_ppm": faults.delayed_ppm,
            "delay_ns": faults.delay_ms * 1_000_000,
            "disconnect_ppm": faults.disconnect_ppm,
            "down_ns": faults.down_ms * 1_000_000,
            "cancel_on_disconnect": faults.cancel_on_disconnect,
        },
    }


def make_strategy(item: StrategySettings, config: BacktestConfig, folder: Path | None) -> Strategy | Native:
    """Make a strategy: a native kernel, its Python twin, or a class of one's own, looked for in `folder` first.

    Raises:
        InputError: No such class, or not made by these parameters.
    """
    match item:
        case QuotingSettings():
            lot = float(config.instruments[item.instrument].lot_size)
            size, most = lots_down(float(item.qty), lot), lots_down(float(item.position_max), lot)
            if size == 0 or most == 0:
                raise InputError(f"strategy {item.id}: qty and position_max must be at least one lot of {lot:g}")
            if item.python:
                return Quoting(
                    item.id,
                    size=size,
                    position_max=most,
                    behind=item.behind_ticks,
                    interval_ms=item.interval_ms,
                    instrument=item.instrument,
                )
            return "quoting", {
                "instrument": list(config.instruments).index(item.instrument),
                "size": size,
                "behind": item.behind_ticks,
                "position_max": most,
                "interval_ns": round(item.interval_ms * 1_000_000),
            }
        case AvellanedaStoikovSettings() if not item.python and not item.hedge_pools:
            grid = config.instruments[item.instrument]
            at = list(config.instruments).index(item.instrument)
            return "avellaneda-stoikov", {"instrument": at, **item.native(float(grid.tick_size), float(grid.lot_size))}
        case PythonSettings():
            return load_strategy(item.id, item.strategy, item.parameters, folder)
        case CatalogSettings():
            return make(item, folder)
    raise InvariantError(f"no strategy is made of {type(item).__name__}")


def _told_once(fills: Events) -> Events:
    """Without the trades that a venue told again: they count once."""
    keys = np.stack([fills["aux"][:, 0], fills["sequence"].astype(np.int64)], axis=1)
    _, first = np.unique(keys, axis=0, return_index=True)
    return fills[np.sort(first)]
