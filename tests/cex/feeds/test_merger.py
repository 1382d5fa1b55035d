"""Whole books from two sources: never back in time, lost only when both are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cex.feeds import Merger, Ordering
from cex.feeds.data import Book, BookLost, PublicTrade

STALL_NS = 100


def book(number: int, source: int = 0, *, venue_ns: int | None = None) -> Book:
    """A book whose levels tell its number."""
    time_ns = number if venue_ns is None else venue_ns
    return Book(instrument="x:AB", bids=((number, 1),), asks=(), sequence=number, venue_ns=time_ns, received_ns=source)


def lost(source: int = 0) -> BookLost:
    return BookLost(instrument="x:AB", reason="gone", received_ns=source)


STEPS = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(["next", "same", "skip", "lose"])), max_size=60)


@pytest.mark.parametrize("ordering", [Ordering.SEQUENCE, Ordering.TIME])
@given(steps=STEPS)
def test_merged_book_never_goes_back_and_is_lost_only_with_the_last_source(
    ordering: Ordering, steps: list[tuple[int, str]]
) -> None:
    merger, at, valid = Merger(2, ordering=ordering, stall_ns=STALL_NS), [1, 1], [False, False]
    told: Book | None = None
    for now_ns, (source, step) in enumerate(steps):
        if step == "lose":
            out = merger.take(source, lost(source), now_ns)
            was_valid, valid[source] = any(valid), False
            assert out == ([lost(source)] if was_valid and not any(valid) else [])
            told = told if any(valid) else None
            continue
        at[source] += {"next": 1, "same": 0, "skip": 3}[step]
        valid[source] = True
        for datum in merger.take(source, book(at[source], source), now_ns):
            assert isinstance(datum, Book)
            assert told is None or datum.bids[0][0] >= told.bids[0][0]
            told = datum
        assert told is not None
        assert told.bids[0][0] >= at[source], "an update was withheld though none newer was told"
        assert merger.is_valid


@given(steps=STEPS)
def test_leader_is_followed_and_replaced_when_it_is_lost(steps: list[tuple[int, str]]) -> None:
    merger, at, valid = Merger(2, ordering=Ordering.LEADER, stall_ns=10**9), [0, 0], [False, False]
    sequence = 0
    for now_ns, (source, step) in enumerate(steps):
        if step == "lose":
            out = merger.take(source, lost(source), now_ns)
            valid[source] = False
        else:
            at[source] += 1
            out = merger.take(source, book(at[source], source, venue_ns=0), now_ns)
            valid[source] = True
        for datum in out:
            if isinstance(datum, Book):
                assert datum.sequence == sequence + 1
                sequence += 1
                assert datum.received_ns == merger.leader
        assert merger.is_valid == any(valid)
        assert not any(valid) or valid[merger.leader]


def test_leader_that_fell_silent_is_replaced_within_the_stall() -> None:
    merger = Merger(2, ordering=Ordering.TIME, stall_ns=STALL_NS)
    assert merger.take(0, book(1, venue_ns=0), 0), "no time: it goes by leader"
    assert not merger.take(1, book(2, 1, venue_ns=0), 10)
    assert not merger.tick(10 + STALL_NS - 1)
    assert merger.stalled(10 + STALL_NS) == [0]
    [datum] = merger.tick(10 + STALL_NS)
    assert isinstance(datum, Book)
    assert (datum.bids, merger.leader) == (((2, 1),), 1)


def test_quiet_market_makes_nobody_silent() -> None:
    merger = Merger(2, ordering=Ordering.LEADER, stall_ns=STALL_NS)
    for source in (0, 1):
        merger.take(source, book(1, source, venue_ns=0), source)
    assert merger.stalled(10**12) == []


def test_source_that_is_behind_is_named() -> None:
    merger = Merger(2, ordering=Ordering.SEQUENCE, stall_ns=STALL_NS)
    merger.take(0, book(1), 0)
    merger.take(1, book(1, 1), 0)
    merger.take(0, book(2), 5)
    assert merger.stalled(5 + STALL_NS) == [1]
    merger.take(1, book(2, 1), 5 + STALL_NS)
    assert merger.stalled(10**12) == []


def test_trade_is_told_once() -> None:
    merger = Merger(2, ordering=Ordering.SEQUENCE, stall_ns=STALL_NS)

    def trade(number: str) -> PublicTrade:
        return PublicTrade(instrument="x:AB", trade_id=number, price_ticks=1, qty_lots=1, is_buyer_maker=True)

    told = [merger.take(source, trade(number), 0) for source, number in ((0, "7"), (1, "7"), (1, "8"), (0, "8"))]
    assert [len(out) for out in told] == [1, 0, 1, 0]
    assert [len(merger.take(source, trade(""), 0)) for source in (0, 1)] == [1, 0], "without ids only one is heard"
