"""Seeded blocks and pools beside a market, made or recorded: what a chain tells of them, with its payloads.

A block comes at every multiple of its time. In it somebody trades each pool to a price near the market's last trade,
off by a share drawn uniformly, with the product of the reserves kept (their fees are not). As everywhere in the
simulator these are absolute states: what we did to a pool lasts until the next of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any, Final

import numpy as np

from domain import InputError
from engine.data.captures import Events
from engine.records import EVENT, EventFlag, EventKind

_LAST: Final = int(EventFlag.EXCHANGE | EventFlag.LOCAL | EventFlag.LAST)
_NONE: Final = 255
_MILLION: Final = 1_000_000
_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SyntheticPool:
    """One constant-product pool."""

    pool: int
    """Its number in the run. `instrument` alike: the market it follows."""
    instrument: int
    is_base_token0: bool
    tick_quote_per_base: Fraction
    """Raw quote tokens for one raw base token at a price of one tick."""
    base_reserve: int
    """Raw base tokens at the beginning."""
    deviation_ppm: int
    """How far its price lies from the market's at most."""
    moves_every: int = 1
    """Blocks from one trade of others to the next; 0: they never trade, and all that moves it is ours."""
    seed: int = 7


def with_chain(
    market: Events, pools: Sequence[SyntheticPool], *, block_ns: int, tell_ns: int, base_fee_wei: int
) -> Events:
    """Give a market's events and a chain's as one feed in local time. Blocks end before the market does.

    Args:
        market: Of all instruments, in local time; its first and last records stay the first and last.
        pools: In any order.
        block_ns: From block to block.
        tell_ns: From a block's time to our knowing of it and of what happened in it.
        base_fee_wei: Of every block.

    Raises:
        InputError: The market has no length, or an instrument that a pool follows does not trade.
    """
    begin_ns, end_ns = int(market["time_local_ns"][0]), int(market["time_local_ns"][-1])
    if end_ns <= begin_ns:
        raise InputError("blocks need a market that lasts")
    made = [_Pool.of(market, pool) for pool in pools]
    # Nobody knows the time of a chain, or what gas costs, before its first block.
    told = [_record(begin_ns, 0, EventKind.BLOCK, 0, 0, b"", (begin_ns // _SECOND, base_fee_wei))]
    for pool in made:
        told.append(_record(begin_ns, 0, EventKind.POOL, pool.number, 0, pool.state(begin_ns, is_snapshot=True)))
    first = begin_ns // block_ns + 1
    for number, time_ns in enumerate(range(first * block_ns, end_ns - tell_ns, block_ns), 1):
        told.append(_record(time_ns, tell_ns, EventKind.BLOCK, 0, number, b"", (time_ns // _SECOND, base_fee_wei)))
        for pool in made:
            if pool.moves_in(number):
                state = pool.state(time_ns, is_snapshot=False)
                told.append(_record(time_ns, tell_ns, EventKind.POOL, pool.number, number, state))
    # A payload's records go where the record that announces them goes.
    keys = np.repeat(
        np.array([at for at, _ in told], np.int64), np.array([len(data) // EVENT.itemsize for _, data in told], int)
    )
    chain = np.frombuffer(b"".join(data for _, data in told), EVENT)
    order = np.argsort(np.concatenate([market["time_local_ns"], keys]), kind="stable")
    joined: Events = np.concatenate([market, chain])[order]
    return joined


class _Pool:
    def __init__(self, terms: SyntheticPool, times_ns: Any, prices: Any) -> None:
        self.number = terms.pool
        self._terms, self._times_ns, self._prices = terms, times_ns, prices
        self._random = np.random.Generator(np.random.PCG64([terms.seed, terms.pool]))
        first = terms.tick_quote_per_base * int(prices[0])
        self._product = terms.base_reserve**2 * first.numerator // first.denominator

    @classmethod
    def of(cls, market: Events, terms: SyntheticPool) -> _Pool:
        trades = market[(market["kind"] == EventKind.TRADE) & (market["instrument"] == terms.instrument)]
        if not len(trades):
            raise InputError(f"pool {terms.pool} follows instrument {terms.instrument}, whose data has no trades")
        return cls(terms, trades["time_exchange_ns"], trades["price"])

    def moves_in(self, block: int) -> bool:
        return self._terms.moves_every > 0 and block % self._terms.moves_every == 0

    def state(self, time_ns: int, *, is_snapshot: bool) -> bytes:
        """The reserves after others traded at a time, as a payload; see native/engine/src/payload.rs."""
        at = max(0, int(np.searchsorted(self._times_ns, time_ns, side="right")) - 1)
        width = self._terms.deviation_ppm
        deviation = int(self._random.integers(-width, width + 1))
        price = self._terms.tick_quote_per_base * int(self._prices[at]) * Fraction(_MILLION + deviation, _MILLION)
        base = max(1, isqrt(self._product * price.denominator // price.numerator))
        quote = max(1, self._product // base)
        reserves = (base, quote) if self._terms.is_base_token0 else (quote, base)
        return (b"\x01" if is_snapshot else b"\x02") + b"".join(raw.to_bytes(32, "little") for raw in reserves)


def _record(
    time_ns: int,
    latency_ns: int,
    kind: EventKind,
    number: int,
    block: int,
    payload: bytes,
    aux: tuple[int, int] = (0, 0),
) -> tuple[int, bytes]:
    """Local time, and the record with its payload padded to whole records."""
    flags = _LAST
    if payload:
        flags, aux = flags | int(EventFlag.PAYLOAD), (0, len(payload))
    local_ns = time_ns + latency_ns
    row = np.array([(time_ns, local_ns, number, int(kind), _NONE, flags, 0, 0, block, aux)], dtype=EVENT)
    return local_ns, row.tobytes() + payload + bytes(-len(payload) % EVENT.itemsize)
