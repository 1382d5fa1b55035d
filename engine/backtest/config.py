"""What a backtest is made of, as a TOML, YAML or JSON file: data, instruments, strategies, simulator, limits, capital.

Every key is checked before anything runs; a key that does not exist is an error that names the nearest one that does.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError

from domain import InputError
from engine.backtest.chain_settings import (
    ChainSettings,
    PerMillion,
    PoolSettings,
    Positive,
    SyntheticPoolData,
    check_chain,
)
from engine.settings import PythonStrategySettings, RiskLimits
from engine.strategies.base import CatalogSettings
from engine.strategies.catalog import CatalogUnion
from engine.strategies.files import read_table
from runtime import SettingsPart

Microseconds = Annotated[int, Field(ge=0, le=60_000_000)]


class CaptureData(SettingsPart):
    """A recording of raw websocket messages, one `receive-time message` a line, gzipped or not."""

    kind: Literal["capture"]
    instrument: str
    path: tuple[Path, ...]
    """Files that continue one another, in order. `$CAPSTAN_DATA` at the beginning is filled in."""
    clock_shift_ms: int = 0
    """Added to the recorder's clock: a recorder that runs behind the venue would see the future."""


class StoreData(SettingsPart):
    """A store of events of one instrument, as `capstan data import` and `capstan backtest synthesize` write it."""

    kind: Literal["store"]
    instrument: str
    path: Path


class ParquetData(SettingsPart):
    """A Parquet file of events, as `capstan data export` writes it, of one instrument."""

    kind: Literal["parquet"]
    instrument: str
    path: Path


class TradableSettings(SettingsPart):
    """A book made of bars, so that they can be traded on: see `engine.data.bar_market`."""

    spread_bps: Annotated[float, Field(ge=0, le=1_000)] = 2.0
    """Between best bid and best ask."""
    impact: Annotated[float, Field(ge=0, le=100)] = 1.0
    """By how many of a bar's volatilities an order as large as a bar's volume moves the price; goes by the root."""
    depth_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """How much of a bar's mean volume the book shows on each side."""
    levels: Annotated[int, Field(ge=1, le=50)] = 6
    memory_bars: Annotated[int, Field(ge=1, le=10_000)] = 24
    """Past bars whose volume and range say how deep and how wild the market is."""
    feed_latency_us: Annotated[int, Field(ge=0, le=1_000_000)] = 1_000
    path: Literal["ohlc", "open_close"] = "ohlc"
    """Where the book is seen: also at low and high, or not between open and close."""


class History(SettingsPart):
    """What files of bars and rates have in common: a part of the file may be taken."""

    instrument: str
    path: Path
    since: datetime | None = None
    """From then on (UTC where no zone is said)."""
    until: datetime | None = None
    """Before then."""


class OhlcvData(History):
    """Bars from Parquet, Feather or CSV: open, high, low, close, volume. Strategies are told `on_bar` at the close;
    with `tradable` there is a book to trade on, without it there is none."""

    kind: Literal["ohlcv"]
    symbol: str = ""
    """Of a table with several markets: the columns are called `symbol:open` and so on."""
    period_minutes: int = Field(default=60, gt=0)
    tradable: TradableSettings | None = None


class FundingData(History):
    """Rates of a perpetual's funding from Parquet, Feather or CSV (`rate`, or a candle table that has it in `open`).
    Due on what is held at the last price that the other data of the instrument told."""

    kind: Literal["funding"]


class SyntheticData(SettingsPart):
    """A seeded market, made on the spot. See `engine.backtest.synthetic`."""

    kind: Literal["synthetic"]
    instrument: str
    seconds: Annotated[float, Field(gt=0, le=86_400)] = 60.0
    seed: int = Field(default=7, ge=0)
    price: Positive = Decimal(30_000)
    size: Positive = Decimal("0.2")
    """Mean size of a level, in base units."""
    feed_latency_us: Microseconds = 1_000


DataSettings = Annotated[
    CaptureData | StoreData | ParquetData | OhlcvData | FundingData | SyntheticData | SyntheticPoolData,
    Field(discriminator="kind"),
]


