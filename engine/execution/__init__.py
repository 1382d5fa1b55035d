"""Execution: parent orders that a strategy owns, worked off by child orders, and what they cost.

    class Mine(Strategy):
        def on_start(self, ctx):
            self.order = Paced(BUY, Linear(600_000_000_000), Pace(...))
            self.order.begin(ctx, 0, 5_000, at_ns=ctx.now_ns)

        def on_book(self, ctx, book):
            self.order.advance(ctx)

A strategy passes books, timers and reports to `advance`, fills to `on_fill`, trades to `on_trades`. See docs/execution.
"""

from engine.execution.composite import Composite, Oco, Oto, Part, Single, Stop
from engine.execution.iceberg import Iceberg
from engine.execution.leg import BUY, SELL, Leg
from engine.execution.paced import Pace, Paced, ParentOrder
from engine.execution.participation import Participating
from engine.execution.report import ExecutionReport, report_on
from engine.execution.saved import Saved
from engine.execution.schedules import AlmgrenChriss, Curve, Linear, Schedule

__all__ = [
    "BUY",
    "SELL",
    "AlmgrenChriss",
    "Composite",
    "Curve",
    "ExecutionReport",
    "Iceberg",
    "Leg",
    "Linear",
    "Oco",
    "Oto",
    "Pace",
    "Paced",
    "ParentOrder",
    "Part",
    "Participating",
    "Saved",
    "Schedule",
    "Single",
    "Stop",
    "report_on",
]
