"""How an amount flows best through a network of pools that routes may share: dual decomposition, Newton in numpy.

Give every token a price ν in units of the wanted token. At given prices each pool alone decides what it trades: it is
drawn on until its marginal price equals the ratio of the two tokens' prices, in closed form for every piece of its
curve. The best prices are those at which nothing is left over at any token; they minimise the convex function

    total * ν[source] + sum over pools of (ν[out] * output - ν[in] * input)

whose value there is the output. In relative prices its curvature is a graph's Laplacian, weighted with how much each
pool's trade reacts, so a Newton step is one small linear system; between pieces nothing reacts and the step is bounded.
The method of Diamandis, Kulkarni, Chitra, Angeris (2023), on pieces instead of whole pools.

What a pool earns at these prices (`surplus`) is the least that would be lost without it. What really is lost follows
from how the rest reacts when its flow must go elsewhere; the Laplacian's effective conductance tells (`loss`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from dex.routing.candidates import Arc
from dex.routing.curves import split_in

_ROUNDS_MAX: Final = 60
_HALVINGS_MAX: Final = 30
_DAMPINGS: Final = (0.0, 1e-6, 1e-4, 1e-2, 1.0, 100.0)
_STEP_MAX: Final = 0.7
"""Of a price, as a share of it: what no pool reacts to must not run away."""
_WORTHLESS: Final = 1e-12
_BALANCED: Final = 1e-8
"""Left over at any token, as a share of the whole trade, when prices count as found."""


@dataclass(frozen=True, slots=True)
class Flow:
    """What enters every arc, in its token; floats."""

    inputs: list[float]
    surplus: list[float]
    """What each arc earns at the prices, in the wanted token: the least that is lost without it."""
    loss: list[float]
    """About what is lost without it: its surplus, and what the others charge for taking its flow over."""
    prices: dict[str, float]
    """By token, in the wanted token."""
    rounds: int = 0
    left_over: float = 0.0
    """The worst balance of a token, as a share of the whole trade."""


def best_flow(
    arcs: Sequence[Arc], source: str, target: str, total: float, start: Mapping[str, float] | None = None
) -> Flow:
    """Find the flow of an input from one token to another that gives most.

    Args:
        arcs: Without a cycle.
        source: The token given.
        target: The token wanted.
        total: How much of `source`; what exceeds all capacity is left over.
        start: Prices to begin with, for speed.
    """
    if is_parallel(arcs, source, target):
        return _side_by_side(arcs, source, target, total)
    return _Network(arcs, source, target, total).solve(start or {})


def is_parallel(arcs: Sequence[Arc], source: str, target: str) -> bool:
    """Whether every arc leads from source to target: then the split is closed form."""
    return all(arc.tail == source and arc.head == target for arc in arcs)


def _side_by_side(arcs: Sequence[Arc], source: str, target: str, total: float) -> Flow:
    inputs, price = split_in([arc.curve for arc in arcs], total)
    given = [arc.curve.out_at(amount) for arc, amount in zip(arcs, inputs, strict=True)]
    surplus = [out - price * amount for out, amount in zip(given, inputs, strict=True)]
    reacts = [price * arc.curve.reaction_at(amount) for arc, amount in zip(arcs, inputs, strict=True)]
    together = sum(reacts)
    loss = [earned + _shifted(out, together - own) for earned, out, own in zip(surplus, given, reacts, strict=True)]
    return Flow(inputs, surplus, loss, {source: price, target: 1.0})


def _shifted(value: float, conductance: float) -> float:
    """Give what it costs to push a flow through others that react so much."""
    if value <= 0:
        return 0.0
    return value * value / (2 * conductance) if conductance > 1e-9 * value else math.inf


class _Network:
    """Pieces of all curves in columns."""

    def __init__(self, arcs: Sequence[Arc], source: str, target: str, total: float) -> None:
        curves = [arc.curve for arc in arcs]
        self.nodes = list(dict.fromkeys([target, source, *(node for arc in arcs for node in (arc.tail, arc.head))]))
        place = {node: i for i, node in enumerate(self.nodes)}
        counts = [len(curve.size) for curve in curves]
        self.arc_count = len(arcs)
        self.ends = np.array([[place[arc.tail] for arc in arcs], [place[arc.head] for arc in arcs]])
        self.owner = np.repeat(np.arange(len(arcs)), counts)
        self.tail = np.repeat(self.ends[0], counts)
        self.head = np.repeat(self.ends[1], counts)
        self.r_in = np.array([r for curve in curves for r in curve.r_in])
        self.r_out = np.array([r for curve in curves for r in curve.r_out])
        self.size = np.array([s for curve in curves for s in curve.size])
        self.k = np.sqrt(self.r_in * self.r_out)
        self.count = len(self.nodes)
        self.cell = self.tail * self.count + self.head
        self.total = total

    def solve(self, start: Mapping[str, float]) -> Flow:
        prices = np.array([start.get(node, 0.0) for node in self.nodes])
        prices[0] = 1.0
        self._fill(prices)
        value, rest, drawn = self._evaluate(prices)
        rounds, worthless = 0, _WORTHLESS * prices[1]
        while rounds < _ROUNDS_MAX and np.abs(rest[1:]).max() > _BALANCED * self.total * prices[1]:
            if prices[1] < worthless:  # More than all pools take: the rest is worth nothing.
                break
            rounds += 1
            found = self._descend(prices, value, rest, drawn)
            if found is None:
                break
            prices, value, rest, drawn = found
        return self._flow(prices, rest, drawn, rounds)

    def _descend(
        self, prices: np.ndarray, value: float, rest: np.ndarray, drawn: np.ndarray
    ) -> tuple[np.ndarray, float, np.ndarray, np.ndarray] | None:
        """Take Newton's step as far as it pays; where it does not, one that is damped more and more.

        At a kink (a pool about to begin or to end) Newton knows one side only and may point past all that pays.
        """
        inner, _ = self._laplacian(prices, drawn)
        # What nothing reacts for moves by the longest step, and does not shorten the others'.
        free = np.where(inner.diagonal() <= self._least(prices), np.abs(rest[1:]) / _STEP_MAX, 0.0)
        inner += np.diag(free)
        for damping in _DAMPINGS:
            if damping:
                scale = np.maximum(inner.diagonal(), 1e-6 * self.total * prices[1])
                step = -np.linalg.solve(inner + np.diag(damping * scale), rest[1:])
            else:
                step = -np.linalg.solve(inner, rest[1:])
            longest = float(np.abs(step).max())
            if longest > _STEP_MAX:
                step *= _STEP_MAX / longest
            slope, share = float(rest[1:] @ step), 1.0
            for _ in range(_HALVINGS_MAX):
                tried = prices.copy()
                tried[1:] *= 1 + share * step
                new_value, new_rest, new_drawn = self._evaluate(tried)
                if new_value <= value + 1e-4 * share * slope + 1e-15 * abs(value):
                    return tried, new_value, new_rest, new_drawn
                share /= 2
        return None

    def _fill(self, prices: np.ndarray) -> None:
        """Guess the prices that are not known: what the pools would pay for the first unit."""
        first = np.r_[True, self.owner[1:] != self.owner[:-1]] if len(self.owner) else np.zeros(0, bool)
        pays = (self.r_out / self.r_in)[first]
        tails, heads = self.tail[first], self.head[first]
        unknown = prices <= 0
        for _ in range(self.count):
            offered = np.zeros(self.count)
            np.maximum.at(offered, tails, pays * prices[heads])
            better = unknown & (offered > prices)
            if not better.any():
                break
            prices[better] = offered[better]
        prices[prices <= 0] = 1e-30

    def _evaluate(self, prices: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Give the dual's value, what is left over at each token in value, and what each piece draws."""
        paid, got = prices[self.tail], prices[self.head]
        drawn = np.minimum(np.maximum(self.k * np.sqrt(got / paid) - self.r_in, 0.0), self.size)
        spent, earned = paid * drawn, got * self.r_out * drawn / (self.r_in + drawn)
        rest = np.bincount(self.head, earned, self.count) - np.bincount(self.tail, spent, self.count)
        offer = self.total * prices[1]
        rest[1] += offer
        return float(offer + (earned - spent).sum()), rest, drawn

    def _laplacian(self, prices: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give how the tokens react to each other's prices, the target's being fixed, and each piece's part in it."""
        reacts = (drawn > 0) & (drawn < self.size)
        weight = np.where(reacts, prices[self.tail] * (drawn + self.r_in) / 2, 0.0)
        links = np.bincount(self.cell, weight, self.count * self.count).reshape(self.count, self.count)
        links += links.T
        sums = links.sum(1)
        inner = -links[1:, 1:]
        # A token that no pool reacts for would make the system singular. What is added is small beside its own pools'
        # reaction, not beside all of them: one very deep pool would hold back the price of what is full.
        inner.flat[:: self.count] = sums[1:] * (1 + 1e-12) + self._least(prices)
        return inner, weight

    def _least(self, prices: np.ndarray) -> float:
        return 1e-3 * _BALANCED * self.total * float(prices[1])

    def _flow(self, prices: np.ndarray, rest: np.ndarray, drawn: np.ndarray, rounds: int) -> Flow:
        given = self.r_out * drawn / (self.r_in + drawn)
        earned = prices[self.head] * given
        surplus = np.bincount(self.owner, earned - prices[self.tail] * drawn, self.arc_count).tolist()
        return Flow(
            np.bincount(self.owner, drawn, self.arc_count).tolist(),
            surplus,
            self._losses(surplus, np.bincount(self.owner, earned, self.arc_count).tolist(), prices, drawn),
            dict(zip(self.nodes, prices.tolist(), strict=True)),
            rounds,
            float(np.abs(rest[1:]).max() / max(self.total * prices[1], 1e-300)),
        )

    def _losses(
        self, surplus: Sequence[float], earned: Sequence[float], prices: np.ndarray, drawn: np.ndarray
    ) -> list[float]:
        inner, weight = self._laplacian(prices, drawn)
        resistance = np.zeros((self.count, self.count))  # The target is the ground.
        resistance[1:, 1:] = np.linalg.inv(inner)
        alone, tails, heads = resistance.diagonal(), self.ends[0], self.ends[1]
        across = alone[tails] + alone[heads] - resistance[tails, heads] - resistance[heads, tails]
        own = np.bincount(self.owner, weight, self.arc_count)
        others = (1 / np.maximum(across, 1e-300) - own).tolist()
        return [a + _shifted(b, c) for a, b, c in zip(surplus, earned, others, strict=True)]
