"""Several strategies on one desk: what they want in opposite directions meets inside, the rest goes out as one order.

    members ──take──> wishes ──cross at the mid──> trades inside
                        └── rest, one order a limit ──> venue ──fills──> shared out exactly ──> sub-ledgers

`allocation.py` shares whole numbers so that nothing is lost, `ledger.py` is what each member gained and owes,
`desk.py` crosses and groups, `context.py` is what a member sees instead of the kernel. Pure but for the last.
"""

from engine.netting.allocation import share_lots, share_proportionally
from engine.netting.context import MemberContext
from engine.netting.desk import Group, NettingDesk, Share, Wish
from engine.netting.ledger import Row, SubLedgers

__all__ = [
    "Group",
    "MemberContext",
    "NettingDesk",
    "Row",
    "Share",
    "SubLedgers",
    "Wish",
    "share_lots",
    "share_proportionally",
]
