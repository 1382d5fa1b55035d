"""Several lines of one market's data made into one: `Arbiter` for numbered messages, `Merger` for books that are
states.
"""

from cex.feeds.arbiter import Arbiter, Gap
from cex.feeds.merger import Merger, Ordering

__all__ = ["Arbiter", "Gap", "Merger", "Ordering"]
