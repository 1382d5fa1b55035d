"""Orders and trades as the exchange keeps them, and the events it emits about them."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import capstan_native as native

if TYPE_CHECKING:
    from cex.sandbox.accounts import Account
    from cex.sandbox.config import SymbolSpec

SIDES: Final = ("BUY", "SELL")
"""By the matching engine's side codes."""
TYPE_CODES: Final = {
    "LIMIT": native.LIMIT,
    "LIMIT_MAKER": native.LIMIT_MAKER,
    "MARKET": native.MARKET,
    "STOP_LOSS": native.MARKET,
    "STOP_LOSS_LIMIT": native.LIMIT,
    "TAKE_PROFIT": native.MARKET,
    "TAKE_PROFIT_LIMIT": native.LIMIT,
}
"""What the matching engine is told; of a stop order, once its price was reached."""
STOP_TYPES: Final = frozenset({"STOP_LOSS", "STOP_LOSS_LIMIT", "TAKE_PROFIT", "TAKE_PROFIT_LIMIT"})
TIME_IN_FORCE_CODES: Final = {"GTC": native.GTC, "IOC": native.IOC, "FOK": native.FOK, "GTD": native.GTC}
"""GTD is our own: it rests like GTC until its date, which the exchange watches."""
PREVENTION_CODES: Final = {
    "NONE": native.STP_NONE,
    "EXPIRE_MAKER": native.STP_EXPIRE_MAKER,
    "EXPIRE_TAKER": native.STP_EXPIRE_TAKER,
    "EXPIRE_BOTH": native.STP_EXPIRE_BOTH,
    "DECREMENT": native.STP_DECREMENT,
}
DEFAULT_PREVENTION: Final = "EXPIRE_MAKER"


class Status(StrEnum):
    PENDING_NEW = "PENDING_NEW"
    """Waits in an order list for the order before it to fill."""
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
        return self in _OPEN


_OPEN: Final = frozenset({Status.PENDING_NEW, Status.NEW, Status.PARTIALLY_FILLED})


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
    stop_raw: int = 0
    """The price that sets a stop order working; of a trailing one, the price from which it follows the market."""
    trailing_bips: int = 0
    iceberg_raw: int = 0
    """How much of it the book shows at a time; 0 shows all."""
    good_till_ms: int = 0
    strategy_id: int | None = None
    strategy_type: int | None = None

    @property
    def is_stop(self) -> bool:
        return self.type in STOP_TYPES


class ListKind(StrEnum):
    """How the orders of a list depend on one another, in the order they are given."""

    OCO = "OCO"
    """Two; the first that trades or is triggered ends the other."""
    OTO = "OTO"
    """The second is placed when the first has filled."""
    OTOCO = "OTOCO"
    """The second and third are placed as an OCO when the first has filled."""


@dataclass(frozen=True, slots=True)
class NewOrderList:
    """An order list as asked for."""

    kind: ListKind
    orders: tuple[NewOrder, ...]
    client_order_id: str = ""


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
    order_list_id: int = -1


@dataclass(frozen=True, slots=True)
class PreventedMatch:
    """Two orders of one account that would have traded with one another. Lots are None of one that lost nothing."""

    id: int
    symbol: SymbolSpec
    taker_order_id: int
    maker_order_id: int
    mode: str
    price: int
    time_ms: int
    taker_lots: int | None = None
    maker_lots: int | None = None


@dataclass(eq=False, slots=True)
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
    """The limit; 0 for orders that take any price."""
    lots: int
    quote_budget_raw: int
    created_ms: int
    updated_ms: int
    status: Status = Status.NEW
    filled_lots: int = 0
    quote_filled_raw: int = 0
    locked_raw: int = 0
    """What it locks of `reserved_asset` now."""
    prevented_lots: int = 0
    """What self-trade prevention took of it."""
    prevented_match_id: int = -1
    is_cut_short: bool = False
    """A budget that bought `lots`, but then ran out of book or met an order of its own account."""
    queue_number: int = 0
    """Counts when orders began to wait: at one price, the lower number trades first."""
    working_ms: int = -1
    """When it reached the matching engine; -1 while a stop or pending order waits."""
    stop_price: int = 0
    trailing_bips: int = 0
    trailing_since_ms: int = 0
    """When a trailing order began to follow the market; 0 before."""
    trailing_best: int = 0
    """The price most in its favour since then, in ticks."""
    iceberg_lots: int = 0
    shown_lots: int = 0
    """What the book shows of it while it rests."""
    good_till_ms: int = 0
    strategy_id: int | None = None
    strategy_type: int | None = None
    amendments: list[list[Any]] = field(default_factory=list)
    """Each: execution id, former and new client order id, former and new lots, when."""
    order_list: OrderList | None = None
    trades: list[Trade] = field(default_factory=list)
    prevented: list[PreventedMatch] = field(default_factory=list)
    """Those that it met as the taker."""

    @property
    def open_lots(self) -> int:
        return self.lots - self.filled_lots - self.prevented_lots

    @property
    def is_stop(self) -> bool:
        return self.type in STOP_TYPES

    @property
    def is_waiting(self) -> bool:
        """Whether it is a stop order beside the book, waiting for its price."""
        return self.working_ms < 0 and self.status is Status.NEW

    @property
    def pays_from_lock(self) -> bool:
        """Whether its trades draw on what it locked; orders without a limit pay from the free balance, at once."""
        return self.price > 0

    @property
    def reserved_asset(self) -> str:
        return self.symbol.quote if self.side == native.BUY else self.symbol.base

    @property
    def worth(self) -> int:
        """The price it is valued at, in ticks: its limit; while a stop without one waits, its stop price or, trailing
        without one, the price it follows."""
        return self.price or self.stop_price or self.trailing_best

    def reserve_raw(self, lots: int) -> int:
        """What so many lots of it lock."""
        if self.side == native.BUY:
            return lots * self.worth * self.symbol.notional_unit
        return lots * self.symbol.lot_raw


@dataclass(eq=False, slots=True)
class OrderList:
    """Orders that depend on one another."""

    id: int
    account: Account
    symbol: SymbolSpec
    kind: ListKind
    client_order_id: str
    created_ms: int
    updated_ms: int
    orders: list[Order] = field(default_factory=list)
    is_done: bool = False

    @property
    def first(self) -> Order | None:
        """The order whose fill sets the others working, if there is such."""
        return None if self.kind is ListKind.OCO else self.orders[0]

    @property
    def pair(self) -> list[Order]:
        """The orders of which one ends the other."""
        if self.kind is ListKind.OTO:
            return []
        return self.orders[-2:]

    def sibling(self, order: Order) -> Order | None:
        """The other one of its pair."""
        pair = self.pair
        if order not in pair:
            return None
        return pair[1] if pair[0] is order else pair[0]


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
    working_ms: int = -1
    prevented: PreventedMatch | None = None
    prevented_lots: int = 0
    """So far; `last_prevented_lots` by this step."""
    last_prevented_lots: int = 0


@dataclass(frozen=True, slots=True)
class ListReported:
    """A step in an order list's life."""

    order_list: OrderList
    time_ms: int
    status_type: str
    """EXEC_STARTED, UPDATED or ALL_DONE."""


@dataclass(frozen=True, slots=True)
class OrderTouched:
    """Something of an order changed of which nobody is told; who keeps the state must know."""

    order: Order


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


ExchangeEvent: TypeAlias = (
    OrderReported | OrderTouched | ListReported | BalancesChanged | PublicTrade | AggregateTrade | BookTouched
)
