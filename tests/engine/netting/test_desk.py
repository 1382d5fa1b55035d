"""Nothing is lost between members: shares add up, rows are what was booked, nobody pays more than it said."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.netting import NettingDesk, share_lots, share_proportionally
from engine.netting.desk import BUY, SELL

weights = st.lists(st.integers(0, 1_000_000), min_size=1, max_size=8)


@given(st.integers(-(10**12), 10**12), weights)
def test_proportional_parts_add_up_and_are_within_one_of_their_due(whole, shares):
    parts = share_proportionally(whole, shares)
    assert sum(parts) == whole
    total = sum(shares)
    if total:
        for part, weight in zip(parts, shares, strict=True):
            assert abs(part * total - whole * weight) < total


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6), st.lists(st.integers(1, 60), min_size=1, max_size=40))
def test_executions_are_shared_fairly_whatever_pieces_they_come_in(shares, pieces):
    total, given_ = sum(shares), [0] * len(shares)
    for piece in [*pieces, total]:
        lots = min(piece, total - sum(given_))
        if lots == 0:
            break
        parts = share_lots(lots, shares, given_)
        assert sum(parts) == lots
        assert min(parts) >= 0
        given_ = [had + part for had, part in zip(given_, parts, strict=True)]
        for had, weight in zip(given_, shares, strict=True):
            assert had <= weight
            assert abs(had * total - sum(given_) * weight) < 2 * total
    assert given_ == shares


def test_odd_lots_go_to_who_lacks_the_most():
    assert share_lots(1, [1, 1, 1], [0, 0, 0]) == [1, 0, 0]
    assert share_lots(1, [1, 1, 1], [1, 0, 0]) == [0, 1, 0]
    assert share_lots(5, [6, 3, 1], [0, 0, 0]) == [3, 2, 0]
    assert share_proportionally(-5, [1, 1]) == [-2, -3] or share_proportionally(-5, [1, 1]) == [-3, -2]
    assert share_proportionally(7, [0, 0]) == [7, 0]


wishes = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 1), st.integers(95, 105), st.integers(1, 50)), min_size=1, max_size=8
)


@given(wishes, st.integers(190, 210), st.data())
def test_rows_add_up_to_what_the_venue_told_and_limits_hold(wanted, mid, data):
    desk = NettingDesk.of(4)
    for member, side, price, size in wanted:
        desk.wish(member, 0, side, price, size)
    inside = desk.cross(0, mid)
    for share in inside:
        assert 2 * share.wish.price >= mid if share.wish.side == BUY else 2 * share.wish.price <= mid
    total = desk.ledgers.total(0)
    # What meets inside moves nothing of the whole.
    assert (total.lots, total.quote) == (0, 0)
    assert total.crossed == total.volume == 2 * sum(s.lots for s in inside if s.wish.side == BUY)
    booked = quote = fees = 0
    orders = desk.rest(0)
    for at, (side, price, group) in enumerate(orders):
        desk.sent(at, group)
        size = desk.groups[str(at)].size
        assert {wish.price for wish in group} == {price}
        while size and data.draw(st.booleans()):
            lots = data.draw(st.integers(1, size))
            fee = data.draw(st.integers(-100, 1_000))
            shares = desk.filled(at, price, lots, fee, "fee_quote")
            assert sum(share.lots for share in shares) == lots
            signed = lots if side == BUY else -lots
            booked, quote, fees, size = booked + signed, quote - signed * 2 * price, fees + fee, size - lots
        desk.ended(at)
    total = desk.ledgers.total(0)
    assert (total.lots, total.quote, total.fee_quote) == (booked, quote, fees)
    for wish in [*desk.wishes.values(), *desk.past.values()]:
        assert 0 <= wish.filled <= wish.size
    # At most one side goes out where both limits of every wish admit the mid.
    if all((w[2] * 2 >= mid) if w[1] == BUY else (w[2] * 2 <= mid) for w in wanted):
        assert len({side for side, _, _ in orders}) <= 1


def test_opposite_wishes_meet_and_the_larger_side_is_served_in_proportion():
    desk = NettingDesk.of(3)
    desk.wish(0, 0, BUY, 101, 6)
    desk.wish(1, 0, BUY, 101, 3)
    desk.wish(2, 0, SELL, 99, 3)
    assert [(s.wish.member, s.lots, s.half_ticks) for s in desk.cross(0, 201)] == [
        (0, 2, 201),
        (1, 1, 201),
        (2, 3, 201),
    ]
    ((side, price, group),) = desk.rest(0)
    assert (side, price, [(w.member, w.left) for w in group]) == (BUY, 101, [(0, 4), (1, 2)])


def test_a_member_does_not_meet_itself_and_wants_something():
    desk = NettingDesk.of(1)
    assert desk.wish(0, 0, BUY, 101, 5)
    assert desk.wish(0, 0, SELL, 99, 5) is None
    assert desk.wish(0, 1, SELL, 99, 5)
    assert desk.wish(0, 0, BUY, 101, 0) is None


def test_a_trade_told_after_its_orders_end_belongs_to_whom_it_was_for():
    desk = NettingDesk.of(2)
    desk.wish(1, 0, BUY, 101, 5)
    desk.sent(77, desk.unsent())
    desk.ended(77)
    (share,) = desk.filled(77, 100, 2, 3, "fee_base")
    assert (share.wish.member, desk.ledgers.row(1, 0).lots, desk.ledgers.row(1, 0).fee_base) == (1, 2, 3)
    # More than the order was: not of ours.
    assert desk.filled(77, 100, 4, 0, "fee_quote") is None
    assert desk.filled(78, 100, 1, 0, "fee_quote") is None


def test_what_nobody_asked_for_closes_members_first_and_the_rest_is_the_desks():
    desk = NettingDesk.of(3)
    for member, lots in enumerate((6, 3, -4)):
        desk.ledgers.row(member, 0).trade(lots, 200)
    desk.unasked(0, -12, 99, 12, "fee_quote")
    assert [desk.ledgers.row(member, 0).lots for member in (0, 1, 2, -1)] == [0, 0, -4, -3]
    assert desk.ledgers.total(0).fee_quote == 12
    assert desk.ledgers.total(0).lots == -7


def test_a_desk_is_saved_whole():
    desk = NettingDesk.of(2)
    desk.wish(0, 0, BUY, 101, 5)
    desk.sent(7, desk.unsent())
    desk.filled(7, 100, 2, 1, "fee_quote")
    assert msgspec.json.decode(msgspec.json.encode(desk), type=NettingDesk) == desk


@pytest.mark.parametrize("half_ticks", [199, 200])
def test_a_result_is_exact_at_a_mid_between_ticks(half_ticks):
    desk = NettingDesk.of(1)
    desk.ledgers.row(0, 0).trade(3, half_ticks)
    assert desk.ledgers.row(0, 0).result(201) == 3 * (201 - half_ticks)
