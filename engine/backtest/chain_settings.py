"""A backtest's pools and the chain they are on, in its file."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from domain import InputError
from engine.strategies.base import CatalogSettings
from engine.strategies.cross_venue_arbitrage import CrossVenueArbitrageSettings
from runtime import SettingsPart

if TYPE_CHECKING:
    from engine.backtest.config import BacktestConfig, InstrumentSettings

Positive = Annotated[Decimal, Field(gt=0)]
PerMillion = Annotated[int, Field(ge=0, le=1_000_000)]


class SyntheticPoolData(SettingsPart):
    """A seeded pool beside a market of any kind. See `engine.backtest.synthetic_chain`."""

    kind: Literal["synthetic-pool"]
    instrument: str
    """The market whose last trade its price follows."""
    pool: str
    """Of `[[pools]]`."""
    base_reserve: Positive = Decimal(1_000)
    """Whole base tokens in it at the beginning."""
    deviation_bps: Annotated[Decimal, Field(ge=0, lt=10_000)] = Decimal(60)
    """How far its price lies from the market's at most."""
    moves_every_blocks: int = Field(default=1, ge=0)
    """Blocks from one trade of others to the next; 0: they never trade."""
    seed: int = Field(default=7, ge=0)


class TokenSettings(SettingsPart):
    """One of a pool's two tokens."""

    symbol: str = Field(pattern=r"[A-Za-z0-9._\-]{1,32}")
    form: str
    """The asset it is a form of, as an instrument names it: WETH is one of ETH."""
    decimals: int = Field(default=18, ge=0, le=18)


class PoolSettings(SettingsPart):
    """One constant-product pool on the run's chain."""

    id: str = Field(pattern=r"[A-Za-z0-9:._/\-]{1,64}")
    token0: TokenSettings
    token1: TokenSettings
    fee_pips: int = Field(default=3_000, ge=0, lt=1_000_000)
    """In millionths: 3000 is 0.3 %."""


class ChainSettings(SettingsPart):
    """The chain that the pools are on, and how it treats swaps. See docs/simulation.md."""

    name: str = Field(default="chain", pattern=r"[a-z0-9\-]{1,32}")
    """What is held there is `name/TOKEN`."""
    coin: str = "ETH"
    """What gas is paid in; an instrument has to price it."""
    block_s: Annotated[Decimal, Field(ge=Decimal("0.1"), le=3_600)] = Decimal(12)
    base_fee_gwei: Annotated[Decimal, Field(ge=0, le=100_000)] = Decimal(10)
    tip_gwei: Annotated[Decimal, Field(ge=0, le=100_000)] = Decimal(1)
    reach_ms: int = Field(default=200, ge=0, le=600_000)
    """From our decision to where builders see the swap."""
    tell_ms: int = Field(default=200, ge=0, le=600_000)
    """From a block's time to our knowing of it."""
    order: Literal["first", "last"] = "first"
    """Where in its block a swap of ours stands: before or after what others do in it."""
    gas_swap: int = Field(default=120_000, ge=0)
    gas_reverted: int = Field(default=40_000, ge=0)
    missed_ppm: PerMillion = 0
    """How many swaps miss the block they could have been in, once."""
    sandwiched_ppm: PerMillion = 0
    """How many get their minimum and no more."""


def check_chain(path: Path, config: BacktestConfig) -> None:
    """Check what pools, their data and who trades them say of one another.

    Raises:
        InputError: They contradict.
    """
    if len({pool.id for pool in config.pools}) != len(config.pools):
        raise InputError(f"{path}: pools: two have the same id", hint="give each an id of its own")
    if "chain" in config.model_fields_set and not config.pools:
        raise InputError(f"{path}: chain: there are no pools on it", hint="[[pools]] describes them")
    if config.pools and config.chain.name in {name.split(":")[0] for name in config.instruments}:
        raise InputError(f"{path}: chain.name: {config.chain.name} is a venue", hint="give the chain another name")
    _check_data(path, config)
    for at, item in enumerate(config.strategies):
        if isinstance(item, CrossVenueArbitrageSettings):
            _check_arbitrage(f"{path}: strategies.{at}", item, config)
        elif isinstance(item, CatalogSettings) and (pair := item.pair()) is not None:
            for name in item.pool_names():
                _check_pair(f"{path}: strategies.{at}", name, pair, config)


def _check_data(path: Path, config: BacktestConfig) -> None:
    told: list[str] = []
    for at, item in enumerate(config.data):
        if isinstance(item, SyntheticPoolData):
            _check_pair(f"{path}: data.{at}", item.pool, item.instrument, config)
            told.append(item.pool)
    for pool in config.pools:
        if told.count(pool.id) != 1:
            raise InputError(
                f"{path}: pools: {told.count(pool.id)} data tell of {pool.id}, expected one",
                hint='[[data]] kind = "synthetic-pool"',
            )
    if len(told) == len(config.data):
        raise InputError(f"{path}: data: pools follow a market, and there is none")


def _check_arbitrage(place: str, item: CrossVenueArbitrageSettings, config: BacktestConfig) -> None:
    terms = _instrument(place, item.instrument, config)
    if terms.contract != "spot":
        raise InputError(f"{place}: {item.instrument} is no spot market, but {terms.contract}")
    if config.chain.coin != "ETH":
        raise InputError(f"{place}: this strategy counts gas in ETH, not in {config.chain.coin}")
    for name in item.pools:
        _check_pair(place, name, item.instrument, config)


def _check_pair(place: str, name: str, instrument: str, config: BacktestConfig) -> None:
    """A pool is there and trades an instrument's pair."""
    pool = next((pool for pool in config.pools if pool.id == name), None)
    if pool is None:
        known = ", ".join(pool.id for pool in config.pools)
        raise InputError(f"{place}: no pool {name}", hint=f"there are {known}" if known else "[[pools]] describes them")
    terms = _instrument(place, instrument, config)
    if {pool.token0.form, pool.token1.form} != {terms.base, terms.quote}:
        raise InputError(
            f"{place}: pool {name} trades {pool.token0.form} and {pool.token1.form}, "
            f"{instrument} {terms.base} and {terms.quote}"
        )


def _instrument(place: str, name: str, config: BacktestConfig) -> InstrumentSettings:
    if name not in config.instruments:
        raise InputError(f"{place}: no instrument {name}", hint=f"there are {', '.join(config.instruments)}")
    return config.instruments[name]
