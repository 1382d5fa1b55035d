"""The matching engine against its plain reference, event by event, over random histories."""

from __future__ import annotations

import struct
from collections import Counter

import capstan_native as native
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference.matching import ReferenceEngine, Row

_IDS = st.integers(1, 40)
_submits = st.tuples(
    st.just("submit"),
    _IDS,
    st.integers(1, 3),
    st.sampled_from((native.BUY, native.SELL)),
    st.integers(-1, 14),
    st.integers(-1, 12),
    st.sampled_from((native.LIMIT, native.LIMIT, native.LIMIT, native.LIMIT_MAKER, native.MARKET)),
    st.sampled_from((native.GTC, native.GTC, native.GTC, native.IOC, native.FOK)),
    st.integers(0, 4),
    st.sampled_from((0, 0, 0, 0, 1, 17, 60, 400, -3)),
    st.sampled_from((0, 0, 0, 1, 2, 3, 5, -1)),
)
_histories = st.lists(
    st.one_of(
        _submits,
        _submits,
        _submits,
        st.tuples(st.just("cancel"), _IDS),
        st.tuples(st.just("reduce"), _IDS, st.integers(-1, 12)),
    ),
    max_size=80,
)


def play(engine: object, step: tuple[object, ...]) -> list[Row]:
    name, *arguments = step
    rows: list[Row] = getattr(engine, str(name))(*arguments)
    return rows


@settings(max_examples=300, deadline=None)
@given(_histories)
def test_every_history_gives_the_events_and_the_book_of_the_reference(history: list[tuple[object, ...]]) -> None:
    engine, reference = native.MatchingEngine(), ReferenceEngine()
    for step in history:
        assert play(engine, step) == play(reference, step), step
    for side in (native.BUY, native.SELL):
        assert engine.orders(side) == reference.orders(side)
        assert engine.levels(side, 100) == reference.levels(side)


@settings(max_examples=200, deadline=None)
@given(_histories)
def test_lots_are_conserved_and_the_book_never_crosses(history: list[tuple[object, ...]]) -> None:
    engine = native.MatchingEngine()
    open_lots: Counter[int] = Counter()
    book: dict[tuple[int, int], int] = {}
    for step in history:
        for kind, id_, other, price, lots, left in play(engine, step):
            if kind == native.RESTED:
                open_lots[id_] = left
                assert 0 < lots <= left
            elif kind == native.TRADED:
                open_lots[other] -= lots
                assert open_lots[other] == left >= 0
            elif kind in (native.CANCELED, native.PREVENTED) and id_ in open_lots:
                open_lots[id_] -= lots
                assert open_lots[id_] == left >= 0
            elif kind == native.REFILLED:
                assert 0 < lots <= left == open_lots[id_]
            elif kind == native.REDUCED:
                assert 0 < left < open_lots[id_]
                open_lots[id_] = left
            elif kind == native.LEVEL:
                book[id_, price] = lots
        bid, ask = engine.best(native.BUY), engine.best(native.SELL)
        assert bid is None or ask is None or bid[0] < ask[0]
    resting = {id_: lots + hidden for side in (0, 1) for id_, _owner, _price, lots, hidden in engine.orders(side)}
    assert resting == {id_: lots for id_, lots in open_lots.items() if lots}
    levels = {(side, price): lots for side in (0, 1) for price, lots in engine.levels(side, 100)}
    assert levels == {place: lots for place, lots in book.items() if lots}, "level events tell the whole book"


@settings(max_examples=50, deadline=None)
@given(_histories)
def test_a_batch_gives_the_events_of_single_calls(history: list[tuple[object, ...]]) -> None:
    single, batched = native.MatchingEngine(), native.MatchingEngine()
    expected = [row for step in history for row in play(single, step)]
    out = batched.run(b"".join(_record(step) for step in history))
    assert [struct.unpack_from("<6q", out, at) for at in range(0, len(out), 48)] == expected


def _record(step: tuple[object, ...]) -> bytes:
    name, *values = step
    numbers = [int(str(value)) for value in values]
    if name == "submit":
        id_, owner, side, price, lots, kind, tif, stp, quote, display = numbers
        code = native.SUBMIT | side << 8 | kind << 16 | tif << 24 | stp << 32
        return struct.pack("<8q", code, id_, owner, price, lots, quote, 0, display)
    if name == "cancel":
        return struct.pack("<8q", native.CANCEL, numbers[0], 0, 0, 0, 0, 0, 0)
    return struct.pack("<8q", native.REDUCE, numbers[0], 0, 0, numbers[1], 0, 0, 0)


def test_a_replace_in_a_batch_cancels_and_places_at_once() -> None:
    engine = native.MatchingEngine()
    engine.submit(1, 1, native.BUY, 100, 5)
    replace = native.REPLACE | native.BUY << 8
    out = engine.run(struct.pack("<8q", replace, 2, 1, 101, 3, 0, 1, 0))
    kinds = [struct.unpack_from("<6q", out, at)[0] for at in range(0, len(out), 48)]
    assert kinds == [native.CANCELED, native.LEVEL, native.RESTED, native.LEVEL]
    assert engine.orders(native.BUY) == [(2, 1, 101, 3, 0)]


