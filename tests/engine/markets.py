"""A small market for engine tests: one instrument, two real pool replicas where wanted, events by hand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from dex import PoolReplica, V2Pool, V3Pool
from dex.replicas.tick_math import sqrt_price_at
from domain import Address, ChainId, Fill, Instrument, OrderState, Side, VenueId, native_asset, token_asset, venue_asset
from domain import events as e
from engine.edge import ClientId, run_number
from engine.market import Markets, PoolMarket
from engine.native import NativeKernel
from engine.portfolio import EconomicAsset, Portfolio
from engine.sdk import Strategy as SdkStrategy
from engine.settings import RiskLimits
from tests.reference.python_kernel import Kernel
from tests.reference.python_risk import RiskGate
from tests.reference.python_strategy import Context, Strategy

VENUE = VenueId("sandbox")
ETH, USDC = venue_asset(VENUE, "ETH"), venue_asset(VENUE, "USDC")
ETHUSDC = Instrument(
    venue=VENUE,
    symbol="ETHUSDC",
    base=ETH,
    quote=USDC,
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.0001"),
    min_notional=Decimal(5),
    maker_fee_bps=Decimal(1),
    taker_fee_bps=Decimal(4),
)
SECOND = 1_000_000_000
CHAIN = ChainId(1337)
TOKEN_USDC = token_asset(CHAIN, Address("0x" + "A" * 40), "USDC", 6)
WETH = token_asset(CHAIN, Address("0x" + "B" * 40), "WETH", 18)
NATIVE = native_asset(CHAIN)
V2, V3 = "eip155:1337/v2", "eip155:1337/v3"


class Script:
    """A strategy that runs a function once on each event it is given one for."""

    def __init__(self, strategy_id: str = "s") -> None:
        self.id = strategy_id
        self.is_idle = True
        self.then: list[Any] = []

    def on_event(self, event: e.Event, context: Context) -> None:
        if isinstance(event, e.TimerFired) and self.then:
            self.then.pop(0)(context)


def kernel(*strategies: Strategy, **limits: Any) -> Kernel:
    economic = {
        "USD": EconomicAsset("USD", (USDC,), None),
        "ETH": EconomicAsset("ETH", (ETH,), ETHUSDC.id),
    }
    return Kernel(
        run="t",
        markets=Markets({ETHUSDC.id: ETHUSDC}, {}),
        portfolio=Portfolio(economic),
        risk=RiskGate(RiskLimits(**limits)),
        strategies=strategies,
        gas_asset=None,
    )


def native_kernel(*strategies: SdkStrategy, pools: Sequence[str] = (), **limits: Any) -> NativeKernel:
    """The kernel that trades; with pools it has them in the unit of account, and everything has to be told to it."""
    dollars, ether = ((USDC, TOKEN_USDC), (ETH, WETH, NATIVE)) if pools else ((USDC,), (ETH,))
    economic = {"USD": EconomicAsset("USD", dollars, None), "ETH": EconomicAsset("ETH", ether, ETHUSDC.id)}
    return NativeKernel(
        run="t",
        markets=Markets({ETHUSDC.id: ETHUSDC}, {name: _pool_market(name) for name in pools}),
        portfolio=Portfolio(economic),
        limits=RiskLimits(**limits),
        strategies=strategies,
        gas_asset=NATIVE if pools else None,
    )


def native_pool_kernel(*strategies: SdkStrategy, pools: Sequence[str] = (V2, V3), **limits: Any) -> NativeKernel:
    """The same with funds at the exchange and on the chain, told its opening, with limits that leave room."""
    roomy = {"order_notional_max": 100_000, "swap_notional_max": 100_000, "position_notional_max": 200_000,
             "exposure_notional_max": 200_000, "drawdown_max": 100_000}  # fmt: skip
    economic = {
        "USD": EconomicAsset("USD", (USDC, TOKEN_USDC), None),
        "ETH": EconomicAsset("ETH", (ETH, WETH, NATIVE), ETHUSDC.id),
    }
    made = NativeKernel(
        run="t",
        markets=Markets({ETHUSDC.id: ETHUSDC}, {name: _pool_market(name) for name in pools}),
        portfolio=Portfolio(economic),
        limits=RiskLimits(**{**roomy, **limits}),
        strategies=strategies,
        gas_asset=NATIVE,
    )
    for event in kernel_opening(pools):
        made.step(event)
    return made


def order_id(epoch: int, sequence: int, *, strategy: int = 0) -> str:
    """An id that a kernel of this module gives."""
    return ClientId(run_number("t") << 48 | epoch << 36 | strategy << 28 | sequence).text


def pool_kernel(*strategies: Strategy, pools: Sequence[str] = (V2, V3), is_open: bool = True, **limits: Any) -> Kernel:
    """A kernel with funds at the exchange and on the chain, and with pools that stand at 3,000; or not opened yet."""
    economic = {
        "USD": EconomicAsset("USD", (USDC, TOKEN_USDC), None),
        "ETH": EconomicAsset("ETH", (ETH, WETH, NATIVE), ETHUSDC.id),
    }
    limits = {"order_notional_max": 100_000, "swap_notional_max": 100_000, "position_notional_max": 200_000,
              "exposure_notional_max": 200_000, "drawdown_max": 100_000, **limits}  # fmt: skip
    made = Kernel(
        run="t",
        markets=Markets({ETHUSDC.id: ETHUSDC}, {name: _pool_market(name) for name in pools}),
        portfolio=Portfolio(economic),
        risk=RiskGate(RiskLimits(**limits)),
        strategies=strategies,
        gas_asset=NATIVE,
    )
    for event in kernel_opening(pools) if is_open else ():
        made.step(event)
    return made


def kernel_opening(pools: Sequence[str]) -> Iterator[e.Event]:
    """What `pool_kernel` is told at its start."""
    for asset, whole in ((ETH, 100), (USDC, 500_000), (TOKEN_USDC, 500_000), (WETH, 100), (NATIVE, 10)):
        yield e.BalanceReported(time_ns=0, asset=asset.id, raw=str(whole * asset.unit))
    yield block(1)
    for name in pools:
        yield v2_at() if name == V2 else v3_at()


def _pool_market(name: str) -> PoolMarket:
    fee, kind = (3000, V2Pool) if name == V2 else (500, V3Pool)
    replica: PoolReplica = kind(name, TOKEN_USDC.id, WETH.id, fee)
    return PoolMarket(name, TOKEN_USDC, WETH, fee, replica)


def block(number: int, now_ns: int = SECOND) -> e.BlockSeen:
    return e.BlockSeen(
        time_ns=now_ns, chain_id=1337, number=number, block_hash="0x", block_time_s=1_000 + number,
        base_fee_wei=10**9,
    )  # fmt: skip


def v2_at(price: int = 3_000, *, block_number: int = 1, weth: int = 1_000, now_ns: int = SECOND) -> e.PoolSnapshotted:
    """A V2 pool of `weth` WETH at a price in USDC."""
    return e.PoolSnapshotted(
        time_ns=now_ns, pool=V2, block_number=block_number, kind="v2", token0=TOKEN_USDC.id, token1=WETH.id,
        fee_pips=3000, reserve0=str(weth * price * TOKEN_USDC.unit), reserve1=str(weth * WETH.unit),
    )  # fmt: skip


def v3_at(price: int = 3_000, *, block_number: int = 1, now_ns: int = SECOND) -> e.PoolSnapshotted:
    """A V3 pool of one wide range at a price in USDC; 10^18 of liquidity is deep for a few ether."""
    ratio = WETH.unit / (price * TOKEN_USDC.unit)
    tick = math.floor(math.log(ratio, 1.0001))
    return e.PoolSnapshotted(
        time_ns=now_ns, pool=V3, block_number=block_number, kind="v3", token0=TOKEN_USDC.id, token1=WETH.id,
        fee_pips=500, sqrt_price_x96=str(sqrt_price_at(tick)), tick=tick, liquidity=str(10**18), tick_spacing=10,
        ticks=((190_000, str(10**18)), (204_000, str(-(10**18)))), ticks_gross=(str(10**18), str(10**18)),
    )  # fmt: skip


def settled(
    intent_id: str, status: str = "mined", *, amount_in: int = 0, amount_out: int = 0, gas: int = 0,
    block_number: int = 2, now_ns: int = SECOND,
) -> e.SwapSettled:  # fmt: skip
    return e.SwapSettled(
        time_ns=now_ns, intent_id=intent_id, status=status, amount_in=str(amount_in), amount_out=str(amount_out),
        gas_cost_wei=str(gas), block_number=block_number, reason="" if status == "mined" else "reverted",
    )  # fmt: skip


def book(
    now_ns: int = SECOND,
    bids: Sequence[tuple[int, int]] = ((299_990, 10_000), (299_980, 20_000)),
    asks: Sequence[tuple[int, int]] = ((300_010, 10_000), (300_020, 20_000)),
) -> e.BookChanged:
    """3,000.00 ± 0.10 with 1 ETH at the touch."""
    return e.BookChanged(
        time_ns=now_ns, instrument=ETHUSDC.id, bids=tuple(bids), asks=tuple(asks), update_id=1, received_ns=now_ns
    )


def timer(now_ns: int = SECOND) -> e.TimerFired:
    return e.TimerFired(time_ns=now_ns)


def report(order_id: str, state: OrderState, now_ns: int = SECOND, filled_lots: int | None = None) -> e.OrderReported:
    return e.OrderReported(time_ns=now_ns, client_order_id=order_id, state=state, filled_lots=filled_lots)


def fill(
    order_id: str,
    lots: int,
    *,
    trade_id: str = "1",
    side: Side = Side.BUY,
    ticks: int = 300_010,
    fee_raw: int = 0,
    now_ns: int = SECOND,
) -> e.FillReported:
    quote_raw = int(ETHUSDC.notional(ticks, lots) * USDC.unit)
    return e.FillReported(
        time_ns=now_ns,
        fill=Fill(
            venue="sandbox",
            symbol="ETHUSDC",
            trade_id=trade_id,
            client_order_id=order_id,
            venue_order_id="v",
            side=side,
            price_ticks=ticks,
            qty_lots=lots,
            quote_raw=quote_raw,
            fee_asset="USDC",
            fee_raw=fee_raw,
            is_maker=False,
            venue_time_ns=now_ns,
        ),
    )
