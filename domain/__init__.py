"""Values, ids, instruments, orders, events, errors. Pure: imports nothing of ours and does no I/O."""

from domain.amounts import Amount, parse_units
from domain.assets import Asset, native_asset, token_asset, venue_asset
from domain.errors import (
    InputError,
    InvariantError,
    OrderRejected,
    OutcomeUnknown,
    PlatformError,
    Refused,
    VenueError,
    VenueUnavailable,
)
from domain.ids import Address, BlockNumber, ChainId, ClientOrderId, IntentId, PoolId, StrategyId, VenueId, Wei
from domain.instruments import Instrument
from domain.orders import Fill, Order, OrderState, OrderType, Side, TimeInForce

__all__ = [
    "Address",
    "Amount",
    "Asset",
    "BlockNumber",
    "ChainId",
    "ClientOrderId",
    "Fill",
    "InputError",
    "Instrument",
    "IntentId",
    "InvariantError",
    "Order",
    "OrderRejected",
    "OrderState",
    "OrderType",
    "OutcomeUnknown",
    "PlatformError",
    "PoolId",
    "Refused",
    "Side",
    "StrategyId",
    "TimeInForce",
    "VenueError",
    "VenueId",
    "VenueUnavailable",
    "Wei",
    "native_asset",
    "parse_units",
    "token_asset",
    "venue_asset",
]
