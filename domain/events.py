"""What the kernel is told (events) and what it answers (commands): the whole vocabulary of a run.

Frozen `msgspec` structs, tagged by class name, so that the journal, a replay and the wire share one encoding.
`time_ns` is the instant the platform learnt of it, from the shell's clock; the kernel knows no other time.
Prices are ticks and sizes lots of the named instrument; on-chain amounts are raw integers. Integers that may exceed
64 bits (amounts in wei, Q64.96 prices) travel as decimal text, because MessagePack has no wider integer.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from domain.orders import Fill, OrderState, OrderType, Side, TimeInForce


class _Message(msgspec.Struct, frozen=True, kw_only=True, tag=True, tag_field="message"):
    pass


class _Event(_Message, frozen=True, kw_only=True):
    time_ns: int


# --- market data


class BookChanged(_Event, frozen=True, kw_only=True):
    """The best levels of an exchange's book, best first. An empty side means nobody quotes there."""

    instrument: str
    bids: tuple[tuple[int, int], ...]
    asks: tuple[tuple[int, int], ...]
    update_id: int
    received_ns: int = 0
    """Monotonic nanoseconds when the bytes arrived: for latency only, never for decisions."""


class BookInvalidated(_Event, frozen=True, kw_only=True):
    """The book may be wrong (gap, disconnect): nobody quotes on it until the next `BookChanged`."""

    instrument: str
    reason: str


class TradePrinted(_Event, frozen=True, kw_only=True):
    """A public trade. `is_buyer_maker` says the seller took."""

    instrument: str
    price_ticks: int
    qty_lots: int
    is_buyer_maker: bool


# --- orders


class OrderReported(_Event, frozen=True, kw_only=True):
    """A venue's word on one order: a stream event, an answer, or the result of asking."""

    client_order_id: str
    state: OrderState
    venue_order_id: str = ""
    reason: str = ""
    filled_lots: int | None = None
    """What the venue says is filled in all, where it says so. An end is believed only when our fills add up to it."""
    asked: bool = False
    """The answer to a question, not a message of the stream."""


class FillReported(_Event, frozen=True, kw_only=True):
    """A venue's word on one trade of ours."""

    fill: Fill
    asked: bool = False
    """Part of the answer to a question."""


class AccountAnswered(_Event, frozen=True, kw_only=True):
    """A venue's whole answer about its account begins, or ends: reports, fills and balances between.

    What was sent since it was asked is not judged by it. Trades of a venue's first answer predate the run.
    """

    venue: str
    is_end: bool = False
    asked_ns: int = 0


class BalanceReported(_Event, frozen=True, kw_only=True):
    """How much we hold in one place, free and locked together, raw units as text."""

    asset: str
    raw: str


# --- chain


class BlockSeen(_Event, frozen=True, kw_only=True):
    """A new head that the platform follows."""

    chain_id: int
    number: int
    block_hash: str
    block_time_s: int
    base_fee_wei: int


class PoolSnapshotted(_Event, frozen=True, kw_only=True):
    """A pool's whole state at a block: on first sight, after a reorg, after a failed audit.

    V2 pools fill `reserve0/1`; V3 and V4 pools fill price and liquidity, `ticks` holding (tick, liquidity net as text)
    ascending and `ticks_gross` the gross liquidity of each: a tick whose positions cancel in net still stops the
    contract's steps, and disappears only when its gross reaches zero. Stable and weighted pools fill what stands under
    `tokens` and after.
    """

    pool: str
    block_number: int
    kind: str
    """`v2`, `v3`, `v4`, `curve-stable`, `balancer-stable` or `balancer-weighted`."""
    token0: str
    token1: str
    fee_pips: int
    reserve0: str = "0"
    reserve1: str = "0"
    sqrt_price_x96: str = "0"
    tick: int = 0
    liquidity: str = "0"
    tick_spacing: int = 0
    ticks: tuple[tuple[int, str], ...] = ()
    ticks_gross: tuple[str, ...] = ()
    protocol_fees_pips: tuple[int, int] = (0, 0)
    """Of V4, besides the pool's own fee: on token 0 and on token 1 coming in."""
    tokens: tuple[str, ...] = ()
    """All of the pool's, in its order; the next three hold one number for each."""
    balances: tuple[str, ...] = ()
    scales: tuple[str, ...] = ()
    """10^(36 - decimals) of each: times 1e-18 what brings a raw amount to 18 decimals."""
    weights: tuple[str, ...] = ()
    """Normalised, in 1e-18."""
    amplification: str = "0"
    """As the contract holds it, its own precision included."""
    fee_raw: str = "0"
    """The exact swap fee in the contract's unit: 1e-18 (Balancer), 1e-10 (Curve)."""
    fee_offpeg_raw: str = "0"
    """How many times the fee grows off the peg, in 1e-10; 0 where it is static (Curve)."""
    fee_admin_raw: str = "0"
    """The share of the fee that leaves the pool's balances, in 1e-10 (Curve)."""
    has_exact_powers: bool = False
    """Whether a weighted pool multiplies where a power is 1, 2 or 4 instead of asking its logarithms."""
    suspended: str = ""
    """Why no swap can be quoted from this state (it is paused, its amplification moves); empty when it can."""


