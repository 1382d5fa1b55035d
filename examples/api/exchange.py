"""An exchange makes its own market: looks and fees, a strategy that quotes, a kill that two people let go.

capstan up --demo --data-dir var/api      (in another terminal)
python examples/api/exchange.py var/api
"""

from __future__ import annotations

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


def main() -> None:
    ann, bea = Client.of("ann"), Client.of("bea")

    # The organisation is there since `capstan api bootstrap`; how it looks is public, for login pages.
    slug = ann.get("/v1/organisation")["slug"]
    ann.ask("PUT", "/v1/organisation/branding", LOOKS)
    # What clients pay is confirmed by a person, for exactly this request.
    fees = ann.ask("PUT", "/v1/organisation/fees", FEES, confirm=True)["fees"]
    print(f"{ann.get(f'/v1/branding/{slug}')['name']} charges {fees['tiers'][0]['taker_bps']} bps to take")

    # The market maker gets a portfolio of its own, with positions and a result apart from the rest.
    making = ann.post("/v1/portfolios", {"name": f"market making {once()[:4]}"}, once=once())["id"]
    ann.ask("PUT", "/v1/strategies/mm/portfolio", {"portfolio": making})
    strategy = ann.get("/v1/strategies/mm")
    print(f"mm is a {strategy['kind']} on {', '.join(strategy['instruments'])}: {strategy['stage']}")
    bid, ask = quotes(ann.until("orders", making, quotes))
    print(f"it quotes {bid} / {ask}")

    # A parameter changes between two events, or not at all; who changed it and why is in the journal.
    change = {"changes": {"risk_aversion": "0.008"}, "reason": "calm market"}
    print(f"changed: {ann.ask('PATCH', '/v1/strategies/mm/parameters', change)['changed']}")

    # Pressing the kill switch waits for nobody. Releasing it takes two people.
    kill = bea.post("/v1/kills", {"target": "strategy", "name": "mm", "reason": "quotes look wrong"})
    print(f"killed: {kill['engine']}")
    ann.until("orders", making, lambda orders: not orders)
    print("no quotes any more")
    kill = bea.post(f"/v1/kills/{kill['id']}/releases", {"reason": "feed mended"})
    assert kill["released_at"] is None, "one person's word does not release it"
    kill = ann.post(f"/v1/kills/{kill['id']}/releases", {"reason": "feed mended"})
    print(f"released by {' and '.join(kill['released_by'])}")
    bid, ask = quotes(ann.until("orders", making, quotes))
    print(f"it quotes again: {bid} / {ask}")


def quotes(orders: dict[str, dict[str, str]]) -> tuple[Decimal, Decimal] | None:
    """Best bid and ask among open orders, once there are both. Orders that have ended are told once more."""
    prices: dict[str, list[Decimal]] = {"buy": [], "sell": []}
    for order in orders.values():
        if order["state"] in ("accepted", "partially_filled"):
            prices[order["side"]].append(Decimal(order["price"]))
    return (max(prices["buy"]), min(prices["sell"])) if all(prices.values()) else None


if __name__ == "__main__":
    main()
