"""One story per order, whatever the order in which it is told."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from cex.reports import Reports
from domain import Fill, OrderState, Side
from domain.events import Event, FillReported, OrderReported

ORDER, INSTRUMENT = "o-1", "v:AB"
S = OrderState


def fill(trade: int, lots: int, order: str = ORDER) -> Fill:
    return Fill(
        venue="v",
        symbol="AB",
        trade_id=str(trade),
        client_order_id=order,
        venue_order_id="77",
        side=Side.BUY,
        price_ticks=100,
        qty_lots=lots,
        quote_raw=1,
        fee_asset="B",
        fee_raw=0,
        is_maker=True,
        venue_time_ns=trade,
    )


class Story:
    def __init__(self) -> None:
        self.events: list[Event] = []
        self.held: list[str] = []
        self.reports = Reports(self.events.append, self.held.append)
        self.reports.register(ORDER, INSTRUMENT, 0).is_followed = True

    def state(self, state: OrderState, lots: int = 0, *, repeat: bool = False) -> None:
        self.reports.state(ORDER, INSTRUMENT, state, lots, 0, venue_order_id="77", repeat=repeat)

    def fill(self, trade: int, lots: int) -> bool:
        return self.reports.fill(INSTRUMENT, fill(trade, lots), 0)

    @property
    def told(self) -> list[str]:
        return [
            f"fill {e.fill.trade_id}" if isinstance(e, FillReported) else e.state.value
            for e in self.events
            if isinstance(e, FillReported | OrderReported)
        ]


def test_end_waits_for_its_trades() -> None:
    story = Story()
    story.state(S.ACCEPTED)
    story.state(S.EXPIRED, 5)
    assert story.told == ["accepted"]
    assert story.held == [ORDER]
    story.fill(1, 2)
    assert story.told == ["accepted", "fill 1"]
    story.fill(2, 3)
    assert story.told == ["accepted", "fill 1", "fill 2", "expired"]


def test_trade_is_told_once() -> None:
    story = Story()
    assert story.fill(1, 2)
    assert not story.fill(1, 2)
    assert story.told == ["fill 1"]


def test_first_end_stays() -> None:
    story = Story()
    story.state(S.CANCELED)
    story.state(S.REJECTED)
    story.state(S.ACCEPTED)
    assert story.told == ["canceled"]
    story.state(S.REJECTED, repeat=True)
    assert story.told == ["canceled", "canceled"]


def test_late_trade_is_told_after_the_end() -> None:
    story = Story()
    story.state(S.CANCELED)
    assert story.fill(9, 1)
    assert story.told == ["canceled", "fill 9"]


def test_trades_missing_from_a_living_order_are_noticed() -> None:
    story = Story()
    story.state(S.ACCEPTED, 4)
    assert story.held == [ORDER]


def test_end_of_somebody_elses_order_is_told_at_once_with_its_size() -> None:
    story = Story()
    story.reports.state("theirs", INSTRUMENT, S.CANCELED, 7, 0)
    [report] = story.events
    assert isinstance(report, OrderReported)
    assert (report.state, report.filled_lots) == (S.CANCELED, 7)
    assert story.held == []


def test_orders_are_found_by_the_venues_id() -> None:
    story = Story()
    story.state(S.ACCEPTED)
    assert story.reports.name(INSTRUMENT, "77") == ORDER


@given(st.lists(st.integers(1, 9), max_size=6), st.sampled_from([S.CANCELED, S.EXPIRED, S.FILLED]), st.integers(0, 999))
def test_any_telling_gives_every_trade_once_and_the_end_last(sizes: list[int], end: OrderState, seed: int) -> None:
    rng = random.Random(seed)
    story, done, total = Story(), 0, sum(sizes)
    tellings: list[tuple[str, int, int]] = [("state", 0, 0)]
    for trade, lots in enumerate(sizes, 1):
        done += lots
        tellings += [("fill", trade, lots), ("state", done, 0)]
    tellings += [("end", total, 0)]
    tellings += [rng.choice(tellings) for _ in range(4)]
    rng.shuffle(tellings)
    for kind, a, b in tellings:
        if kind == "fill":
            story.fill(a, b)
        else:
            story.state(end if kind == "end" else S.ACCEPTED, a)
    told = [entry for entry in story.told if entry != "accepted"]
    assert Counter(told) == Counter([f"fill {n}" for n in range(1, len(sizes) + 1)] + [end.value])
    assert told[-1] == end.value