class PoolSynced(_Event, frozen=True, kw_only=True):
    """A V2 pool's reserves after a `Sync` log."""

    pool: str
    block_number: int
    reserve0: str
    reserve1: str


class PoolBalancesSynced(_Event, frozen=True, kw_only=True):
    """A stable or weighted pool's balances after a swap, a join or an exit, in the pool's order."""

    pool: str
    block_number: int
    balances: tuple[str, ...]


class PoolSwapped(_Event, frozen=True, kw_only=True):
    """A V3 or V4 pool's price and liquidity after a `Swap` log."""

    pool: str
    block_number: int
    sqrt_price_x96: str
    tick: int
    liquidity: str


class PoolLiquidityChanged(_Event, frozen=True, kw_only=True):
    """Liquidity added to (Mint) or taken from (Burn, negative) a V3 or V4 range."""

    pool: str
    block_number: int
    tick_lower: int
    tick_upper: int
    liquidity_delta: str


class PoolInvalidated(_Event, frozen=True, kw_only=True):
    """The replica may be wrong (reorg, lost node, failed audit): no quotes for execution until a snapshot."""

    pool: str
    reason: str


class SwapSettled(_Event, frozen=True, kw_only=True):
    """What became of a swap we asked custody for. Terminal: told once per intent.

    `status`: `mined` (amounts and gas are exact), `failed` (mined and reverted: gas was paid) or `refused`
    (by policy, screening or simulation: nothing was sent).
    """

    intent_id: str
    status: str
    amount_in: str = "0"
    amount_out: str = "0"
    gas_cost_wei: str = "0"
    tx_hash: str = ""
    block_number: int = 0
    reason: str = ""


# --- time and people


class TimerFired(_Event, frozen=True, kw_only=True):
    """A regular tick of the shell's clock; or, with a tag, the instant that a strategy asked for."""

    tag: int = 0
    strategy: int = 255
    """The strategy's place among the run's."""


class OperatorSpoke(_Event, frozen=True, kw_only=True):
    """A person's command: `kill` (cancel everything, stop every strategy), `resume` (after a kill or a drawdown stop),
    `stop` (wind down and end), `stage` (go to that stage of the kill, upwards only); of one strategy where named.
    `resume_run` is the run's alone: a strategy that is stopped for itself stays so."""

    command: str
    reason: str = ""
    stage: int = 0
    strategy: str = ""


class ParametersChanged(_Event, frozen=True, kw_only=True):
    """New parameters for a strategy that runs. Checked before it is told: keys exist, values fit, none is fixed."""

    strategy: str
    settings: str
    """All its settings from here on, as JSON."""
    source: str
    """`operator`, or `file` where the settings file says so."""
    change: str
    """An id, by which whoever asked learns what became of it."""


class StrategyJoined(_Event, frozen=True, kw_only=True):
    """A further strategy, behind the others. Checked before it is told: its id is free, its settings make one."""

    settings: str
    """All its settings, as JSON."""
    change: str
    """An id, by which whoever asked learns what became of it."""


