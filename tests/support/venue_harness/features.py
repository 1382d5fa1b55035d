"""What a venue has, from ccxt's own table, its source, and what the harness saw."""

from __future__ import annotations

import inspect
import re
from typing import Any

from cex.connection import BINANCE_PROTOCOL
from cex.venues import client_id_rules, profile_of, profiles
from cex.venues.matrix import Way
from tests.support.venue_harness.oddities import oddity

_NAMES = re.compile(r"'(clientOrderId|client_id|newClientOrderId)'")
_READ = re.compile(r"'clientOrderId': (?!None)")


def features(exchange: Any, row: dict[str, Any]) -> dict[str, Way]:
    """Name the way of each feature, as `cex.venues.matrix.FILLED` has them."""
    has, is_native = exchange.has, exchange.id in BINANCE_PROTOCOL
    cancels = bool(row["cancel"].get("order_id") or row["cancel"].get("client_order_id"))

    def streamed(watch: str, fetch: str) -> Way:
        if is_native:
            return "native"
        if has.get(watch) is True:
            return "ccxt.pro"
        return "polled" if has.get(fetch) else "none"

    return {
        "trades": "native" if is_native else "ccxt.pro" if has.get("watchTrades") is True else "none",
        "book": streamed("watchOrderBook", "fetchOrderBook"),
        "orders": streamed("watchOrders", "fetchOpenOrders") if has.get("fetchOpenOrders") else "none",
        "fills": streamed("watchMyTrades", "fetchMyTrades") if has.get("fetchMyTrades") else "none",
        "balance": "polled" if has.get("fetchBalance") else "none",
        "cancel_all": "none" if not cancels else "native" if has.get("cancelAllOrders") is True else "emulated",
        "cancel_all_after": "native" if has.get("cancelAllOrdersAfter") is True else "none",
        "client_order_id": "native" if _carries_our_id(exchange, row) else "none",
        "amend": "native" if has.get("editOrder") is True else "emulated",
    }


def why_not(venue: str, ways: dict[str, Way], row: dict[str, Any]) -> str:
    """Say why the adapter must not trade there; empty when it may."""
    order = row["order"]
    seen = all(order.get(what) for what in ("symbol", "side", "size", "price", "signed"))
    reasons = (
        (oddity(venue).why_not != "", oddity(venue).why_not),
        (not seen, "no order was seen to leave in full"),
        (ways["fills"] == "none", "it lists no trades of an account, so fills could not be proven"),
        (ways["orders"] == "none", "it lists no open orders"),
        (ways["balance"] == "none", "it tells no balances"),
        (ways["cancel_all"] == "none", "an order cannot be cancelled by its id"),
        (ways["client_order_id"] == "none", "it takes no order id of ours: a lost answer could not be resolved"),
    )
    return next((words for applies, words in reasons if applies), "")


def _carries_our_id(exchange: Any, row: dict[str, Any]) -> bool:
    """Whether our id was in the order, by a name the venue knows, and is read back from its answers.

    ccxt hands unknown parameters on, so `clientOrderId` in a request proves nothing: ccxt's own code, or a rule of
    ours, must know it.
    """
    venue, rule = exchange.id, profile_of(exchange.id).client_order_id
    is_ruled = venue in client_id_rules() or venue in profiles()
    sends = bool(row["order"].get("client_order_id")) and (is_ruled or bool(_NAMES.search(_source(exchange, "create"))))
    return sends and (bool(rule.read) or bool(_READ.search(_source(exchange, "parse"))))


def _source(exchange: Any, verb: str) -> str:
    """The code, without its texts and comments, of the methods that make or read orders."""
    found = []
    for kind in type(exchange).__mro__:
        if kind.__module__.startswith("ccxt") and not kind.__module__.endswith("base.exchange"):
            for name, method in vars(kind).items():
                if name.startswith(verb) and "order" in name and inspect.isfunction(method):
                    text = re.sub(r'""".*?"""', "", inspect.getsource(method), flags=re.DOTALL)
                    found.append("\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#")))
    return "\n".join(found)
