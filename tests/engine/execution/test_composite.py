"""Composite orders in the kernel that trades live, the venue played by hand and at random.

Whatever the market and the venue do: one amount is never done twice, no more is closed than is entered, not even by
what is open and might still trade; and a kernel rebuilt from the same events decides the same.
"""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import OrderState, Side
from domain import events as e
from engine.execution import Oto, Saved
from engine.strategies.composite_order import CompositeOrder, CompositeOrderSettings
from tests.engine.execution.runs import run
from tests.engine.strategies.desk import SECOND, Desk

_NUMBER = re.compile(r"[\d.]+")
BRACKET = {"name": "bracket", "entry": "3000", "target": "+100bps", "stop": "-100bps"}
OCO = {"name": "oco", "limit": "3030", "stop": "2970"}


def settings_of(order: dict[str, Any], **changes: Any) -> CompositeOrderSettings:
    given = {"instrument": "one:ETHUSDC", "side": "buy", "qty": "10", "order": order, **changes}
    return CompositeOrderSettings.model_validate(given)


class Floor(Desk):
    """A desk that remembers what it told, and answers for the venue."""

    def __init__(self, order: dict[str, Any], **changes: Any) -> None:
        self.told: list[e.Event] = []
        super().__init__(settings_of(order, **changes))

    def tell(self, *events: e.Event) -> list[e.Command]:
        self.told += events
        return super().tell(*events)

    def say(self, order: Any, state: OrderState) -> list[e.Command]:
        report = e.OrderReported(
            time_ns=self.now_ns,
            client_order_id=order.client_order_id,
            state=state,
            filled_lots=None if state is OrderState.REJECTED else order.filled_lots,
        )
        return self.tell(report)

    def tick(self, after_s: float = 0.5) -> list[e.Command]:
        self.now_ns += round(after_s * SECOND)
        return self.tell(e.TimerFired(time_ns=self.now_ns))

    @property
    def open(self) -> list[Any]:
        return self.kernel.orders.open_orders()

    @property
    def only(self) -> Any:
        [order] = self.open
        return order

    @property
    def composite(self) -> Any:
        assert isinstance(self.strategy, CompositeOrder)
        return self.strategy.order


def terms(order: Any) -> tuple[Side, int, int]:
    return order.side, order.price_ticks, order.open_lots


# --- stories


def test_a_stop_is_nowhere_until_the_touch_it_would_take_reaches_it():
    floor = Floor({"name": "stop-limit", "stop": "2990", "limit": "2985"}, side="sell")
    floor.book(299_950, 300_050)
    floor.book(299_001, 299_100)
    assert floor.open == []
    floor.book(299_000, 299_100)
    assert terms(floor.only) == (Side.SELL, 298_500, 10_000)
    floor.book(300_000, 300_100)
    assert terms(floor.only) == (Side.SELL, 298_500, 10_000), "what has triggered stays"


def test_a_buying_stop_looks_at_the_ask():
    floor = Floor({"name": "stop-limit", "stop": "3010", "limit": "3012"})
    floor.book(300_900, 300_999)
    assert floor.open == []
    floor.book(300_950, 301_000)
    assert terms(floor.only) == (Side.BUY, 301_200, 10_000)


def test_a_trailing_stop_follows_the_best_and_never_goes_back():
    floor = Floor({"name": "trailing", "distance_bps": "100"}, side="sell", bound_bps="50")
    for bid in (299_950, 302_000, 301_000, 303_000, 300_100):
        floor.book(bid, bid + 100)
        assert floor.open == []
    # 1 % of the mid at the beginning, 3,000, is 3,000 ticks behind the best bid, 303,000.
    floor.book(300_000, 300_100)
    assert terms(floor.only) == (Side.SELL, 300_000 - 1_500, 10_000)
    assert floor.only.time_in_force == "ioc"


