"""The simulated venue against its plain twin and against what no venue can do: a million random operations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import capstan_native as native
import numpy as np
import pytest

from engine.records import COMMAND, EVENT, CommandKind, EventFlag, EventKind
from tests.reference.simulator import BUY, SELL, Contract, Rules, Simulator

OPERATIONS = 100_000
BATCH = 1_000
MID = 50_000

SPOT = Contract("spot", 100_000, 10_000, maker_fee=-1_000, taker_fee=40_003)
LINEAR = Contract("linear", 100_000, 10_000, maker_fee=20_001, taker_fee=50_000)
INVERSE = Contract("inverse", 0, 0, 100 * 10**8 * 10, 100 * 10**8, maker_fee=-2_500, taker_fee=50_000)


@dataclass(frozen=True)
class Case:
    """One market and its rules, said twice: to the twin and to the venue."""

    contract: Contract
    rules: Rules = field(default_factory=Rules)
    notional_min: int = 0

    def venue(self) -> native.SimulatedVenue:
        rules = self.rules
        instrument: dict[str, Any] = {
            "contract": self.contract.kind,
            "tick": "0.1",
            "lot": "1" if self.contract.kind == "inverse" else "0.001",
            "face": "100",
            "maker_fee": self.contract.maker_fee,
            "taker_fee": self.contract.taker_fee,
            "notional_min": self.notional_min,
        }
        settings: dict[str, Any] = {
            "queue": rules.queue,
            "fees": {"tiers": list(rules.tiers), "asset": rules.fee_asset, "other_price": rules.other_price},
            "impact": {
                "slippage_ticks": rules.slippage_ticks,
                "coefficient": rules.impact,
                "half_life_ns": rules.half_life_ns,
            },
            "open_max": rules.open_max,
        }
        if rules.limit:
            settings["limits"] = [{"window_ns": rules.limit[0], "max": rules.limit[1]}]
        if rules.liquidation:
            settings["liquidation"] = dict(zip(("collateral", "maintenance", "fee"), rules.liquidation, strict=True))
        return native.SimulatedVenue(settings, [instrument])


HOURLY = 3_600 * 10**9
TIERS = ((0, 30_000, 60_000), (10**12, 10_000, 40_000), (10**13, -5_000, 20_001))
CASES = {
    "spot, risk averse": Case(SPOT, Rules("risk_averse")),
    "spot, fee in what is received": Case(SPOT, Rules("power1", fee_asset="received")),
    "spot, fee in base": Case(SPOT, Rules("power2", fee_asset="base")),
    "spot, fee in a third asset, message limit": Case(
        SPOT, Rules("log", fee_asset="other", other_price=(7, 1_000), limit=(40 * 10**6, 8), open_max=25)
    ),
    "linear": Case(LINEAR, Rules("power1")),
    "linear, tiers by thirty days": Case(LINEAR, Rules("power3", tiers=TIERS)),
    "linear, slippage and fading impact": Case(
        LINEAR, Rules("power4", slippage_ticks=1, impact=700_000, half_life_ns=30 * 10**6)
    ),
    "linear, liquidation": Case(LINEAR, Rules("log", liquidation=(3 * 10**9, 1_000_000, 300_000))),
    "inverse": Case(INVERSE, Rules("power1")),
    "inverse, liquidation": Case(INVERSE, Rules("power2", liquidation=(3 * 10**8, 1_000_000, 300_000))),
}


class Market:
    """Random operations around a price that walks: mostly levels, then orders, then trades."""

    def __init__(self, seed: int, step_ns: int) -> None:
        self.random = np.random.default_rng(seed)
        self.step_ns, self.now_ns, self.mid, self.given = step_ns, 10**18, MID, 1

    def batch(self, size: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        draw = self.random
        self.mid += int(draw.integers(-3, 4))
        times = self.now_ns + self.step_ns * np.arange(1, size + 1)
        self.now_ns = int(times[-1])
        pick = draw.random(size)
        side = draw.integers(0, 2, size).astype("u1")
        away = np.where(draw.random(size) < 0.1, draw.integers(-4, 1, size), draw.integers(1, 12, size))
        price = np.where(side == BUY, self.mid - away, self.mid + away)
        lots = draw.integers(1, 60, size)

        is_event = pick < 0.65
        events = np.zeros(int(is_event.sum()), EVENT)
        events["time_exchange_ns"] = events["time_local_ns"] = times[is_event]
        kind = pick[is_event]
        is_trade = kind < 0.18
        events["kind"] = np.select(
            [is_trade, kind < 0.64, kind < 0.644, kind < 0.648],
            [EventKind.TRADE, EventKind.LEVEL, EventKind.MARK, EventKind.FUNDING],
            EventKind.CLEAR,
        )
        events["side"] = np.where(is_trade, 1 - side[is_event], side[is_event])
        events["price"] = price[is_event]
        empty = ~is_trade & (draw.random(len(events)) < 0.25)
        events["size"] = np.where(empty, 0, lots[is_event])
        events["aux"][:, 0] = draw.integers(-(10**9), 10**9, len(events))

        is_command = ~is_event
        count = int(is_command.sum())
        commands = np.zeros(count, COMMAND)
        commands["time_ns"] = times[is_command]
        kind = draw.random(count)
        places = kind < 0.55
        commands["kind"] = np.select(
            [places, kind < 0.7, kind < 0.998],
            [CommandKind.PLACE, CommandKind.AMEND, CommandKind.CANCEL],
            CommandKind.CANCEL_ALL,
        )
        newest = self.given + np.cumsum(places)
        self.given = int(newest[-1]) if count else self.given
        older = np.maximum(newest - draw.integers(0, 40, count), 1)
        commands["client_id"] = np.where(places & (draw.random(count) < 0.995), newest, older)
        commands["side"] = side[is_command]
        commands["price"] = price[is_command]
        commands["size"] = np.where(draw.random(count) < 0.995, lots[is_command], 0)
        commands["order_type"] = draw.choice([0, 1, 2], count, p=[0.6, 0.3, 0.1])
        commands["time_in_force"] = draw.choice([0, 1, 2], count, p=[0.8, 0.1, 0.1])
        commands["reduce_only"] = draw.random(count) < 0.1
        return events, commands


def _twin_run(twin: Simulator, events: np.ndarray[Any, Any], commands: np.ndarray[Any, Any]) -> None:
    at, rows = 0, events.tolist()
    for command in commands.tolist():
        while at < len(rows) and rows[at][0] <= command[1]:
            twin.feed(rows[at])
            at += 1
        twin.command(command)
    for row in rows[at:]:
        twin.feed(row)


FIELDS = ("time_exchange_ns", "kind", "side", "flags", "price", "size", "sequence")


def _rows(reports: np.ndarray[Any, Any]) -> list[tuple[int, ...]]:
    return [
        (*fields, *aux) for *fields, aux in zip(*(reports[name].tolist() for name in (*FIELDS, "aux")), strict=True)
    ]


@pytest.mark.parametrize("name", CASES)
def test_venue_and_plain_twin_agree_on_every_report_place_and_sum(name: str) -> None:
    case = CASES[name]
    twin, venue = Simulator(case.contract, case.rules), case.venue()
    market = Market(list(CASES).index(name), HOURLY // 500 if case.rules.tiers else 10**6)
    fills = 0
    for _ in range(OPERATIONS // BATCH):
        events, commands = market.batch(BATCH)
        twin.reports.clear()
        _twin_run(twin, events, commands)
        told = np.frombuffer(venue.run(events.tobytes(), commands.tobytes()), EVENT)
        assert _rows(told) == twin.reports
        expected = [(o.id, o.side, o.price, o.size, o.filled, o.ahead) for side in twin.own for o in side]
        assert venue.orders(0) == expected
        account = twin.account
        assert venue.account(0) == (account.position, account.cash, account.fees, account.funding)
        fills += int((told["kind"] == EventKind.FILL).sum())
    assert fills > OPERATIONS // 100, "a market in which hardly anything trades shows nothing"


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.rules.impact])
def test_nothing_is_sold_twice_and_every_sum_is_exact(name: str) -> None:
    """Judged from what goes in and comes out, without the twin's help."""
    case, market = CASES[name], Market(1_000 + list(CASES).index(name), 10**6)
    venue, book = case.venue(), Conservation(case.contract)
    for _ in range(30):
        events, commands = market.batch(BATCH)
        told = np.frombuffer(venue.run(events.tobytes(), commands.tobytes()), EVENT)
        book.check(events, commands, told)
        position, cash, fees, _ = venue.account(0) or (0, 0, [], 0)
        assert (position, cash, fees) == (book.position, book.cash, book.fees)


