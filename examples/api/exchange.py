"""An exchange makes its own market: looks and fees, a strategy made from YAML, a kill that two people let go.

capstan up --demo --data-dir var/api      (in another terminal)
python examples/api/exchange.py var/api
"""

from __future__ import annotations

import time
from decimal import Decimal

from client import Client, once

LOOKS = {"name": "Example Exchange", "primary": "#0b5fff", "accent": "#12b886", "background": "#f4f6fb"}
FEES = {
    "tiers": [
        {"volume_30d": "0", "maker_bps": "2", "taker_bps": "8"},
        {"volume_30d": "1000000", "maker_bps": "0", "taker_bps": "5"},
    ],
    "withdrawals": {"USDC": "1"},
}

MAKER = """
kind: avellaneda-stoikov
id: {name}
instrument: sandbox:BTCUSDC
order_qty: "0.1"
risk_aversion: "0.004"
arrival_decay: "0.3"
horizon_s: "15"
volatility_floor: "1"
spread_min_bps: "1"
requote_bps: "0.5"
inventory_max: "0.8"
"""


def main() -> None:
    ann, bea = Client.of("ann"), Client.of("bea")

    # The organisation is there since `capstan api bootstrap`; how it looks is public, for login pages.
    slug = ann.get("/v1/organisation")["slug"]
    ann.ask("PUT", "/v1/organisation/branding", LOOKS)
    # What clients pay is confirmed by a person, for exactly this request.
    fees = ann.ask("PUT", "/v1/organisation/fees", FEES, confirm=True)["fees"]
    print(f"{ann.get(f'/v1/branding/{slug}')['name']} charges {fees['tiers'][0]['taker_bps']} bps to take")

    # The market maker gets a portfolio of its own, with positions and a result apart from the rest. It quotes as soon
    # as it is made; the engine is not started again.
    mm = f"mm-{int(time.time())}"
    making = ann.post("/v1/portfolios", {"name": mm}, once=once())["id"]
    made = {"yaml": MAKER.format(name=mm), "portfolio": making, "reason": "our own market"}
    strategy = ann.post("/v1/strategies", made, once=once())
    print(f"made: {strategy['kind']} on {', '.join(strategy['instruments'])}")
    bid, ask = quotes(ann.until("orders", making, quotes))
    print(f"it quotes {bid} / {ask}")

    # A parameter changes between two events, or not at all; who changed it and why is in the journal.
    change = {"changes": {"risk_aversion": "0.008"}, "reason": "calm market"}
    print(f"changed: {ann.ask('PATCH', f'/v1/strategies/{mm}/parameters', change)['changed']}")
    versions = ann.get(f"/v1/strategies/{mm}/versions")["data"]
    print(f"it ran with {len(versions)} versions: {', '.join(version['reason'] for version in versions)}")

    # Pressing the kill switch waits for nobody. Releasing it takes two people.
    kill = bea.post("/v1/kills", {"target": "strategy", "name": mm, "reason": "quotes look wrong"})
    print(f"killed: {kill['engine']}")
    ann.until("orders", making, lambda orders: not orders)
    print("no quotes any more")
    kill = bea.post(f"/v1/kills/{kill['id']}/releases", {"reason": "feed mended"})
    assert kill["released_at"] is None, "one person's word does not release it"
    kill = ann.post(f"/v1/kills/{kill['id']}/releases", {"reason": "feed mended"})
    print(f"released by {' and '.join(kill['released_by'])}")
    bid, ask = quotes(ann.until("orders", making, quotes))
    print(f"it quotes again: {bid} / {ask}")

    # For good: its orders are cancelled, what it holds is sold.
    print(
        f"stopped: {ann.post(f'/v1/strategies/{mm}/stop', {'flatten': True, 'reason': 'end of the example'})['stage']}"
    )
    ann.until("orders", making, lambda orders: not orders)


def quotes(orders: dict[str, dict[str, str]]) -> tuple[Decimal, Decimal] | None:
    """Best bid and ask among open orders, once there are both. Orders that have ended are told once more."""
    prices: dict[str, list[Decimal]] = {"buy": [], "sell": []}
    for order in orders.values():
        if order["state"] in ("accepted", "partially_filled"):
            prices[order["side"]].append(Decimal(order["price"]))
    return (max(prices["buy"]), min(prices["sell"])) if all(prices.values()) else None


if __name__ == "__main__":
    main()
