"""Smart order routing: one order split across exchanges, pools and dealers so that it costs the least, all in.

    book | pool | dealer's quote ──> Route (marginal prices, all in) ──> split ──> units for each route

`route.py` is what a place to trade looks like to the solver, `places.py` makes routes of books, pools and dealers'
quotes (the fields of a FIX Quote), `charges.py` and `history.py` say what latency and rejections are worth, `split.py`
finds the split and proves how close to the best it is, `order.py` does all of it. Costs are integers, and nothing is
rounded but where a pool's contract rounds.
"""

from engine.routing.charges import Charges
from engine.routing.history import RouteHistory
from engine.routing.order import Routed, route_order
from engine.routing.places import PoolPlace, book_route, pool_route, quote_route
from engine.routing.route import COST_DECIMALS, PRICE_DECIMALS, SHARE, UNIT_DECIMALS, Route, cost_quote
from engine.routing.split import Allocation, best_single, split

__all__ = [
    "COST_DECIMALS",
    "PRICE_DECIMALS",
    "SHARE",
    "UNIT_DECIMALS",
    "Allocation",
    "Charges",
    "PoolPlace",
    "Route",
    "RouteHistory",
    "Routed",
    "best_single",
    "book_route",
    "cost_quote",
    "pool_route",
    "quote_route",
    "route_order",
    "split",
]
