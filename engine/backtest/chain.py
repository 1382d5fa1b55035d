"""A backtest's chain: its pools and how it treats swaps, from the configuration to what the engine takes."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from domain import Asset
from engine.backtest.chain_settings import PoolSettings, SyntheticPoolData, TokenSettings
from engine.backtest.config import BacktestConfig
from engine.backtest.synthetic_chain import SyntheticPool, with_chain
from engine.data.captures import Events
from engine.sdk.pools import PoolTerms


def pool_terms(config: BacktestConfig) -> tuple[PoolTerms, ...]:
    """The pools of a run, numbered as in the file."""
    return tuple(
        PoolTerms(
            id=pool.id,
            token0=_asset(config, pool.token0),
            token1=_asset(config, pool.token1),
            forms=(pool.token0.form, pool.token1.form),
            fee_pips=pool.fee_pips,
        )
        for pool in config.pools
    )


def gas(config: BacktestConfig) -> tuple[Asset, str] | None:
    """The chain's own coin and what it is a form of; nothing without pools."""
    if not config.pools:
        return None
    symbol = config.chain.coin
    return Asset(f"{config.chain.name}/{symbol}", symbol, 18), symbol


def chain_model(config: BacktestConfig) -> dict[str, Any] | None:
    """How swaps are treated, as `capstan_native` takes it."""
    if not config.pools:
        return None
    chain = config.chain
    return {
        "reach_ns": chain.reach_ms * 1_000_000,
        "tell_ns": chain.tell_ms * 1_000_000,
        "order": chain.order,
        "gas_swap": chain.gas_swap,
        "gas_reverted": chain.gas_reverted,
        "tip_wei": int(chain.tip_gwei * 10**9),
        "missed_ppm": chain.missed_ppm,
        "sandwiched_ppm": chain.sandwiched_ppm,
        "seed": config.simulator.seed,
    }


def add_chain(config: BacktestConfig, market: Events) -> Events:
    """The market's events, with those of the chain when there is one."""
    if not config.pools:
        return market
    return with_chain(
        market,
        list(_synthetic(config)),
        block_ns=int(config.chain.block_s * 10**9),
        tell_ns=config.chain.tell_ms * 1_000_000,
        base_fee_wei=int(config.chain.base_fee_gwei * 10**9),
    )


def _synthetic(config: BacktestConfig) -> Iterator[SyntheticPool]:
    places = [pool.id for pool in config.pools]
    names = list(config.instruments)
    for item in config.data:
        if not isinstance(item, SyntheticPoolData):
            continue
        at = places.index(item.pool)
        pool, terms = config.pools[at], config.instruments[item.instrument]
        is_base_token0 = pool.token0.form == terms.base
        base, quote = _sorted(pool, is_base_token0)
        yield SyntheticPool(
            pool=at,
            instrument=names.index(item.instrument),
            is_base_token0=is_base_token0,
            tick_quote_per_base=Fraction(terms.tick_size) * Fraction(10**quote.decimals, 10**base.decimals),
            base_reserve=int(item.base_reserve.scaleb(base.decimals)),
            deviation_ppm=int(item.deviation_bps * 100),
            moves_every=item.moves_every_blocks,
            seed=item.seed,
        )


def _sorted(pool: PoolSettings, is_base_token0: bool) -> tuple[TokenSettings, TokenSettings]:
    return (pool.token0, pool.token1) if is_base_token0 else (pool.token1, pool.token0)


def _asset(config: BacktestConfig, token: TokenSettings) -> Asset:
    return Asset(f"{config.chain.name}/{token.symbol}", token.symbol, token.decimals)