class InstrumentSettings(SettingsPart):
    """One instrument's contract, grid and fees. Its name in the table is `venue:SYMBOL`."""

    base: str
    quote: str
    tick_size: Positive
    lot_size: Positive
    contract: Literal["spot", "linear", "inverse"] = "spot"
    face: Positive | None = None
    """Quote units a contract is worth, of an inverse contract."""
    min_notional: Annotated[Decimal, Field(ge=0)] = Decimal(0)
    maker_fee_bps: Decimal = Decimal(0)
    """Negative: a rebate."""
    taker_fee_bps: Decimal = Decimal(0)
    base_decimals: int = Field(default=8, ge=0, le=18)
    quote_decimals: int = Field(default=8, ge=0, le=18)


class QuotingSettings(SettingsPart):
    """Two plain quotes at a fixed distance from the touch; the native kernel, or the same in Python."""

    kind: Literal["quoting"]
    id: str = Field(default="quoting", pattern=r"[a-z0-9-]{1,16}")
    instrument: str
    qty: Positive
    behind_ticks: int = Field(default=1, ge=0)
    position_max: Positive
    """Base units held or owed from which only the reducing side is quoted."""
    interval_ms: Annotated[float, Field(ge=0)] = 100.0
    python: bool = False
    """Run the Python class instead of the native kernel: the decisions are the same."""


class PythonSettings(PythonStrategySettings):
    """A strategy of your own, as live and on paper; longer names are allowed."""

    id: str = Field(default="s", pattern=r"[a-z0-9-]{1,16}")


StrategySettings = Annotated[
    QuotingSettings | PythonSettings | CatalogUnion,
    Field(discriminator="kind"),
]


class LatencySettings(SettingsPart):
    """How long things take between us and a venue; the feed's own latency is in the data."""

    order_us: Microseconds = 500
    """From our decision to the venue's matching."""
    answer_us: Microseconds = 500
    """From there back to us."""
    per_message_us: Microseconds = 0
    """What each message of the last millisecond adds."""


class FaultSettings(SettingsPart):
    """What goes wrong on purpose: how many of a million messages, drawn from the seed. See docs/simulation.md."""

    request_lost_ppm: PerMillion = 0
    """Our message never arrives."""
    report_lost_ppm: PerMillion = 0
    """The venue's answer never arrives: the kernel asks."""
    duplicate_ppm: PerMillion = 0
    delayed_ppm: PerMillion = 0
    delay_ms: int = Field(default=0, ge=0)
    disconnect_ppm: PerMillion = 0
    down_ms: int = Field(default=0, ge=0)
    cancel_on_disconnect: bool = False


class SimulatorSettings(SettingsPart):
    """How the venues behave. See docs/simulation.md."""

    latency: LatencySettings = LatencySettings()
    queue: Literal["risk_averse", "power1", "power2", "power3", "power4", "log", "fifo"] = "power1"
    """Who is assumed to cancel when a level shrinks without a trade: where a resting order stands."""
    fee_asset: Literal["settlement", "base", "received"] = "settlement"
    slippage_ticks: int = Field(default=0, ge=0)
    can_amend: bool = False
    """Whether price and size of a resting order can be changed in one message."""
    faults: FaultSettings = FaultSettings()
    seed: int = Field(default=7, ge=0)
    tick_ms: int | None = Field(default=None, ge=0)
    """The kernel's regular tick, by which it asks after what got lost; 0 for none. Without it 250, or, where there are
    only bars, their shortest period."""
    settle_s: int = Field(default=5, ge=0)
    """For how long ticks go on after the data's end."""


class BacktestConfig(SettingsPart):
    """The whole file."""

    name: str = "backtest"
    data: Annotated[tuple[DataSettings, ...], Field(min_length=1)]
    instruments: Annotated[dict[str, InstrumentSettings], Field(min_length=1)]
    strategies: Annotated[tuple[StrategySettings, ...], Field(min_length=1, max_length=63)]
    pools: tuple[PoolSettings, ...] = ()
    chain: ChainSettings = ChainSettings()
    simulator: SimulatorSettings = SimulatorSettings()
    risk: RiskLimits = RiskLimits()
    capital: dict[str, Annotated[Decimal, Field(ge=0)]] = Field(default_factory=dict)
    """What is held at the start, by `venue/ASSET`."""
    account: str = "USDT"
    """The quote asset that results are in."""

    @property
    def tick_ms(self) -> int:
        """The kernel's regular tick."""
        if self.simulator.tick_ms is not None:
            return self.simulator.tick_ms
        periods = [item.period_minutes for item in self.data if isinstance(item, OhlcvData)]
        only_bars = all(isinstance(item, History) for item in self.data)
        return min(periods) * 60_000 if only_bars and periods else 250