def test_a_malformed_record_runs_nothing_of_its_batch() -> None:
    engine = native.MatchingEngine()
    good = struct.pack("<8q", native.SUBMIT, 1, 1, 100, 5, 0, 0, 0)
    for bad in (struct.pack("<8q", 9, 1, 1, 100, 5, 0, 0, 0), struct.pack("<8q", 7 << 8, 2, 1, 1, 1, 0, 0, 0), b"x"):
        with pytest.raises(ValueError, match=r"unknown|records"):
            engine.run(good + bad)
        assert engine.orders(native.BUY) == []


@given(
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 14), st.integers(1, 12), st.integers(0, 1)), max_size=20),
    st.integers(1, 60),
    st.integers(1, 900),
)
def test_the_estimate_of_a_market_order_is_what_it_then_trades(
    makers: list[tuple[int, int, int, int]], lots: int, budget: int
) -> None:
    for side in (native.BUY, native.SELL):
        by_lots, by_budget = native.MatchingEngine(), native.MatchingEngine()
        for id_, (owner, price, size, display) in enumerate(makers, 1):
            for engine in (by_lots, by_budget):
                engine.submit(id_, owner, 1 - side, price, size, display=display)
        found, cost = by_lots.cost_of(side, lots, 1)
        promised = by_budget.lots_for(side, budget, 1)
        traded = _traded(by_lots.submit(99, 1, side, 0, lots, native.MARKET, native.GTC, native.STP_EXPIRE_MAKER))
        assert (found, cost) == (sum(n for _, n in traded), sum(p * n for p, n in traded))
        spent = by_budget.submit(99, 1, side, 0, 0, native.MARKET, native.GTC, native.STP_EXPIRE_MAKER, budget)
        assert promised == sum(n for _, n in _traded(spent))


def _traded(rows: list[Row]) -> list[tuple[int, int]]:
    return [(row[3], row[4]) for row in rows if row[0] == native.TRADED]


@settings(max_examples=100, deadline=None)
@given(_histories, st.lists(_submits, max_size=10))
def test_a_book_that_is_put_back_order_by_order_goes_on_alike(
    history: list[tuple[object, ...]], after: list[tuple[object, ...]]
) -> None:
    engine, again = native.MatchingEngine(), native.MatchingEngine()
    displays: dict[int, int] = {}
    for step in history:
        if step[0] == "submit" and not any(row[0] == native.REJECTED for row in play(engine, step)):
            displays[int(str(step[1]))] = int(str(step[-1]))
        elif step[0] != "submit":
            play(engine, step)
    for side in (native.BUY, native.SELL):
        for id_, owner, price, lots, hidden in engine.orders(side):
            rows = again.put_back(id_, owner, side, price, lots, hidden, displays[id_])
            assert rows[0] == (native.RESTED, id_, 0, price, lots, lots + hidden)
        assert again.orders(side) == engine.orders(side)
    for step in after:
        assert play(engine, step) == play(again, step)


def test_what_cannot_have_waited_is_not_put_back() -> None:
    engine = native.MatchingEngine()
    engine.submit(1, 1, native.BUY, 100, 5)
    for arguments, reason in (
        ((1, 1, native.BUY, 99, 1), native.DUPLICATE_ID),
        ((2, 1, native.SELL, 100, 1), native.WOULD_TAKE),
        ((2, 1, native.SELL, 0, 1), native.BAD_PRICE),
        ((2, 1, native.SELL, 101, 0), native.BAD_SIZE),
        ((2, 1, native.SELL, 101, 1, 1, 0), native.BAD_SIZE),
    ):
        assert engine.put_back(*arguments) == [(native.REJECTED, arguments[0], reason, 0, 0, 0)]
    assert engine.levels(native.SELL, 1) == []


def test_an_iceberg_shows_its_next_part_behind_the_others() -> None:
    engine = native.MatchingEngine()
    engine.submit(1, 1, native.SELL, 100, 10, display=3)
    engine.submit(2, 2, native.SELL, 100, 4)
    assert engine.levels(native.SELL, 1) == [(100, 7)]
    rows = engine.submit(9, 9, native.BUY, 100, 9)
    assert rows == [
        (native.TRADED, 9, 1, 100, 3, 7),
        (native.REFILLED, 1, 0, 100, 3, 7),
        (native.TRADED, 9, 2, 100, 4, 0),
        (native.TRADED, 9, 1, 100, 2, 5),
        (native.LEVEL, native.SELL, 0, 100, 1, 1),
    ]
    assert engine.orders(native.SELL) == [(1, 1, 100, 1, 4)]


def test_decrement_takes_from_both_what_would_have_traded() -> None:
    engine = native.MatchingEngine()
    engine.submit(1, 1, native.SELL, 100, 6)
    rows = engine.submit(9, 1, native.BUY, 100, 2, stp_code=native.STP_DECREMENT)
    assert rows == [
        (native.PREVENTED, 1, 9, 100, 2, 4),
        (native.PREVENTED, 9, 1, 100, 2, 0),
        (native.LEVEL, native.SELL, 0, 100, 4, 4),
    ]
    assert engine.orders(native.SELL) == [(1, 1, 100, 4, 0)]
