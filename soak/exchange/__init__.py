"""The fault run: an engine trades on the sandbox exchange while both are disturbed, and the books must come out true.

    strategy.py   who trades: seeded, every kind of order the engine sends, quotes that move, cancels
    trader.py     our process: the kernel, the journal and the adapter, on one exchange account
    processes.py  the exchange and the trader as processes that may be killed and started again
    truth.py      what must hold afterwards, asked of the exchange without the product's code
    run.py        what strikes, when, by one seed

`python -m soak.exchange --orders 100000` plays it whole; `tests/cex/test_fault_run.py` a short one.
"""

from soak.exchange.run import Outcome, Plan, play

__all__ = ["Outcome", "Plan", "play"]
