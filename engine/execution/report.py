"""What an execution cost: against the price it met when it began, and against what everybody else paid meanwhile."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from domain import Instrument
from engine.execution.paced import Paced, ParentOrder


@dataclass(frozen=True, slots=True)
class ExecutionReport:
    """Of one parent order. Basis points are costs: positive is worse, whichever side. None: nothing to compare with."""

    side: str
    qty: float
    """Base units that were wanted."""
    filled: float
    fills: int
    maker_share: float
    """Of what was filled: rested and was taken."""
    seconds: float
    price_arrival: float
    """The mid when it began."""
    price_average: float | None
    price_vwap: float | None
    """What the market traded at from its beginning to its end, by volume."""
    shortfall_bps: float | None
    """Average against arrival, before fees."""
    vwap_bps: float | None
    """Average against the market's."""
    fees_bps: float | None
    """Fees in base and quote; a third asset's are not priced here."""
    unfilled_bps: float | None
    """What was left undone costs at the last mid, in parts of the whole order at arrival."""
    shortfall_total_bps: float | None
    """Implementation shortfall (Perold): trades, fees and what was left undone, in parts of the whole at arrival."""
    participation: float | None
    """Its volume in parts of the market's, as public trades tell it."""
    slice_max: float | None
    """Base units of the largest slice: what the deviations are bounded by."""
    ahead_max: float
    """Base units that most were done beyond the schedule."""
    behind_max: float

    def to_json(self) -> dict[str, Any]:
        """Return the figures by name, rounded for reading."""
        return {name: round(v, 8) if isinstance(v, float) else v for name, v in asdict(self).items()}


def report_on(order: ParentOrder, terms: Instrument, *, now_ns: int) -> ExecutionReport:
    """Report on an order as it stands: ended, or under way at `now_ns`.

    For instruments whose lots are base units; of inverse contracts the fees come out wrong.
    """
    tally, lot, tick = order.tally, float(terms.lot_size), float(terms.tick_size)
    sign = 1.0 if order.side == 0 else -1.0
    done, arrival, last = order.done, tally.arrival / 2 * tick, tally.mid / 2 * tick
    average = tally.value / done * tick if done else None
    vwap = tally.tape_value / tally.tape_lots * tick if tally.tape_lots else None
    fees = (
        tally.fee_quote_raw / terms.quote.unit + tally.fee_base_raw / terms.base.unit * (average or 0.0)
        if done
        else 0.0
    )
    whole = order.total * lot * arrival
    missing = (order.total - done) * lot * sign * (last - arrival)
    cost = done * lot * sign * (average - arrival) if average is not None else 0.0
    return ExecutionReport(
        side="buy" if order.side == 0 else "sell",
        qty=order.total * lot,
        filled=done * lot,
        fills=tally.fills,
        maker_share=tally.lots_maker / done if done else 0.0,
        seconds=((order.ended_ns or now_ns) - order.begun_ns) / 1e9,
        price_arrival=arrival,
        price_average=average,
        price_vwap=vwap,
        shortfall_bps=_bps(sign * (average - arrival), arrival) if average is not None else None,
        vwap_bps=_bps(sign * (average - vwap), vwap) if average is not None and vwap is not None else None,
        fees_bps=_bps(fees, done * lot * average) if average is not None else None,
        unfilled_bps=_bps(missing, whole),
        shortfall_total_bps=_bps(cost + fees + missing, whole),
        participation=done / tally.tape_lots if tally.tape_lots else None,
        slice_max=order.slice_max() * lot if isinstance(order, Paced) else None,
        ahead_max=tally.ahead * lot,
        behind_max=tally.behind * lot,
    )


def _bps(part: float, whole: float) -> float | None:
    return part / whole * 10_000 if whole else None
