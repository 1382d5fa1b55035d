"""hftbacktest's side: ROIVectorMarketDepth, its fastest documented book, and strategies compiled by numba.

No partial fills: `partial_fill_exchange` of 2.4.4 stops with an error in the middle of runs like this one (its issue
301).
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from hftbacktest import BUY, GTX, LIMIT, BacktestAsset, ROIVectorMarketDepthBacktest, __version__
from hftbacktest.data import correct_event_order, validate_event_order
from hftbacktest.types import (
    BUY_EVENT,
    DEPTH_CLEAR_EVENT,
    DEPTH_EVENT,
    DEPTH_SNAPSHOT_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    event_dtype,
)
from numba import njit

from bench.peers.child import Feed, Stopwatch, serve

_LEVEL, _CLEAR, _TRADE = 1, 2, 3
_SNAPSHOT = 2
_FOREVER = 10**15
_DUST = 1e-9
_REACH = 0.05
"""The book's region: this far around the first trade; rows outside are dropped by it, which is its way to be fast."""


def convert(feed: Feed) -> np.ndarray:
    """Turn the records into its rows, in its order for two timelines."""
    records = feed.records
    rows = np.zeros(len(records), event_dtype)
    kind = np.select(
        [records["kind"] == _TRADE, records["kind"] == _CLEAR, records["flags"] & _SNAPSHOT != 0],
        [TRADE_EVENT, DEPTH_CLEAR_EVENT, DEPTH_SNAPSHOT_EVENT],
        DEPTH_EVENT,
    )
    side = np.select([records["side"] == 0, records["side"] == 1], [BUY_EVENT, SELL_EVENT], 0)
    rows["ev"] = kind | side
    rows["exch_ts"], rows["local_ts"] = records["time_exchange_ns"], records["time_local_ns"]
    rows["px"] = records["price"] / round(1 / feed.tick)
    rows["qty"] = records["size"] / round(1 / feed.lot)
    by_exchange, by_local = (np.argsort(rows[name], kind="mergesort") for name in ("exch_ts", "local_ts"))
    rows = correct_event_order(rows, by_exchange, by_local)
    validate_event_order(rows)
    return rows


def backtest(feed: Feed, parameters: dict[str, Any]) -> Any:
    rows = feed.once("rows", lambda: convert(feed))
    trades = feed.records["price"][feed.records["kind"] == _TRADE]
    middle = float(trades[0]) * feed.tick
    asset = (
        BacktestAsset()
        .data([rows])
        .linear_asset(1.0)
        .constant_order_latency(parameters["latency_ns"], parameters["latency_ns"])
        .power_prob_queue_model3(3.0)
        .no_partial_fill_exchange()
        .trading_value_fee_model(parameters["maker_fee"], parameters["taker_fee"])
        .tick_size(feed.tick)
        .lot_size(feed.lot)
        .roi_lb(middle * (1 - _REACH))
        .roi_ub(middle * (1 + _REACH))
        .last_trades_capacity(0)
    )
    return ROIVectorMarketDepthBacktest([asset])


@njit
def _replay(hbt):
    while hbt.elapse(_FOREVER) == 0:
        pass
    depth = hbt.depth(0)
    return depth.best_bid_tick, depth.best_ask_tick


@njit
def _callbacks(hbt):
    """Wake on every row of the feed and read the touch."""
    wakes, touch = 0, 0
    while True:
        code = hbt.wait_next_feed(False, _FOREVER)
        if code != 2:
            break
        depth = hbt.depth(0)
        touch += depth.best_bid_tick + depth.best_ask_tick
        wakes += 1
    return wakes, touch


@njit
def _make_market(hbt, interval_ns, size, position_max, tick):
    """One bid and one ask a tick behind the touch, replaced when the target moves."""
    order_id, actions, due_ns = 1, 0, 0
    while True:
        code = hbt.wait_next_feed(False, _FOREVER)
        if code != 2:
            break
        now_ns = hbt.current_timestamp
        if now_ns < due_ns:
            continue
        due_ns = (now_ns // interval_ns + 1) * interval_ns
        hbt.clear_inactive_orders(0)
        depth = hbt.depth(0)
        bid, ask = depth.best_bid_tick - 1, depth.best_ask_tick + 1
        position = hbt.position(0)
        wants_bid, wants_ask = position < position_max - _DUST, position > _DUST - position_max
        orders = hbt.orders(0).values()
        while orders.has_next():
            order = orders.get()
            if order.side == BUY:
                if wants_bid and order.price_tick == bid:
                    wants_bid = False
                    continue
            elif wants_ask and order.price_tick == ask:
                wants_ask = False
                continue
            if order.cancellable:
                hbt.cancel(0, order.order_id, False)
                actions += 1
        if wants_bid:
            hbt.submit_buy_order(0, order_id, bid * tick, size, GTX, LIMIT, False)
            order_id += 1
            actions += 1
        if wants_ask:
            hbt.submit_sell_order(0, order_id, ask * tick, size, GTX, LIMIT, False)
            order_id += 1
            actions += 1
    return actions


def replay(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    hbt = backtest(feed, parameters)
    watch.start()
    touch = _replay(hbt)
    watch.stop()
    hbt.close()
    return {"rows": len(feed.records), "touch": list(touch)}


def callbacks(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    hbt = backtest(feed, parameters)
    watch.start()
    wakes, _ = _callbacks(hbt)
    watch.stop()
    hbt.close()
    return {"rows": len(feed.records), "wakes": wakes}


def make_market(feed: Feed, parameters: dict[str, Any], watch: Stopwatch) -> dict[str, Any]:
    hbt = backtest(feed, parameters)
    size, most = parameters["size"] * feed.lot, parameters["position_max"] * feed.lot
    watch.start()
    actions = _make_market(hbt, parameters["interval_ns"], size, most, feed.tick)
    watch.stop()
    values = hbt.state_values(0)
    answer = {"rows": len(feed.records), "actions": actions, "fills": values.num_trades}
    answer["position"] = round(values.position / feed.lot)
    hbt.close()
    return answer


if __name__ == "__main__":
    serve(
        {"hftbacktest": __version__, "numba": numba.__version__, "numpy": np.__version__},
        {"replay": replay, "callbacks": callbacks, "make_market": make_market},
    )