class Conservation:
    """Shown, traded and ordered lots, and what of each our trades may have used."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.shown: list[dict[int, int]] = [{}, {}]
        self.left: list[dict[int, int]] = [{}, {}]
        self.ordered: dict[int, int] = {}
        self.filled: dict[int, int] = {}
        self.position = self.cash = 0
        self.fees = [0, 0, 0]

    def check(self, events: np.ndarray[Any, Any], commands: np.ndarray[Any, Any], told: np.ndarray[Any, Any]) -> None:
        fills: dict[int, list[tuple[Any, ...]]] = {}
        for row in told[told["kind"] == EventKind.FILL].tolist():
            fills.setdefault(row[0], []).append(row)
        moments = sorted(
            [(row[0], 0, row) for row in events.tolist()] + [(row[1], 1, row) for row in commands.tolist()]
        )
        for time, is_command, row in moments:
            ours = fills.pop(time, [])
            if is_command:
                self._command(row, ours)
            else:
                self._event(row, ours)
            for fill in ours:
                self._book(fill)
        assert not fills, "a trade at a time when nothing happened"

    def _event(self, row: tuple[Any, ...], ours: list[tuple[Any, ...]]) -> None:
        _, _, _, kind, side, _, price, size, _, _ = row
        if kind == EventKind.LEVEL:
            if self.shown[side].get(price, 0) != size:
                self.left[side][price] = size
            self.shown[side][price] = size
            self.left[side][price] = self.left[side].get(price, 0) - sum(fill[7] for fill in ours)
            assert self.left[side][price] >= 0, "more than the quote that came"
        elif kind == EventKind.TRADE:
            assert sum(fill[7] for fill in ours) <= size, "more than was traded"
            # Our bids are hit by sells: nothing below them may have traded without them.
            assert all(fill[6] >= price if side == SELL else fill[6] <= price for fill in ours)
        elif kind == EventKind.CLEAR:
            self.shown[side].clear()
            self.left[side].clear()
        assert all(fill[5] & EventFlag.MAKER or int(fill[9][0]) == 0 for fill in ours)

    def _command(self, row: tuple[Any, ...], ours: list[tuple[Any, ...]]) -> None:
        if row[5] in (CommandKind.PLACE, CommandKind.AMEND):
            self.ordered[row[0]] = max(self.ordered.get(row[0], 0), row[3])
        for fill in ours:
            other = fill[4] ^ 1
            self.left[other][fill[6]] -= fill[7]
            assert self.left[other][fill[6]] >= 0, "more than was shown"
            assert not fill[5] & EventFlag.MAKER

    def _book(self, fill: tuple[Any, ...]) -> None:
        _, _, _, _, side, flags, price, lots, _, (order, fee) = fill
        if order:
            self.filled[order] = self.filled.get(order, 0) + lots
            assert self.filled[order] <= self.ordered[order], "more than was ordered"
        self.position += lots if side == BUY else -lots
        self.cash += self.contract.flow(side, lots, price)
        self.fees[1 if flags & EventFlag.FEE_BASE else 2 if flags & EventFlag.FEE_OTHER else 0] += int(fee)


def test_settings_that_make_no_sense_are_refused() -> None:
    for settings in (
        {"queue": "hopeful"},
        {"queue": "power9"},
        {"speed": 3},
        {"latency": {"place": (-1, 0)}},
        {"latency": {"place": {"recorded": []}}},
        {"fees": {"tiers": [(5, 1, 1)]}},
        {"limits": [{"max": 3}]},
        {"positions": [(7, 1)]},
    ):
        with pytest.raises(ValueError, match=r"."):
            native.SimulatedVenue(settings, [{}])
    with pytest.raises(ValueError, match="finer"):
        native.SimulatedVenue({}, [{"lot": "0.1", "base_decimals": 0}])


def test_a_live_feed_drives_the_venue_event_by_event() -> None:
    """As paper trading does: commands arrive when their latency is over, not when the next event comes."""
    venue = native.SimulatedVenue({"latency": {"place": (100, 50)}}, [{"contract": "linear"}])
    level = np.zeros(1, EVENT)
    level["kind"], level["side"], level["price"], level["size"] = EventKind.LEVEL, SELL, 10, 5
    venue.feed(level.tobytes())
    order = np.zeros(1, COMMAND)
    order["kind"], order["client_id"], order["price"], order["size"] = CommandKind.PLACE, 1, 10, 3
    assert venue.submit(order.tobytes(), 1_000) == 1
    assert venue.next_ns() == 1_100
    venue.advance(1_099)
    assert venue.reports(10**9) == b""
    venue.advance(1_100)
    assert venue.next_ns() == 1_150
    assert venue.reports(1_149) == b""
    told = np.frombuffer(venue.reports(1_150), EVENT)
    assert told["kind"].tolist() == [EventKind.REPORT, EventKind.FILL]
    assert told["time_local_ns"].tolist() == [1_150, 1_150]
    assert venue.next_ns() is None
