"""From configuration to kernel: everything a run needs to be built again from its journal's header alone."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

from dex import PoolSpec
from domain import Address, Asset, ChainId, InputError, Instrument, InvariantError, PoolId, VenueId
from engine.market import Markets, PoolMarket
from engine.native import NativeKernel
from engine.portfolio import EconomicAsset, Portfolio
from engine.sdk import Strategy
from engine.sdk.loading import load_strategy
from engine.settings import (
    EngineSettings,
    PythonStrategySettings,
    StrategySettings,
)
from engine.strategies.base import CatalogSettings
from engine.strategies.catalog import make
from engine.strategies.changes import fixed_among
from engine.strategies.cross_venue_arbitrage import CrossVenueArbitrageSettings

HEADER_VERSION = 4
"""Raised whenever a field of the header is added, removed or changes its meaning."""


ENGINE_POOL_KINDS: Final = ("v2", "v3")
"""What the native kernel computes; pools of other kinds are for `dex`'s own commands."""


def pool_label(spec: PoolSpec) -> str:
    """What settings and reports call a pool: `v3:USDC/WETH:500`."""
    return f"{spec.kind}:{spec.token0.symbol}/{spec.token1.symbol}:{spec.fee_pips}"


@dataclass(frozen=True, slots=True)
class RunConfig:
    """What a run was started with. Equal configurations and equal events give equal commands."""

    run: str
    mode: str
    """`live` or `paper`: a journal of the one is never continued as the other."""
    settings: EngineSettings
    instruments: tuple[Instrument, ...]
    pools: tuple[PoolSpec, ...]
    gas_asset: Asset | None

    def to_header(self) -> dict[str, Any]:
        """The journal's first record; JSON types only."""
        return {
            "version": HEADER_VERSION,
            "run": self.run,
            "mode": self.mode,
            # A ramp's stage is in the limits already; its later stages are nothing that the run depends on.
            "settings": self.settings.model_dump(mode="json", exclude={"ramp"}),
            "instruments": [_instrument_to_json(i) for i in self.instruments],
            "pools": [_pool_to_json(p) for p in self.pools],
            "gas_asset": _asset_to_json(self.gas_asset) if self.gas_asset else None,
        }

    @classmethod
    def from_header(cls, header: dict[str, Any]) -> Self:
        """Read what `to_header` wrote.

        Raises:
            InputError: Another version's journal.
        """
        if header.get("version") != HEADER_VERSION:
            found = header.get("version")
            raise InputError(
                f"journal version {found!r} is not supported, expected {HEADER_VERSION}",
                hint="finish a run with the release that began it",
            )
        return cls(
            run=header["run"],
            mode=header["mode"],
            settings=EngineSettings.model_validate(header["settings"]),
            instruments=tuple(_instrument_from_json(i) for i in header["instruments"]),
            pools=tuple(_pool_from_json(p) for p in header["pools"]),
            gas_asset=Asset(**header["gas_asset"]) if header["gas_asset"] else None,
        )


def build_kernel(config: RunConfig, folder: Path | None = None) -> NativeKernel:
    """Make a fresh kernel; `folder` is where strategies of one's own are looked for first.

    Raises:
        InputError: A strategy or an asset names something that is not there.
    """
    instruments = {i.id: i for i in config.instruments}
    pools = {str(spec.id): _market(spec) for spec in config.pools}
    economic = _economic_assets(config)
    portfolio = Portfolio(economic)
    strategies = [_strategy(s, config, portfolio, folder) for s in config.settings.strategies]
    kernel = NativeKernel(
        run=config.run,
        markets=Markets(instruments, pools),
        portfolio=portfolio,
        limits=config.settings.risk,
        strategies=strategies,
        gas_asset=config.gas_asset,
    )
    # As they were written: pools by the names of the settings.
    written = {item.id: item for item in config.settings.strategies if isinstance(item, CatalogSettings)}
    kernel.parameters, kernel.file_parameters = dict(written), dict(written)
    kernel.maker = lambda settings: _strategy(settings, config, portfolio, folder)
    return kernel


def continued(started: RunConfig, wanted: RunConfig) -> RunConfig:
    """The configuration with which a run goes on that began with another.

    Parameters of strategies that may change while they run may also change between two processes, and strategies may
    join: then it goes on as it began, and what the settings say now is told to it as changes. Anything else that
    differs is returned as it is wanted, for the journal to refuse.
    """
    theirs = started.settings.strategies
    ours = {item.id: item for item in wanted.settings.strategies}
    for old in theirs:
        new = ours.pop(old.id, None)
        if new == old:
            continue
        if not (isinstance(new, CatalogSettings) and isinstance(old, CatalogSettings) and type(new) is type(old)):
            return wanted
        if fixed_among(old, new):
            return wanted
    if not all(isinstance(item, CatalogSettings) for item in ours.values()):
        return wanted  # One of one's own is code, which no journal holds.
    settings = wanted.settings.model_copy(update={"strategies": theirs})
    return replace(wanted, settings=settings)


def _market(spec: PoolSpec) -> PoolMarket:
    return PoolMarket(spec.id, spec.token0, spec.token1, spec.fee_pips, spec.replica())


