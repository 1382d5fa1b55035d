"""Balancer V2's stable and weighted pools: quotes equal to the Vault's `queryBatchSwap` to the last unit.

The Vault keeps the balances and the pool's contract computes. On exact input the fee is taken before the amount is
scaled to 18 decimals, on exact output it is added after it was scaled back.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from fractions import Fraction
from typing import Final

from dex.replicas.balances import BalancePool
from dex.replicas.stable_math import (
    BALANCER_PRECISION,
    balancer_balance_up,
    balancer_invariant_up,
    mid_price,
    slope_terms,
)
from dex.replicas.weighted_math import ONE, div_down, div_up, mul_down, mul_up, power_up
from domain.events import PoolSnapshotted

_MAX_BALANCE: Final = (1 << 112) - 1
"""What the Vault can hold of one token in one pool."""
_RATIO_MAX: Final = 3 * ONE // 10
"""A weighted pool takes in, and gives out, at most this share of its balance at once."""


class _BalancerPool(BalancePool):
    """Fee and scaling, the same for all of Balancer's pools."""

    @property
    def _fee(self) -> float:
        return self.fee_raw / ONE

    def _out_down(self, source: int, target: int, amount_in: int) -> int:
        if self.balances[source] + amount_in > _MAX_BALANCE:
            raise OverflowError
        after_fee = amount_in - mul_up(amount_in, self.fee_raw)
        out = self._scaled_out_down(source, target, after_fee * self._scales[source] // ONE)
        return max(out, 0) * ONE // self._scales[target]

    def _in_up(self, source: int, target: int, amount_out: int) -> int:
        taken = self._scaled_in_up(source, target, amount_out * self._scales[target] // ONE)
        amount_in = div_up(-(-taken * ONE // self._scales[source]), ONE - self.fee_raw)
        if self.balances[source] + amount_in > _MAX_BALANCE:
            raise OverflowError
        return amount_in

    @abstractmethod
    def _scaled_out_down(self, source: int, target: int, amount_in: int) -> int:
        """Output for an input after fee, both with 18 decimals; below zero where nothing would come out."""

    @abstractmethod
    def _scaled_in_up(self, source: int, target: int, amount_out: int) -> int:
        """Input before fee for an output, both with 18 decimals."""


class BalancerStablePool(_BalancerPool):
    """A pool of tokens worth about the same. D is computed once for each state of the balances."""

    def __init__(self, pool_id: str, tokens: tuple[str, ...], fee_pips: int) -> None:
        super().__init__(pool_id, tokens, fee_pips)
        self.amplification = 0
        """In thousandths."""
        self._now: list[int] = []
        self._invariant = 0

    def mid_price_raw(self, token_in: str = "", token_out: str = "") -> Fraction:
        source, target = self._pair(token_in or self.token0, token_out)
        self._ensure_valid()
        balances, invariant = self._state()
        scaled = Fraction(self.amplification * len(balances), BALANCER_PRECISION)
        price = mid_price(scaled, balances, invariant, source, target)
        return price * Fraction(self._scales[source], self._scales[target])

    def difference(self, snapshot: PoolSnapshotted) -> str:
        if int(snapshot.amplification) != self.amplification:
            return f"amplification {self.amplification}, on chain {snapshot.amplification}"
        return super().difference(snapshot)

    def _scaled_out_down(self, source: int, target: int, amount_in: int) -> int:
        balances, invariant = self._state()
        moved = balances.copy()
        moved[source] += amount_in
        return balances[target] - balancer_balance_up(self.amplification, moved, invariant, target) - 1

    def _scaled_in_up(self, source: int, target: int, amount_out: int) -> int:
        balances, invariant = self._state()
        moved = balances.copy()
        moved[target] -= amount_out
        return balancer_balance_up(self.amplification, moved, invariant, source) - balances[source] + 1

    def _slope(self, source: int, target: int, amount_in: int) -> float:
        balances, invariant = self._state()
        moved = [float(balance) for balance in balances]
        if amount_in:
            moved[source] += amount_in * self.gamma * self._scales[source] / ONE
            moved[target] -= self._out_down(source, target, amount_in) * self._scales[target] / ONE
        terms = slope_terms(self.amplification * len(moved) / BALANCER_PRECISION, moved, invariant)
        return self.gamma * terms[source] / terms[target] * self._scales[source] / self._scales[target]

    def _state(self) -> tuple[list[int], int]:
        if not self._invariant:
            self._now = self._scaled()
            self._invariant = balancer_invariant_up(self.amplification, self._now)
        return self._now, self._invariant

    def _renewed(self) -> None:
        self._invariant = 0

    def _load(self, snapshot: PoolSnapshotted) -> str:
        self.amplification = int(snapshot.amplification)
        reason = super()._load(snapshot)
        return reason if reason or self.amplification >= BALANCER_PRECISION else "its amplification is below one"


class BalancerWeightedPool(_BalancerPool):
    """A pool whose product of balances, each to the power of its weight, stays the same."""

    def __init__(self, pool_id: str, tokens: tuple[str, ...], fee_pips: int) -> None:
        super().__init__(pool_id, tokens, fee_pips)
        self.weights: tuple[int, ...] = ()
        """In 1e-18, adding up to one."""
        self.has_exact_powers = False

    def mid_price_raw(self, token_in: str = "", token_out: str = "") -> Fraction:
        source, target = self._pair(token_in or self.token0, token_out)
        self._ensure_valid()
        return Fraction(self.balances[target] * self.weights[source], self.balances[source] * self.weights[target])

    def difference(self, snapshot: PoolSnapshotted) -> str:
        theirs = tuple(int(weight) for weight in snapshot.weights)
        return f"weights {self.weights}, on chain {theirs}" if theirs != self.weights else super().difference(snapshot)

    def _scaled_out_down(self, source: int, target: int, amount_in: int) -> int:
        balance_in, balance_out = self._held(source), self._held(target)
        if amount_in > mul_down(balance_in, _RATIO_MAX):
            raise OverflowError
        base = div_up(balance_in, balance_in + amount_in)
        rest = self._power_up(base, div_down(self.weights[source], self.weights[target]))
        return mul_down(balance_out, max(ONE - rest, 0))

    def _scaled_in_up(self, source: int, target: int, amount_out: int) -> int:
        balance_in, balance_out = self._held(source), self._held(target)
        if amount_out > mul_down(balance_out, _RATIO_MAX):
            raise OverflowError
        base = div_up(balance_out, balance_out - amount_out)
        return mul_up(balance_in, self._power_up(base, div_up(self.weights[target], self.weights[source])) - ONE)

    def _power_up(self, base: int, exponent: int) -> int:
        """Raise to a power as the pool's version does: later ones multiply where the exponent is 1, 2 or 4."""
        if self.has_exact_powers:
            if exponent == ONE:
                return base
            if exponent == 2 * ONE:
                return mul_up(base, base)
            if exponent == 4 * ONE:
                square = mul_up(base, base)
                return mul_up(square, square)
        return power_up(base, exponent)

    def _slope(self, source: int, target: int, amount_in: int) -> float:
        held, ratio = self.balances[source], self.weights[source] / self.weights[target]
        if amount_in * self.gamma > held * _RATIO_MAX / ONE:
            return 0.0
        after = held + amount_in * self.gamma
        return self.gamma * self.balances[target] * ratio * math.pow(held / after, ratio) / after

    def _held(self, index: int) -> int:
        return self.balances[index] * self._scales[index] // ONE

    def _load(self, snapshot: PoolSnapshotted) -> str:
        self.weights = tuple(int(weight) for weight in snapshot.weights)
        self.has_exact_powers = snapshot.has_exact_powers
        if len(self.weights) != len(self.tokens) or sum(self.weights) != ONE or min(self.weights) <= 0:
            return f"weights of {self.weights} cannot be"
        return super()._load(snapshot)