class LimitsChanged(_Event, frozen=True, kw_only=True):
    """Other risk limits from here on. Checked before it is told."""

    limits: str
    """All that hold, the run's and single strategies', as JSON."""
    change: str
    """An id, by which whoever asked learns what became of it."""


class OrderRequested(_Event, frozen=True, kw_only=True):
    """An order that a client wants, for a strategy that takes such. Checked before it is told: the strategy exists, the
    instrument is one of its, sizes are positive. The same request twice is one order."""

    strategy: str
    request: str
    """The request's own id, under which the order is asked about."""
    instrument: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    """0 for a market order: the strategy bounds it."""
    qty_lots: int


class CancelRequested(_Event, frozen=True, kw_only=True):
    """A client wants an order of a former request gone."""

    strategy: str
    request: str
    """Of the order."""


class EngineRestarted(_Event, frozen=True, kw_only=True):
    """A new process took over this journal. Open orders are asked about; ids carry the new epoch from here on."""

    epoch: int


class DecisionsStamped(_Event, frozen=True, kw_only=True):
    """What the run had decided up to here: a replay that decides otherwise is found at the next of these.

    The shell writes it into the journal; no kernel is told.
    """

    commands: int
    sha256: str


Event: TypeAlias = (
    BookChanged
    | BookInvalidated
    | TradePrinted
    | OrderReported
    | FillReported
    | AccountAnswered
    | BalanceReported
    | BlockSeen
    | PoolSnapshotted
    | PoolSynced
    | PoolBalancesSynced
    | PoolSwapped
    | PoolLiquidityChanged
    | PoolInvalidated
    | SwapSettled
    | TimerFired
    | OperatorSpoke
    | ParametersChanged
    | StrategyJoined
    | LimitsChanged
    | OrderRequested
    | CancelRequested
    | EngineRestarted
    | DecisionsStamped
)
PoolEvent: TypeAlias = (
    PoolSnapshotted | PoolSynced | PoolBalancesSynced | PoolSwapped | PoolLiquidityChanged | PoolInvalidated
)


# --- commands


class PlaceOrder(_Message, frozen=True, kw_only=True):
    client_order_id: str
    strategy: str
    instrument: str
    side: Side
    type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    qty_lots: int
    reduce_only: bool = False
    """Trades against a position only; of contracts."""
    caused_by_ns: int = 0
    """`received_ns` of the market event that led to it, or 0."""


class CancelOrder(_Message, frozen=True, kw_only=True):
    client_order_id: str
    instrument: str


class CancelAllOrders(_Message, frozen=True, kw_only=True):
    """Cancel every open order of ours at the venue, also ones this process does not know."""

    venue: str
    reason: str


class SubmitSwap(_Message, frozen=True, kw_only=True):
    """Ask custody for a swap. Amounts are raw text; the deadline is chain time in seconds."""

    intent_id: str
    strategy: str
    pool: str
    token_in: str
    token_out: str
    amount_in: str
    min_amount_out: str
    deadline_s: int


class AskOrder(_Message, frozen=True, kw_only=True):
    """Ask the venue what became of an order whose outcome is unknown."""

    client_order_id: str
    instrument: str


class RiskRejected(_Message, frozen=True, kw_only=True):
    """Nothing is sent: the risk gate refused. Told so that it is logged and counted."""

    strategy: str
    rule: str
    detail: str


class StageReached(_Message, frozen=True, kw_only=True):
    """The staged kill moved: `running`, `reduce`, `cancel`, `flatten` or `freeze`; which rule moved it, or none.

    Where it names a strategy, that one alone moved.
    """

    stage: str
    rule: str = ""
    strategy: str = ""


class WakeStrategy(_Message, frozen=True, kw_only=True):
    """Tell the strategy at this place `TimerFired` with its tag once its instant has come."""

    strategy: int
    at_ns: int
    tag: int


class AccountDiffers(_Message, frozen=True, kw_only=True):
    """A venue's answer contains what nobody here ordered, or lacks what the books hold. For people to look at."""

    finding: str
    client_order_id: str
    detail: str


Command: TypeAlias = (
    PlaceOrder
    | CancelOrder
    | CancelAllOrders
    | SubmitSwap
    | AskOrder
    | RiskRejected
    | StageReached
    | WakeStrategy
    | AccountDiffers
)