def _economic_assets(config: RunConfig) -> dict[str, EconomicAsset]:
    known: dict[str, Asset] = {}
    for asset in _all_assets(config):
        known[asset.id] = asset
    instruments = {i.id for i in config.instruments}
    economic = {}
    for symbol, part in config.settings.assets.items():
        if part.mark is not None and part.mark not in instruments:
            raise InputError(f"engine.assets.{symbol}.mark: {part.mark} is not a configured instrument")
        members = tuple(asset for asset in known.values() if asset.symbol in part.members)
        economic[symbol] = EconomicAsset(symbol, members, part.mark)
    covered = {asset.id for e in economic.values() for asset in e.members}
    if missing := sorted({a.symbol for a in known.values() if a.id not in covered}):
        raise InputError(
            f"assets {', '.join(missing)} belong to no economic asset",
            hint="name them under [engine.assets], for instance ETH = { members = ['ETH', 'WETH'], mark = '…' }",
        )
    return economic


def _all_assets(config: RunConfig) -> Iterable[Asset]:
    for instrument in config.instruments:
        yield from (instrument.base, instrument.quote)
    for pool in config.pools:
        yield from (pool.token0, pool.token1)
    if config.gas_asset is not None:
        yield config.gas_asset


def _strategy(settings: StrategySettings, config: RunConfig, portfolio: Portfolio, folder: Path | None) -> Strategy:
    if isinstance(settings, PythonStrategySettings):
        return load_strategy(settings.id, settings.strategy, settings.parameters, folder)
    if isinstance(settings, CatalogSettings):
        for name in settings.instrument_names():
            _find(settings.id, name, config)
        if isinstance(settings, CrossVenueArbitrageSettings):
            _check_unwind(settings, config)
        if names := settings.pool_names():
            pair = None if (name_ := settings.pair()) is None else _pair(_find(settings.id, name_, config), portfolio)
            settings = settings.with_pools(_pools(settings.id, names, config, portfolio, pair))
        return make(settings, folder)
    raise InvariantError(f"no strategy is made of {type(settings).__name__}")


def _check_unwind(settings: CrossVenueArbitrageSettings, config: RunConfig) -> None:
    collar = config.settings.risk.price_collar_bps
    if settings.unwind_slippage_bps > collar:
        raise InputError(
            f"strategy {settings.id}: unwind_slippage_bps {settings.unwind_slippage_bps} is beyond the price "
            f"collar of {collar}",
            hint="the gate would refuse every unwind: lower it, or raise engine.risk.price_collar_bps",
        )


def _find(strategy: str, name: str, config: RunConfig) -> Instrument:
    instrument = next((i for i in config.instruments if i.id == name), None)
    if instrument is None:
        known = ", ".join(i.id for i in config.instruments)
        raise InputError(f"strategy {strategy}: {name} is not among {known}")
    return instrument


def _pair(instrument: Instrument, portfolio: Portfolio) -> set[str]:
    return {portfolio.economic_symbol(asset.id) for asset in (instrument.base, instrument.quote)}


def _pools(
    strategy: str, names: tuple[str, ...], config: RunConfig, portfolio: Portfolio, pair: set[str] | None
) -> tuple[str, ...]:
    """Find pools by label, address or id, and check that they trade the strategy's pair, where it has one."""
    found = []
    for name in names:
        spec = next((p for p in config.pools if name in _names(p)), None)
        if spec is None:
            known = ", ".join(pool_label(p) for p in config.pools)
            raise InputError(f"strategy {strategy}: no pool {name!r}; there are {known}")
        if pair is not None and {portfolio.economic_symbol(a.id) for a in (spec.token0, spec.token1)} != pair:
            raise InputError(f"strategy {strategy}: pool {name} trades {spec.token0.symbol}/{spec.token1.symbol}")
        found.append(spec.id)
    return tuple(found)


def _names(spec: PoolSpec) -> set[str]:
    reverse = f"{spec.kind}:{spec.token1.symbol}/{spec.token0.symbol}:{spec.fee_pips}"
    return {spec.id, spec.address, pool_label(spec), reverse}


def _asset_to_json(asset: Asset) -> dict[str, Any]:
    return {"id": asset.id, "symbol": asset.symbol, "decimals": asset.decimals}


def _pool_to_json(spec: PoolSpec) -> dict[str, Any]:
    return {
        "id": spec.id,
        "kind": spec.kind,
        "address": spec.address,
        "chain_id": spec.chain_id,
        "token0": _asset_to_json(spec.token0),
        "token1": _asset_to_json(spec.token1),
        "token0_address": spec.token0_address,
        "token1_address": spec.token1_address,
        "fee_pips": spec.fee_pips,
    }


def _pool_from_json(data: dict[str, Any]) -> PoolSpec:
    return PoolSpec(
        id=PoolId(data["id"]),
        kind=data["kind"],
        address=Address(data["address"]),
        chain_id=ChainId(data["chain_id"]),
        token0=Asset(**data["token0"]),
        token1=Asset(**data["token1"]),
        token0_address=Address(data["token0_address"]),
        token1_address=Address(data["token1_address"]),
        fee_pips=data["fee_pips"],
    )


_DECIMALS = ("tick_size", "lot_size", "min_notional", "maker_fee_bps", "taker_fee_bps")


def _instrument_to_json(instrument: Instrument) -> dict[str, Any]:
    return {
        "venue": instrument.venue,
        "symbol": instrument.symbol,
        "base": _asset_to_json(instrument.base),
        "quote": _asset_to_json(instrument.quote),
        **{name: str(getattr(instrument, name)) for name in _DECIMALS},
    }


def _instrument_from_json(data: dict[str, Any]) -> Instrument:
    return Instrument(
        venue=VenueId(data["venue"]),
        symbol=data["symbol"],
        base=Asset(**data["base"]),
        quote=Asset(**data["quote"]),
        **{name: Decimal(data[name]) for name in _DECIMALS},
    )
