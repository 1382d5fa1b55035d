"""A second opinion on quotes, from code that shares nothing with ours: uniswap-python in a process of its own.

Optional. It needs its own environment (`make crosscheck`) because it cannot live beside web3 8 (docs/adr/0011).
"""

from dex.crosscheck.opinion import Opinion, check_quote, ensure_agreement, opinion_on
from dex.crosscheck.process import UniswapPython

__all__ = ["Opinion", "UniswapPython", "check_quote", "ensure_agreement", "opinion_on"]
