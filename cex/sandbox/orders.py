"""Orders and trades as the exchange keeps them, and the events it emits about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

import capstan_native as native

if TYPE_CHECKING:
    from cex.sandbox.accounts import Account
    from cex.sandbox.config import SymbolSpec

SIDES: Final = ("BUY", "SELL")
"""By the matching engine's side codes."""
TYPE_CODES: Final = {"LIMIT": native.LIMIT, "LIMIT_MAKER": native.LIMIT_MAKER, "MARKET": native.MARKET}
TIME_IN_FORCE_CODES: Final = {"GTC": native.GTC, "IOC": native.IOC, "FOK": native.FOK}
PREVENTION_CODES: Final = {
    "NONE": native.STP_NONE,
    "EXPIRE_MAKER": native.STP_EXPIRE_MAKER,
    "EXPIRE_TAKER": native.STP_EXPIRE_TAKER,
    "EXPIRE_BOTH": native.STP_EXPIRE_BOTH,
}
DEFAULT_PREVENTION: Final = "EXPIRE_MAKER"


class Status(StrEnum):
    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    """Accepted first, and thrown out afterwards: by a fault only."""
    EXPIRED = "EXPIRED"
    EXPIRED_IN_MATCH = "EXPIRED_IN_MATCH"
    """Ended by self-trade prevention."""

    @property
    def is_open(self) -> bool:
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


@dataclass(frozen=True, slots=True)
class NewOrder:
    """An order as asked for, in raw units of 1e-8; not yet checked against filters or balances."""

    side: int
    type: str
    time_in_force: str
    price_raw: int = 0
    qty_raw: int = 0
    quote_qty_raw: int = 0
    """The budget of a market order given by value; then `qty_raw` is 0."""
    client_order_id: str = ""
    self_trade_prevention: str = DEFAULT_PREVENTION


@dataclass(frozen=True, slots=True)
class Trade:
    """One side of an execution."""

    id: int
    symbol: SymbolSpec
    order_id: int
    price: int
    lots: int
    quote_raw: int
    fee_raw: int
    fee_asset: str
    time_ms: int
    is_buyer: bool
    is_maker: bool


@dataclass(slots=True)
class Order:
    """An order the exchange accepted. Prices in ticks, sizes in lots, values in 1e-8."""

    id: int
    account: Account
    symbol: SymbolSpec
    client_order_id: str
    side: int
    type: str
    time_in_force: str
    self_trade_prevention: str
    price: int
    lots: int
    quote_budget_raw: int
    created_ms: int
    updated_ms: int
    status: Status = Status.NEW
    filled_lots: int = 0
    quote_filled_raw: int = 0
    is_cut_short: bool = False
    """A budget that bought `lots`, but then ran out of book or met an order of its own account."""
    queue_number: int = 0
    """Counts when orders began to wait: at one price, the lower number trades first."""
    trades: list[Trade] = field(default_factory=list)

    @property
    def open_lots(self) -> int:
        return self.lots - self.filled_lots

    @property
    def reserves(self) -> bool:
        """Whether it locks balance: all but market orders, which are over before anything else happens."""
        return self.type != "MARKET"

    @property
    def reserved_asset(self) -> str:
        return self.symbol.quote if self.side == native.BUY else self.symbol.base

    def reserve_raw(self, lots: int) -> int:
        """What so many lots of it lock."""
        if self.side == native.BUY:
            return lots * self.price * self.symbol.notional_unit
        return lots * self.symbol.lot_raw


@dataclass(frozen=True, slots=True)
class OrderReported:
    """A step in an order's life, with its state right after the step."""

    order: Order
    execution: str
    """NEW, TRADE, CANCELED, EXPIRED, REJECTED, REPLACED (amended) or TRADE_PREVENTION."""
    time_ms: int
    execution_id: int
    status: Status
    filled_lots: int
    quote_filled_raw: int
    client_order_id: str
    original_client_order_id: str = ""
    trade: Trade | None = None


@dataclass(frozen=True, slots=True)
class BalancesChanged:
    """Balances of one account after a step: (asset, free, locked)."""

    account: Account
    time_ms: int
    balances: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class PublicTrade:
    id: int
    symbol: SymbolSpec
    price: int
    lots: int
    quote_raw: int
    time_ms: int
    is_buyer_maker: bool
    buyer_order_id: int
    seller_order_id: int


@dataclass(frozen=True, slots=True)
class AggregateTrade:
    """What one taking order traded at one price."""

    id: int
    symbol: SymbolSpec
    price: int
    lots: int
    first_trade_id: int
    last_trade_id: int
    time_ms: int
    is_buyer_maker: bool


@dataclass(frozen=True, slots=True)
class BookTouched:
    """Levels of a symbol's book changed; read them from its market."""

    symbol: SymbolSpec


ExchangeEvent: TypeAlias = OrderReported | BalancesChanged | PublicTrade | AggregateTrade | BookTouched
