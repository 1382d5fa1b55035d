"""A Curve-style stable pool (StableSwap-NG): quotes equal to `get_dy`, state as `exchange` leaves it.

The fee is taken from the output and grows as the two balances drift apart; a share of it leaves the balances for the
protocol. The contract has no swap by exact output: what `quote_exact_out_up` gives is the least input for which
`get_dy` yields at least the amount.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Final, Self

from dex.replicas.balances import BalancePool
from dex.replicas.stable_math import CURVE_PRECISION, curve_balance, curve_invariant, mid_price, slope_terms
from dex.replicas.weighted_math import ONE
from domain.events import PoolSnapshotted

FEE_ONE: Final = 10**10
_MAX_INPUT: Final = 1 << 128


class CurveStablePool(BalancePool):
    """A pool of plain tokens worth about the same; tokens whose rate moves by itself are not replicated."""

    def __init__(self, pool_id: str, tokens: tuple[str, ...], fee_pips: int) -> None:
        super().__init__(pool_id, tokens, fee_pips)
        self.amplification = 0
        """In hundredths."""
        self.fee_offpeg_raw = 0
        self.fee_admin_raw = 0
        self._now: list[int] = []
        self._invariant = 0

    def balances_after(self, source: int, target: int, amount_in: int, amount_out: int) -> tuple[int, ...]:
        """Give the balances after an exchange: with what came out goes the protocol's share of the fee.

        `amount_out` is what `get_dy` gives for the input; exchanges bring out nothing else.
        """
        _, fee = self._gross_and_fee(source, target, amount_in)
        admin = fee * self.fee_admin_raw // FEE_ONE * ONE // self._scales[target]
        return super().balances_after(source, target, amount_in, amount_out + admin)

    def after_exact_out(self, token_out: str, amount_out: int, token_in: str = "") -> Self:
        return self.after_exact_in(
            token_in or self.other(token_out), self.quote_exact_out_up(token_out, amount_out, token_in), token_out
        )

    def mid_price_raw(self, token_in: str = "", token_out: str = "") -> Fraction:
        source, target = self._pair(token_in or self.token0, token_out)
        self._ensure_valid()
        balances, invariant = self._state()
        scaled = Fraction(self.amplification * len(balances), CURVE_PRECISION)
        price = mid_price(scaled, balances, invariant, source, target)
        return price * Fraction(self._scales[source], self._scales[target])

    def difference(self, snapshot: PoolSnapshotted) -> str:
        ours = (self.amplification, self.fee_offpeg_raw, self.fee_admin_raw)
        theirs = (int(snapshot.amplification), int(snapshot.fee_offpeg_raw), int(snapshot.fee_admin_raw))
        if ours != theirs:
            return f"(amplification, off-peg and admin fee) {ours}, on chain {theirs}"
        return super().difference(snapshot)

    @property
    def _fee(self) -> float:
        return self.fee_raw / FEE_ONE

    def _out_down(self, source: int, target: int, amount_in: int) -> int:
        if amount_in >= _MAX_INPUT:
            raise OverflowError
        gross, fee = self._gross_and_fee(source, target, amount_in)
        return max(gross - fee, 0) * ONE // self._scales[target]

    def _in_up(self, source: int, target: int, amount_out: int) -> int:
        """Search the least input: the output never falls as the input grows."""
        # Without fee, from the invariant: a lower bound, widened until it is enough.
        balances, invariant = self._state()
        moved = balances.copy()
        moved[target] -= amount_out * self._scales[target] // ONE
        found = curve_balance(self.amplification, moved, invariant, source) - balances[source]
        low = max(found * ONE // self._scales[source] - 2, 0)
        step = max(int(low * self._fee), 1)
        high = low + step
        while self._out_down(source, target, high) < amount_out:
            if high >= _MAX_INPUT:
                raise OverflowError
            low, step = high, step * 2
            high = low + step
        while high - low > 1:
            middle = (low + high) // 2
            if self._out_down(source, target, middle) < amount_out:
                low = middle
            else:
                high = middle
        return high

    def _gross_and_fee(self, source: int, target: int, amount_in: int) -> tuple[int, int]:
        """Output before the fee, and the fee, with 18 decimals."""
        balances, invariant = self._state()
        moved = balances.copy()
        moved[source] += amount_in * self._scales[source] // ONE
        left = curve_balance(self.amplification, moved, invariant, target)
        gross = balances[target] - left - 1
        fee = self._fee_between((balances[source] + moved[source]) // 2, (balances[target] + left) // 2)
        return gross, fee * max(gross, 0) // FEE_ONE

    def _fee_between(self, first: int, second: int) -> int:
        """The fee at two balances, in 1e-10: the more they differ, the nearer to `fee_offpeg_raw` times the base."""
        offpeg = self.fee_offpeg_raw
        if offpeg <= FEE_ONE:
            return self.fee_raw
        both = (first + second) ** 2
        return offpeg * self.fee_raw // ((offpeg - FEE_ONE) * 4 * first * second // both + FEE_ONE)

    def _slope(self, source: int, target: int, amount_in: int) -> float:
        balances, invariant = self._state()
        moved = [float(balance) for balance in balances]
        fee = self._fee_between(balances[source], balances[target])
        if amount_in:
            scaled = balances.copy()
            scaled[source] += amount_in * self._scales[source] // ONE
            scaled[target] = curve_balance(self.amplification, scaled, invariant, target)
            fee = self._fee_between((balances[source] + scaled[source]) // 2, (balances[target] + scaled[target]) // 2)
            moved = [float(balance) for balance in scaled]
        terms = slope_terms(self.amplification * len(moved) / CURVE_PRECISION, moved, invariant)
        price = terms[source] / terms[target] * self._scales[source] / self._scales[target]
        return (1 - fee / FEE_ONE) * price

    def _state(self) -> tuple[list[int], int]:
        if not self._invariant:
            self._now = self._scaled()
            self._invariant = curve_invariant(self.amplification, self._now)
        return self._now, self._invariant

    def _renewed(self) -> None:
        self._invariant = 0

    def _load(self, snapshot: PoolSnapshotted) -> str:
        self.amplification = int(snapshot.amplification)
        self.fee_offpeg_raw, self.fee_admin_raw = int(snapshot.fee_offpeg_raw), int(snapshot.fee_admin_raw)
        reason = super()._load(snapshot)
        return reason if reason or self.amplification >= CURVE_PRECISION else "its amplification is below one"
