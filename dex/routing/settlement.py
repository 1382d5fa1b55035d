"""From a flow in floats to paths in integers: what is promised.

Paths are carried out one after the other, so a pool that two of them share is quoted for the second on the state the
first leaves. A flow with whole pools' totals is drawn out path by path, each as wide as its narrowest pool still is;
what a path takes from a shared pool is followed along the pool's curve, so the totals come out as they were found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dex.replicas.base import PoolReplica
from dex.routing.candidates import Arc
from dex.routing.market import Edge
from dex.routing.paths import Found
from domain.errors import InputError, Refused

_NOTHING: Final = 1e-9
"""Share of the whole below which a path is not worth being one: it would move the result by its square."""


@dataclass(frozen=True, slots=True)
class Share:
    """A path with what enters it and what comes out, in floats."""

    edges: tuple[Edge, ...]
    amount_in: float
    amount_out: float


@dataclass(slots=True)
class _Channel:
    """An arc while paths are drawn out of its total."""

    arc: Arc
    left: float
    whole: float
    used: float = 0.0

    def out_of(self, amount_in: float) -> float:
        curve = self.arc.curve
        return curve.out_at(self.used + amount_in) - curve.out_at(self.used)

    def in_for(self, amount_out: float) -> float:
        curve = self.arc.curve
        return curve.in_for(min(curve.out_at(self.used) + amount_out, curve.out_at_end)) - self.used


def shares_of(arcs: Sequence[Arc], inputs: Sequence[float], source: str, target: str) -> list[Share]:
    """Draw a flow out into paths, widest first. What rounding leaves over belongs to no path."""
    channels = [_Channel(arc, amount, amount) for arc, amount in zip(arcs, inputs, strict=True) if amount > 0]
    found: list[Share] = []
    total = sum(channel.left for channel in channels if channel.arc.tail == source)
    while channels:
        path = _widest(channels, source, target)
        if path is None:
            break
        amounts = _fill(path)
        if amounts[0] > _NOTHING * total:
            edges = tuple(channel.arc.edge for channel in path if channel.arc.edge is not None)
            found.append(Share(edges, amounts[0], amounts[-1]))
        for channel, amount in zip(path, amounts, strict=False):
            channel.used += amount
            channel.left -= amount
        narrowest = min(path, key=lambda channel: channel.left / channel.whole)
        narrowest.left = 0.0
        channels = [channel for channel in channels if channel.left > _NOTHING * channel.whole]
    return found


def _widest(channels: Sequence[_Channel], source: str, target: str) -> list[_Channel] | None:
    """Follow the channels with most left; step back from a dead end.

    No pool twice: what its second hop gives would depend on the first one's.
    """

    def onward(node: str, passed: tuple[str, ...]) -> list[_Channel] | None:
        ways = sorted((c for c in channels if c.arc.tail == node), key=lambda c: -c.left)
        for channel in ways:
            pool = channel.arc.edge.pool.id if channel.arc.edge is not None else ""
            if pool and pool in passed:
                continue
            if channel.arc.head == target:
                return [channel]
            if (rest := onward(channel.arc.head, (*passed, pool))) is not None:
                return [channel, *rest]
        return None

    return onward(source, ())


def _fill(path: Sequence[_Channel]) -> list[float]:
    """Give the amounts along a path that fill its narrowest channel."""
    amounts = [path[0].left]
    for index, channel in enumerate(path):
        if amounts[-1] > channel.left:  # Too much arrives: go back and let so much less in.
            amounts[-1] = channel.left
            for earlier in range(index - 1, -1, -1):
                amounts[earlier] = max(path[earlier].in_for(amounts[earlier + 1]), 0.0)
        amounts.append(channel.out_of(amounts[-1]))
    return amounts


def settle_in(shares: Sequence[Share], total: int) -> list[Found] | None:
    """Settle an input exactly; None when a pool refuses its part."""
    parts = _whole_parts([(share.edges, share.amount_in) for share in shares], total)
    states: dict[str, PoolReplica] = {}
    again = _shared(shares)
    found = []
    try:
        for edges, amount in parts:
            amounts = [amount]
            for edge in edges:
                state = states.get(edge.pool.id)
                given = edge.quote_in(amounts[-1], state)
                if edge.pool.id in again:
                    states[edge.pool.id] = edge.after_in(amounts[-1], state)
                amounts.append(given)
            found.append(Found(edges, tuple(amounts)))
    except (Refused, InputError):  # Not so deep, or a part so small that nothing comes of it.
        return None
    return found or None


def settle_out(shares: Sequence[Share], total: int) -> list[Found] | None:
    """Settle an output exactly; None when a pool refuses its part.

    Routers give V2's pairs the quoted input and take all that comes of it, which may be a little more than was asked;
    the later paths see the pools as that leaves them.
    """
    parts = _whole_parts([(share.edges, share.amount_out) for share in shares], total)
    states: dict[str, PoolReplica] = {}
    again = _shared(shares)
    found = []
    try:
        for edges, amount in parts:
            amounts = [amount]
            for edge in reversed(edges):
                amounts.append(edge.quote_out(amounts[-1], states.get(edge.pool.id)))
            amounts.reverse()
            passing = amounts[0]
            for edge, wanted in zip(edges, amounts[1:], strict=True):
                state = states.get(edge.pool.id)
                if edge.pool.kind == "v2":
                    if edge.pool.id in again:
                        states[edge.pool.id] = edge.after_in(passing, state)
                    passing = edge.quote_in(passing, state)
                else:
                    if edge.pool.id in again:
                        states[edge.pool.id] = edge.after_out(wanted, state)
                    passing = wanted
            found.append(Found(edges, tuple(amounts)))
    except (Refused, InputError):
        return None
    return found or None


def _whole_parts(parts: Sequence[tuple[tuple[Edge, ...], float]], total: int) -> list[tuple[tuple[Edge, ...], int]]:
    """Turn parts into integers that add up: the first, which is the widest, takes what is left over."""
    scale = sum(amount for _, amount in parts)
    if scale <= 0:
        return []
    whole = [(edges, int(total * (amount / scale))) for edges, amount in parts]
    whole = [part for part in whole if part[1] > 0] or [(parts[0][0], 0)]
    rest = total - sum(amount for _, amount in whole)
    whole[0] = (whole[0][0], whole[0][1] + rest)
    return whole


def _shared(shares: Sequence[Share]) -> set[str]:
    """Pools that more than one hop uses."""
    seen: set[str] = set()
    twice: set[str] = set()
    for share in shares:
        for edge in share.edges:
            (twice if edge.pool.id in seen else seen).add(edge.pool.id)
    return twice
