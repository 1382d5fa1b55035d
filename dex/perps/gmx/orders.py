"""Orders as unsigned transactions: the keeper's fee, the collateral, and the order, in one call of the ExchangeRouter.

    multicall([sendWnt(vault, fee), sendTokens(collateral, vault, amount), createOrder(…)])

The order's receiver is the sender: what a keeper pays out later comes back to the account that custody watches.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from enum import IntEnum
from typing import Final

from chain import parse_address
from dex.perps.gmx.abi import CANCEL_ORDER, CREATE_ORDER, MULTICALL, SEND_TOKENS, SEND_WNT
from dex.perps.gmx.book import GmxBook, GmxMarket
from domain.amounts import Amount
from domain.assets import native_asset
from domain.errors import InputError
from domain.ids import Address, IntentId, StrategyId
from domain.plans import TransactionPlan

USD_DECIMALS: Final = 30
GAS_LIMIT_CREATE: Final = 4_000_000
"""About 2.5 million are used on Arbitrum, where gas is counted generously; what is not used is not paid."""
GAS_LIMIT_CANCEL: Final = 2_500_000
_ZERO: Final = "0x0000000000000000000000000000000000000000"
_NO_REFERRAL: Final = bytes(32)
_UINT256: Final = 1 << 256


class OrderKind(IntEnum):
    """Kinds of orders by GMX's own numbers (`Order.OrderType`); swaps and liquidations are not ours to create."""

    MARKET_INCREASE = 2
    LIMIT_INCREASE = 3
    MARKET_DECREASE = 4
    LIMIT_DECREASE = 5
    STOP_LOSS_DECREASE = 6
    STOP_INCREASE = 8

    @property
    def is_increase(self) -> bool:
        return self in (OrderKind.MARKET_INCREASE, OrderKind.LIMIT_INCREASE, OrderKind.STOP_INCREASE)

    @property
    def is_market(self) -> bool:
        """Executed at the next price, or cancelled; the others wait for theirs, and may be frozen."""
        return self in (OrderKind.MARKET_INCREASE, OrderKind.MARKET_DECREASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GmxOrder:
    """What is wanted, in a person's units: US dollars of position, dollars a whole unit of the index."""

    market: GmxMarket
    kind: OrderKind
    is_long: bool
    size_usd: Decimal
    """By how much the position grows or shrinks."""
    collateral: Address
    collateral_raw: int
    """An increase pays it in; a decrease takes it out. Raw units."""
    acceptable_price: Decimal
    """The worst price it may be executed at, in dollars; beyond it a market order is cancelled, another one frozen."""
    trigger_price: Decimal | None = None
    """Where a limit or stop becomes due."""

    def __post_init__(self) -> None:
        self.market.collateral(self.collateral)
        if not self.size_usd.is_finite() or self.size_usd < 0 or self.collateral_raw < 0:
            raise InputError(f"{self.market.name}: size and collateral must not be negative")
        if not self.size_usd and not self.collateral_raw:
            raise InputError(f"{self.market.name}: an order of nothing")
        if self.kind.is_increase and self.size_usd and not self.collateral_raw:
            # GMX allows it, as leverage on what is there; here it must be said by another order.
            raise InputError(f"{self.market.name}: an increase pays collateral in")
        if not self.acceptable_price.is_finite() or self.acceptable_price <= 0:
            raise InputError(f"{self.market.name}: a worst price is needed, found {self.acceptable_price}")
        if (self.trigger_price is None) != self.kind.is_market:
            raise InputError(f"{self.market.name}: limits and stops have a trigger price, market orders none")
        if self.trigger_price is not None and (not self.trigger_price.is_finite() or self.trigger_price <= 0):
            raise InputError(f"{self.market.name}: not a trigger price: {self.trigger_price}")

    @property
    def size_raw(self) -> int:
        """In 10^-30 dollars; what does not fit is cut off."""
        return scaled(self.size_usd, USD_DECIMALS, is_up=False)

    @property
    def acceptable_price_raw(self) -> int:
        """As the contract has it, rounded so that it allows no worse price than asked."""
        is_upper_bound = self.kind.is_increase == self.is_long
        return price_raw(self.acceptable_price, self.market, is_up=not is_upper_bound)

    @property
    def trigger_price_raw(self) -> int:
        return 0 if self.trigger_price is None else price_raw(self.trigger_price, self.market, is_up=False)


def scaled(value: Decimal, decimals: int, *, is_up: bool) -> int:
    """Count a decimal in 10^-decimals, rounded up or down.

    Raises:
        InputError: It does not fit into 256 bits.
    """
    with localcontext() as context:
        context.prec = 120
        result = int((value.scaleb(decimals)).to_integral_value(ROUND_CEILING if is_up else ROUND_FLOOR))
    if not 0 <= result < _UINT256:
        raise InputError(f"{value} does not fit into 256 bits")
    return result


def price_raw(price: Decimal, market: GmxMarket, *, is_up: bool) -> int:
    """Give GMX's form of a price: 10^30 dollars a smallest unit of the index token."""
    return scaled(price, USD_DECIMALS - market.index_decimals, is_up=is_up)


def price_usd(raw: int, market: GmxMarket) -> Decimal:
    """Read GMX's form of a price; exact."""
    return unscaled(raw, USD_DECIMALS - market.index_decimals)


def unscaled(raw: int, decimals: int) -> Decimal:
    """Read what is counted in 10^-decimals; exact, where the usual context would round to 28 digits."""
    with localcontext() as context:
        context.prec = 120
        return Decimal(raw).scaleb(-decimals)


def plan_order(
    *, intent_id: str, strategy: str, book: GmxBook, order: GmxOrder, sender: str, execution_fee_wei: int
) -> TransactionPlan:
    """Plan the creation of an order. The Router must hold an allowance of the collateral of an increase.

    Call `GmxBook.ensure_current` first, and take the fee from `ExecutionGas.fee_up`.

    Raises:
        InputError: No fee.
    """
    if execution_fee_wei <= 0:
        raise InputError(f"order {intent_id}: a keeper is paid in advance, found {execution_fee_wei} wei")
    owner = parse_address(sender)
    calls = [SEND_WNT.encode(book.order_vault, execution_fee_wei)]
    spends = [Amount(native_asset(book.chain_id), execution_fee_wei)]
    if order.kind.is_increase:
        calls.append(SEND_TOKENS.encode(order.collateral, book.order_vault, order.collateral_raw))
        spends.insert(0, Amount(order.market.collateral(order.collateral).asset, order.collateral_raw))
    calls.append(CREATE_ORDER.encode(_parameters(order, owner, execution_fee_wei)))
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId(strategy),
        purpose="perpetual",
        chain_id=book.chain_id,
        sender=owner,
        to=book.exchange_router,
        value_wei=execution_fee_wei,
        data=MULTICALL.encode(calls),
        gas_limit=GAS_LIMIT_CREATE,
        deadline_s=0,
        spends=tuple(spends),
        recipient=owner,
    )