def test_oco_does_with_one_what_the_other_has_left():
    floor = Floor(OCO, side="sell")
    floor.book(299_950, 300_050)
    target = floor.only
    assert terms(target) == (Side.SELL, 303_000, 10_000)
    floor.fill(target, 4_000)
    floor.book(296_900, 297_000)
    assert floor.cancelled() == [target.client_order_id]
    assert floor.only is target, "nothing else while the target may still trade"
    floor.fill(target, 1_000)  # While its cancel is on its way.
    floor.book(296_900, 297_000)
    assert floor.only is target
    floor.say(target, OrderState.CANCELED)
    assert terms(floor.only) == (Side.SELL, 296_900 - 296_900 * 5_000 // 1_000_000, 5_000)
    floor.fill(floor.only, 5_000)
    floor.tick()
    assert floor.composite.is_done
    assert floor.open == []


def test_oco_that_is_filled_by_its_limit_is_over():
    floor = Floor(OCO, side="sell")
    floor.book(299_950, 300_050)
    floor.fill(floor.only)
    floor.book(296_900, 297_000)
    assert floor.composite.is_done
    assert floor.open == []


def test_a_bracket_protects_what_is_entered_and_no_more():
    floor = Floor(BRACKET)
    floor.book(299_950, 300_050)
    entry = floor.only
    assert terms(entry) == (Side.BUY, 300_000, 10_000)
    floor.say(entry, OrderState.ACCEPTED)
    floor.fill(entry, 3_000)
    floor.book(299_950, 300_050)
    [target] = floor.resting(Side.SELL)
    assert terms(target) == (Side.SELL, 303_000, 3_000)
    # The entry goes on: what rests of the target keeps its place until the entry is whole.
    floor.fill(entry, 2_000)
    floor.book(299_950, 300_050)
    assert floor.cancelled() == []
    floor.fill(entry, 5_000)
    floor.book(299_950, 300_050)
    assert floor.cancelled() == [target.client_order_id]
    floor.say(target, OrderState.CANCELED)
    assert terms(floor.only) == (Side.SELL, 303_000, 10_000)
    # The stop takes over, after the target is gone.
    target = floor.only
    floor.book(296_950, 297_050)
    assert floor.cancelled() == [target.client_order_id]
    floor.say(target, OrderState.CANCELED)
    stop = floor.only
    assert (stop.side, stop.open_lots, stop.time_in_force) == (Side.SELL, 10_000, "ioc")
    floor.fill(stop)
    floor.tick()
    assert floor.composite.is_done


def test_a_stop_that_fires_while_the_entry_rests_takes_the_entry_away_first():
    floor = Floor(BRACKET)
    floor.book(299_950, 300_050)
    entry = floor.only
    floor.fill(entry, 3_000)
    floor.book(299_950, 300_050)
    [target] = floor.resting(Side.SELL)
    floor.book(296_950, 297_050)
    floor.say(target, OrderState.CANCELED)
    assert floor.only is entry
    assert entry.cancel_time_ns
    floor.fill(entry, 1_000)
    floor.say(entry, OrderState.CANCELED)
    floor.tick()
    assert terms(floor.only)[::2] == (Side.SELL, 4_000)
    floor.fill(floor.only)
    floor.tick()
    assert floor.composite.is_done


def test_an_entry_at_the_market_is_seen_whole_and_tried_once():
    floor = Floor({**BRACKET, "entry": None, "target": "+10bps"})
    floor.book(299_950, 300_050)
    entry = floor.only
    floor.fill(entry, 2_000, 300_050)
    floor.book(299_950, 300_050)
    assert floor.resting(Side.SELL) == []
    floor.fill(entry, 2_000, 300_150)
    floor.say(entry, OrderState.EXPIRED)
    # 10 bps above the average of both, up to the tick.
    assert terms(floor.only) == (Side.SELL, 300_401, 4_000)


def test_oto_sells_what_it_bought():
    floor = Floor({"name": "oto", "entry": "3000", "then": "3010"})
    floor.book(299_950, 300_050)
    floor.fill(floor.only)
    floor.book(299_950, 300_050)
    assert terms(floor.only) == (Side.SELL, 301_000, 10_000)
    floor.fill(floor.only)
    floor.tick()
    assert floor.composite.is_done


def test_what_has_not_begun_expires_and_what_is_entered_stays_protected():
    floor = Floor(BRACKET, expires_s=10)
    floor.book(299_950, 300_050)
    entry = floor.only
    floor.fill(entry, 3_000)
    floor.book(299_950, 300_050)
    floor.book(299_950, 300_050, after_s=10)
    assert floor.cancelled() == [entry.client_order_id]
    floor.say(entry, OrderState.CANCELED)
    floor.tick()
    assert terms(floor.only) == (Side.SELL, 303_000, 3_000)
    floor.fill(floor.only)
    floor.tick()
    assert floor.composite.is_done

    floor = Floor(BRACKET, expires_s=10)
    floor.book(299_950, 300_050)
    entry = floor.only
    floor.book(299_950, 300_050, after_s=10)
    assert not floor.composite.is_done
    floor.say(entry, OrderState.CANCELED)
    floor.tick()
    assert floor.composite.is_done


def test_what_the_venue_refuses_is_placed_again_later():
    floor = Floor(OCO, side="sell")
    floor.book(299_950, 300_050)
    first = floor.only
    floor.say(first, OrderState.REJECTED)
    assert floor.open == []
    floor.book(299_950, 300_050, after_s=0.2)
    assert floor.open == []
    floor.book(299_950, 300_050, after_s=0.1)
    assert terms(floor.only) == (Side.SELL, 303_000, 10_000)
    assert floor.only.client_order_id != first.client_order_id


def test_stopping_withdraws_and_places_nothing():
    floor = Floor(OCO, side="sell")
    floor.book(299_950, 300_050)
    target = floor.only
    floor.stop()
    assert floor.cancelled() == [target.client_order_id]
    floor.say(target, OrderState.CANCELED)
    floor.book(296_900, 297_000)
    assert floor.open == []


def test_a_stale_book_triggers_nothing():
    floor = Floor(OCO, side="sell")
    floor.book(299_950, 300_050)
    target = floor.only
    floor.lose_book()
    floor.tick()
    assert floor.only is target
    assert not target.cancel_time_ns


def test_a_restart_takes_a_held_stop_up_where_it_was():
    floor = Floor(BRACKET)
    floor.book(299_950, 300_050)
    floor.fill(floor.only)
    floor.book(299_950, 300_050)
    target = floor.only
    floor.fill(target, 2_000)

    again = Floor(BRACKET)
    again.tell(*floor.told)
    again.now_ns = floor.now_ns
    assert vars_of(again.composite) == vars_of(floor.composite)
    for one in (floor, again):
        [order] = one.open
        # What rested is cancelled by the start; the rest of the target is placed anew, under an id of the new epoch.
        one.say(order, OrderState.CANCELED)
        one.tell(e.EngineRestarted(time_ns=one.now_ns, epoch=1))
        one.book(299_950, 300_050)
        assert terms(one.only) == (Side.SELL, 303_000, 8_000)
        one.book(296_950, 297_050)
        one.say(one.only, OrderState.CANCELED)
        assert terms(one.only)[::2] == (Side.SELL, 8_000)


def vars_of(part: Any) -> dict[str, Any]:
    """Every attribute, parts inside; not functions."""
    return {
        name: vars_of(value) if isinstance(value, Saved) else value
        for name, value in vars(part).items()
        if not callable(value)
    }


# --- whatever happens

ORDERS: dict[str, tuple[dict[str, Any], str]] = {
    "stop-limit": ({"name": "stop-limit", "stop": "-20bps", "limit": "-40bps"}, "sell"),
    "trailing": ({"name": "trailing", "distance_bps": "30"}, "buy"),
    "oco": ({"name": "oco", "limit": "+20bps", "stop": "-20bps"}, "sell"),
    "oto": ({"name": "oto", "entry": "-5bps", "then": "+20bps"}, "buy"),
    "bracket": ({"name": "bracket", "entry": "-5bps", "target": "+20bps", "stop": "-20bps"}, "buy"),
    "bracket-short": ({"name": "bracket", "target": "-20bps", "trail_bps": "20"}, "sell"),
    "bracket-limit": (
        {"name": "bracket", "entry": "+5bps", "target": "-20bps", "stop": "+20bps", "stop_limit": "+60bps"},
        "sell",
    ),
}
acts = st.lists(
    st.tuples(
        st.sampled_from(
            [*["book"] * 5, "fill", "fill", "part", "accept", "cancel", "cancel", "reject", "expire", "tick", "stale",
             "restart"]
        ),
        st.integers(-1_500, 1_500),
        st.integers(0, 5),
    ),
    min_size=10,
    max_size=80,
)  # fmt: skip


def act(floor: Floor, what: str, by: int, which: int, at: int) -> int:
    """Let one thing happen; return where the mid is."""
    orders = floor.open
    order = orders[which % len(orders)] if orders else None
    match what:
        case "book":
            at = max(1_000, at + by)
            floor.book(at - 10, at + 10, after_s=0.3)
        case "tick":
            floor.tick()
        case "stale":
            floor.lose_book()
        case "restart":
            for each in orders:
                floor.say(each, OrderState.CANCELED)
            floor.tell(e.EngineRestarted(time_ns=floor.now_ns, epoch=floor.kernel.orders.epoch + 1))
        case _ if order is None:
            pass
        case "fill":
            floor.fill(order)
        case "part":
            floor.fill(order, max(1, order.open_lots // 3))
        case "accept":
            floor.say(order, OrderState.ACCEPTED)
        case "cancel":
            floor.say(order, OrderState.CANCELED)
        case "reject":
            floor.say(order, OrderState.REJECTED)
        case "expire":
            floor.say(order, OrderState.EXPIRED)
    return at


def check(floor: Floor) -> None:
    """What is done and what could still be done by what is open."""
    buys, sells = ([o for o in floor.kernel.orders.orders.values() if o.side is side] for side in Side)
    part, lots = floor.composite.part, 10_000
    first = Side.BUY if floor.strategy.settings.side == "buy" else Side.SELL
    entering, closing = (buys, sells) if first is Side.BUY else (sells, buys)
    filled = sum(o.filled_lots for o in entering)
    assert filled + sum(o.open_lots for o in entering) <= lots
    if isinstance(part, Oto):
        assert sum(o.filled_lots + o.open_lots for o in closing) <= filled
        assert (part.first.done, part.then.done) == (filled, sum(o.filled_lots for o in closing))
    else:
        assert closing == []
        assert part.done == filled
    if floor.composite.is_done:
        assert floor.open == []
        if isinstance(part, Oto):
            assert part.first.done == part.then.done


@pytest.mark.parametrize("name", ORDERS)
@settings(max_examples=40, deadline=None)
@given(acts=acts)
def test_nothing_is_done_twice_and_no_more_is_closed_than_entered(name: str, acts: list[tuple[str, int, int]]) -> None:
    order, side = ORDERS[name]
    floor = Floor(order, side=side)
    at = 300_000
    floor.book(at - 10, at + 10)
    for what, by, which in acts:
        at = act(floor, what, by, which, at)
        check(floor)
    again = Floor(order, side=side)
    again.tell(*floor.told)
    assert again.kernel.digest == floor.kernel.digest
    assert again.strategy.state() == floor.strategy.state()
    fresh = CompositeOrder(settings_of(order, side=side))
    fresh.restore(floor.strategy.state())
    assert vars_of(fresh.order) == vars_of(floor.composite)


@pytest.mark.parametrize("seed", [7, 8, 9])
@pytest.mark.parametrize("name", ORDERS)
def test_in_a_backtest_it_ends_flat_or_done(name: str, seed: int) -> None:
    order, side = ORDERS[name]
    # A hundredth of the distances: the synthetic market moves little.
    near = {key: _NUMBER.sub(lambda found: f"{float(found[0]) / 100:.4f}", value) if key != "name" else value
            for key, value in order.items()}  # fmt: skip
    finished = run({"kind": "composite-order", "side": side, "qty": "0.5", "order": near}, seed=seed)
    [strategy] = finished.strategies
    lots = {way: int(finished.fills["size"][finished.fills["side"] == way].sum()) for way in (0, 1)}
    entered, closed = (lots[0], lots[1]) if side == "buy" else (lots[1], lots[0])
    assert closed <= entered <= 500
    if strategy.order.is_done:
        assert closed == (entered if isinstance(strategy.order.part, Oto) else 0)


@pytest.mark.parametrize(
    ("order", "side", "says"),
    [
        ({**BRACKET, "trail_bps": "10"}, "buy", "either"),
        ({"name": "bracket", "target": "+1bps"}, "buy", "either"),
        ({**BRACKET, "stop": "+100bps"}, "buy", "stop"),
        ({**BRACKET, "target": "-100bps"}, "buy", "target"),
        ({"name": "oco", "limit": "-1bps", "stop": "-1bps"}, "sell", "limit"),
        ({"name": "stop-limit", "stop": "soon", "limit": "1"}, "sell", "pattern"),
    ],
)
def test_settings_that_would_be_done_at_once_are_refused(order: dict[str, Any], side: str, says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        settings_of(order, side=side)
