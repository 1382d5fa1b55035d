"""A desk trades by key: reads the market, places orders, follows them on the stream, cancels, reads its result.

capstan up --demo --data-dir var/api      (in another terminal)
python examples/api/desk.py var/api
"""

from __future__ import annotations

import time
from decimal import Decimal

from client import Client, once

INSTRUMENT = "sandbox:ETHUSDC"


def main() -> None:
    desk = Client.of("dora")
    [portfolio] = desk.get("/v1/portfolios")["data"]
    print(f"portfolio {portfolio['name']} with the strategies {', '.join(portfolio['strategies'])}")

    # A book is valid or not there to trade on; levels are [price, size], best first, all decimal text.
    book = desk.until("books", INSTRUMENT, lambda book: book.get("is_valid") and book["bids"] and book["asks"])
    bid, ask = Decimal(book["bids"][0][0]), Decimal(book["asks"][0][0])
    print(f"{INSTRUMENT}: {bid} / {ask}")

    # An order far below the market rests. The same request again is the same order, whatever happened in between.
    resting = {"strategy": "desk", "instrument": INSTRUMENT, "side": "buy", "qty": "0.5", "price": str(bid - 50)}
    key = once()
    placed = desk.post("/v1/orders?wait_ms=10000", resting, once=key)
    again = desk.post("/v1/orders?wait_ms=10000", resting, once=key)
    assert again["id"] == placed["id"]
    print(f"placed {placed['id']}: {placed['state']}")

    # The stream has it by the id under which the venue knows it.
    name = placed["client_order_id"]
    orders = desk.until("orders", portfolio["id"], lambda orders: name in orders)
    print(f"on the stream: {orders[name]['side']} {orders[name]['qty']} at {orders[name]['price']}")
    gone = desk.ask("DELETE", f"/v1/orders/{placed['id']}?wait_ms=10000")
    print(f"cancelled: {gone['state']}")

    # A market order takes what there is within the strategy's reach of the touch, and ends.
    mine = f"desk/{INSTRUMENT}"
    before = next((p["qty"] for p in desk.get("/v1/positions")["data"] if p["strategy"] == "desk"), "0")
    wanted = {"strategy": "desk", "instrument": INSTRUMENT, "side": "buy", "type": "market", "qty": "0.2"}
    taken = desk.post("/v1/orders?wait_ms=10000", wanted, once=once())
    while taken["state"] in ("pending", "accepted", "partially_filled"):
        time.sleep(0.1)
        taken = desk.get(f"/v1/orders/{taken['id']}")
    print(f"bought {taken['filled']}: {taken['state']}")

    name, after = taken["client_order_id"], Decimal(before) + Decimal(taken["filled"])
    desk.until("fills", portfolio["id"], lambda fills: any(f["client_order_id"] == name for f in fills.values()))
    held = desk.until("positions", portfolio["id"], lambda held: mine in held and Decimal(held[mine]["qty"]) == after)
    result = desk.until("pnl", portfolio["id"], lambda results: "strategy:desk" in results)["strategy:desk"]
    print(f"holds {held[mine]['qty']} at {held[mine]['average_price']}, result {result['result']}")


if __name__ == "__main__":
    main()
