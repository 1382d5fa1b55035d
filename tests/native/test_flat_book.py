"""The flat book against a plain dict: far levels, windows laid anew, both ends of the number range."""

from __future__ import annotations

import capstan_native as native
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

_MAX = 2**63 - 1
_sides = st.sampled_from((native.BUY, native.SELL))
_sizes = st.integers(0, 5) | st.integers(0, _MAX)
# Within a window (16,384 ticks), around where windows end, far off, and anywhere.
_offsets = st.integers(-30, 30) | st.integers(-17_000, 17_000) | st.sampled_from((-12_288, -12_289, 4_095, 4_096))
_prices = st.integers(-(2**63), _MAX)


class BookMachine(RuleBasedStateMachine):
    """Every operation on both; every view compared after each."""

    def __init__(self) -> None:
        super().__init__()
        self.book = native.FlatBook()
        self.plain: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.middle = 600_000

    def _set(self, side: int, price: int, size: int) -> None:
        self.book.set(side, price, size)
        if size:
            self.plain[side][price] = size
        else:
            self.plain[side].pop(price, None)

    @rule(side=_sides, offset=_offsets, size=_sizes)
    def set_near(self, side: int, offset: int, size: int) -> None:
        self._set(side, self.middle + offset, size)

    @rule(side=_sides, price=_prices, size=_sizes)
    def set_anywhere(self, side: int, price: int, size: int) -> None:
        self._set(side, price, size)

    @rule(by=st.integers(-60_000, 60_000))
    def move(self, by: int) -> None:
        self.middle += by

    @rule(side=_sides, times=st.integers(1, 5))
    def take_best(self, side: int, times: int) -> None:
        for _ in range(times):
            best = self.book.best(side)
            if best is not None:
                self._set(side, best[0], 0)

    @rule(side=_sides)
    def clear(self, side: int) -> None:
        self.book.clear(side)
        self.plain[side].clear()

    @rule(side=_sides, offset=_offsets)
    def ask_depth(self, side: int, offset: int) -> None:
        price = self.middle + offset
        within = [size for at, size in self.plain[side].items() if (at <= price if side else at >= price)]
        assert self.book.depth_until(side, price) == min(sum(within), _MAX)
        assert self.book.size_at(side, price) == self.plain[side].get(price, 0)

    @invariant()
    def same(self) -> None:
        for side in (native.BUY, native.SELL):
            levels = sorted(self.plain[side].items(), reverse=side == native.BUY)
            assert self.book.levels(side) == levels
            assert self.book.best(side) == (levels[0] if levels else None)


TestFlatBook = BookMachine.TestCase
TestFlatBook.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def test_a_side_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="side"):
        native.FlatBook().set(2, 1, 1)