def load_config(path: Path) -> BacktestConfig:
    """Read a configuration and check all of it.

    Raises:
        InputError: Unreadable, neither TOML nor YAML nor JSON, an unknown key, or a value that cannot be; in one line.
    """
    return check_config(read_table(path), path)


def check_config(data: Mapping[str, Any], path: Path) -> BacktestConfig:
    """Check all of a configuration that was read; `path` is what messages call it. Errors as `load_config`."""
    try:
        config = BacktestConfig.model_validate(data)
    except ValidationError as exc:
        message, hint = _first_problem(exc)
        raise InputError(f"{path}: {message}", hint=hint) from exc
    _check_names(path, config)
    return config


def _first_problem(exc: ValidationError) -> tuple[str, str]:
    """The first thing that is wrong, and what was probably meant."""
    problems = exc.errors(include_url=False, include_input=False)
    # A misspelt key is also a missing one: the misspelling is what helps.
    problem = next((p for p in problems if p["type"] == "extra_forbidden"), problems[0])
    location = [str(part) for part in problem["loc"]]
    if problem["type"] == "extra_forbidden":
        known = sorted(_keys_at(location[:-1]))
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"
        return f"{_where(location[:-1])}unknown key {location[-1]!r}", hint
    more = len(problems) - 1
    return f"{_where(location)}{problem['msg']}", f"and {more} more" if more else ""


def _where(location: list[str]) -> str:
    return f"{'.'.join(location)}: " if location else ""


def _keys_at(location: list[str]) -> set[str]:
    """The keys of the model at a place in the tree."""
    models: list[type[BaseModel]] = [BacktestConfig]
    for part in location:
        inner = [m for model in models if part in model.model_fields for m in _models(model.model_fields[part])]
        tagged = [m for m in models if part in get_args(getattr(m.model_fields.get("kind"), "annotation", None))]
        models = inner or tagged or models
    return {name for model in models for name in model.model_fields}


def _models(field: Any) -> Iterator[type[BaseModel]]:
    """Every model inside a field's type."""
    waiting = [field.annotation if hasattr(field, "annotation") else field]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield kind
        else:
            waiting += list(get_args(kind))


def _instruments(item: Any) -> tuple[str, ...]:
    if isinstance(item, CatalogSettings):
        return item.instrument_names()
    return () if isinstance(item, PythonSettings) else (item.instrument,)


def _check_names(path: Path, config: BacktestConfig) -> None:
    known: Mapping[str, Any] = config.instruments
    for name, instrument in known.items():
        if name.count(":") != 1 or not all(name.split(":")):
            raise InputError(f"{path}: instruments.{name}: expected venue:SYMBOL")
        if (instrument.contract == "inverse") != (instrument.face is not None):
            raise InputError(f"{path}: instruments.{name}: an inverse contract has a face, others have none")
    named = [(f"data.{at}", item.instrument) for at, item in enumerate(config.data)]
    named += [(f"strategies.{at}", name) for at, item in enumerate(config.strategies) for name in _instruments(item)]
    for place, name in named:
        if name not in known:
            near = difflib.get_close_matches(name, list(known), n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise InputError(f"{path}: {place}: no instrument {name}", hint=hint)
    for at, item in enumerate(config.data):
        if isinstance(item, FundingData) and known[item.instrument].contract == "spot":
            raise InputError(f"{path}: data.{at}: {item.instrument} is spot: nothing is funded")
    ids = [item.id for item in config.strategies]
    if len(set(ids)) != len(ids):
        raise InputError(f"{path}: strategies: two have the same id", hint="give each an id of its own")
    check_chain(path, config)
    places = {f"{name.split(':')[0]}/{asset}" for name, i in known.items() for asset in (i.base, i.quote)}
    if config.pools:
        tokens = [token.symbol for pool in config.pools for token in (pool.token0, pool.token1)]
        places |= {f"{config.chain.name}/{symbol}" for symbol in (config.chain.coin, *tokens)}
    for place in config.capital:
        if place not in places:
            raise InputError(f"{path}: capital.{place}: no such holding", hint=f"there are {', '.join(sorted(places))}")
