"""The venue's messages as frozen structs: numbers stay the venue's text, names are ours, what is not used is not read.

Streams: https://developers.binance.com/docs/binance-spot-api-docs/web-socket-streams and user-data-stream.
A message that lacks a field or has one of another kind is a `msgspec.ValidationError`; unknown fields are ignored.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import field

Number: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,20}(\.[0-9]{1,20})?\Z")]
"""A number as the venue writes it: no exponent, no sign but a minus, and short enough to stay exact."""
Name: TypeAlias = Annotated[str, msgspec.Meta(min_length=1)]


class _Message(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Time is the venue's, in milliseconds unless the stream was opened with microseconds."""


# --- market data


class Trade(_Message, frozen=True, kw_only=True):
    """`trade`."""

    symbol: Name = field(name="s")
    trade_id: int = field(name="t")
    price: Number = field(name="p")
    qty: Number = field(name="q")
    time: int = field(name="T")
    is_buyer_maker: bool = field(name="m")


class AggregateTrade(_Message, frozen=True, kw_only=True):
    """`aggTrade`: the trades of one taker at one price."""

    symbol: Name = field(name="s")
    aggregate_id: int = field(name="a")
    price: Number = field(name="p")
    qty: Number = field(name="q")
    first_id: int = field(name="f")
    last_id: int = field(name="l")
    time: int = field(name="T")
    is_buyer_maker: bool = field(name="m")


class BookTicker(_Message, frozen=True, kw_only=True):
    """`bookTicker`, which has no event name and no time."""

    symbol: Name = field(name="s")
    update_id: int = field(name="u")
    bid: Number = field(name="b")
    bid_qty: Number = field(name="B")
    ask: Number = field(name="a")
    ask_qty: Number = field(name="A")


class Depth(_Message, frozen=True, kw_only=True):
    """`depthUpdate`. The book itself is kept by `capstan_native.L2Book`, which reads the bytes."""

    symbol: Name = field(name="s")
    event_time: int = field(name="E")
    first_id: int = field(name="U")
    last_id: int = field(name="u")
    bids: list[tuple[str, str]] = field(name="b")
    asks: list[tuple[str, str]] = field(name="a")


class Candle(_Message, frozen=True, kw_only=True):
    """The `k` of a `kline`."""

    open_time: int = field(name="t")
    close_time: int = field(name="T")
    symbol: Name = field(name="s")
    interval: str = field(name="i")
    open: Number = field(name="o")
    high: Number = field(name="h")
    low: Number = field(name="l")
    close: Number = field(name="c")
    volume: Number = field(name="v")
    quote_volume: Number = field(name="q")
    trades: int = field(name="n")
    is_closed: bool = field(name="x")


class Kline(_Message, frozen=True, kw_only=True):
    """`kline`."""

    event_time: int = field(name="E")
    candle: Candle = field(name="k")


class Ticker(_Message, frozen=True, kw_only=True):
    """`24hrTicker`: a rolling day."""

    symbol: Name = field(name="s")
    event_time: int = field(name="E")
    change: Number = field(name="p")
    change_percent: Number = field(name="P")
    average: Number = field(name="w")
    previous_close: Number = field(name="x")
    last: Number = field(name="c")
    last_qty: Number = field(name="Q")
    bid: Number = field(name="b")
    bid_qty: Number = field(name="B")
    ask: Number = field(name="a")
    ask_qty: Number = field(name="A")
    open: Number = field(name="o")
    high: Number = field(name="h")
    low: Number = field(name="l")
    volume: Number = field(name="v")
    quote_volume: Number = field(name="q")
    open_time: int = field(name="O")
    close_time: int = field(name="C")


# --- user data


class ExecutionReport(_Message, frozen=True, kw_only=True):
    """`executionReport`: something happened to an order of ours."""

    symbol: Name = field(name="s")
    client_order_id: Name = field(name="c")
    original_client_order_id: str | None = field(name="C", default=None)
    """The order's own id where `c` is that of the cancel or the replacement."""
    side: Literal["BUY", "SELL"] = field(name="S")
    kind: str = field(name="o")
    time_in_force: str = field(name="f")
    qty: Number = field(name="q")
    price: Number = field(name="p")
    execution: str = field(name="x")
    status: str = field(name="X")
    reason: str = field(name="r", default="NONE")
    order_id: int = field(name="i")
    last_qty: Number = field(name="l")
    executed_qty: Number = field(name="z")
    executed_quote: Number = field(name="Z", default="0")
    last_price: Number = field(name="L")
    fee: Number = field(name="n")
    fee_asset: str | None = field(name="N")
    time: int = field(name="T")
    trade_id: int = field(name="t")
    is_maker: bool = field(name="m")

    @property
    def order_name(self) -> str:
        """The client order id of the order that is spoken of."""
        return self.original_client_order_id or self.client_order_id