def plan_cancel(*, intent_id: str, strategy: str, book: GmxBook, key: bytes, sender: str) -> TransactionPlan:
    """Plan to take an order back. GMX refuses it to market orders until their time is up (minutes).

    Raises:
        InputError: Not a key of an order.
    """
    if len(key) != 32 or not any(key):
        raise InputError(f"order {intent_id}: a key has 32 bytes, found {key.hex() or 'none'}")
    owner = parse_address(sender)
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId(strategy),
        purpose="perpetual",
        chain_id=book.chain_id,
        sender=owner,
        to=book.exchange_router,
        value_wei=0,
        data=CANCEL_ORDER.encode(key),
        gas_limit=GAS_LIMIT_CANCEL,
        deadline_s=0,
        recipient=owner,
    )


def _parameters(order: GmxOrder, owner: Address, execution_fee_wei: int) -> tuple[object, ...]:
    return (
        (owner, owner, _ZERO, _ZERO, order.market.address, order.collateral, ()),
        (
            order.size_raw,
            order.collateral_raw,
            order.trigger_price_raw,
            order.acceptable_price_raw,
            execution_fee_wei,
            0,
            0,
            0,
        ),
        int(order.kind),
        0,
        order.is_long,
        False,
        False,
        _NO_REFERRAL,
        (),
    )