class Holding(_Message, frozen=True, kw_only=True):
    asset: Name = field(name="a")
    free: Number = field(name="f")
    locked: Number = field(name="l")


class AccountPosition(_Message, frozen=True, kw_only=True):
    """`outboundAccountPosition`: the balances that an event may have changed."""

    time: int = field(name="u")
    holdings: list[Holding] = field(name="B")


class BalanceUpdate(_Message, frozen=True, kw_only=True):
    """`balanceUpdate`: a deposit, a withdrawal or a transfer."""

    asset: Name = field(name="a")
    change: Number = field(name="d")
    time: int = field(name="T")


class Kind(_Message, frozen=True, kw_only=True):
    """The event's name, to choose what it is read as."""

    name: str = field(name="e")


# --- answers


class Fault(_Message, frozen=True, kw_only=True):
    """An error's body."""

    code: int
    msg: str = ""
    data: Any = None


class Answer(_Message, frozen=True, kw_only=True, rename="camel"):
    """Anything that comes by the WebSocket API: an answer to a request, or an event."""

    id: str | int | None = None
    status: int = 0
    result: msgspec.Raw = msgspec.Raw()
    error: Fault | None = None
    rate_limits: list[dict[str, Any]] = field(default_factory=list)
    event: msgspec.Raw = msgspec.Raw()


class OrderAnswer(_Message, frozen=True, kw_only=True, rename="camel"):
    """An order as it was placed, asked about, listed or cancelled (RESULT and FULL)."""

    symbol: Name
    order_id: int
    client_order_id: Name
    orig_client_order_id: str = ""
    status: str
    executed_qty: Number

    @property
    def name(self) -> str:
        """The order's own client id: an answer to a cancel has the cancel's in the other place."""
        return self.orig_client_order_id or self.client_order_id


class ReplaceAnswer(_Message, frozen=True, kw_only=True, rename="camel"):
    """What became of a cancel-replace's two halves, each an order, a fault, or None where it was not tried."""

    cancel_response: dict[str, Any] | None = None
    new_order_response: dict[str, Any] | None = None

    @property
    def cancelled(self) -> OrderAnswer | Fault | None:
        return _half(self.cancel_response)

    @property
    def placed(self) -> OrderAnswer | Fault | None:
        return _half(self.new_order_response)


def _half(row: dict[str, Any] | None) -> OrderAnswer | Fault | None:
    if row is None:
        return None
    return msgspec.convert(row, Fault) if "code" in row else msgspec.convert(row, OrderAnswer)


class TradeAnswer(_Message, frozen=True, kw_only=True, rename="camel"):
    """A row of `myTrades`."""

    symbol: Name
    id: int
    order_id: int
    price: Number
    qty: Number
    commission: Number
    commission_asset: Name
    time: int
    is_buyer: bool
    is_maker: bool


class Balance(_Message, frozen=True, kw_only=True):
    asset: Name
    free: Number
    locked: Number


class AccountAnswer(_Message, frozen=True, kw_only=True):
    """`account`."""

    balances: list[Balance]


class Rates(_Message, frozen=True, kw_only=True):
    maker: Number = "0"
    taker: Number = "0"


class CommissionAnswer(_Message, frozen=True, kw_only=True, rename="camel"):
    """`account/commission`; the parts add up."""

    standard_commission: Rates = Rates()
    tax_commission: Rates = Rates()
    special_commission: Rates = Rates()


class TimeAnswer(_Message, frozen=True, kw_only=True, rename="camel"):
    server_time: int


class Listing(_Message, frozen=True, kw_only=True, rename="camel"):
    """A symbol of `exchangeInfo`."""

    symbol: Name
    status: str
    base_asset: str
    quote_asset: str
    is_spot_trading_allowed: bool = True
    filters: list[dict[str, Any]]


class ExchangeInfo(_Message, frozen=True, kw_only=True, rename="camel"):
    rate_limits: list[dict[str, Any]]
    symbols: list[Listing]
