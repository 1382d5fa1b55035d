"""Signals that a strategy updates bar by bar and research computes over whole arrays, with the same result.

Every indicator is here twice: a class whose `update` takes the next value, and a function over an array. They do the
same sums in the same order, so they are equal bit for bit (and so is `native/core/src/batch`, which runs many parameter
sets at once). Only + - * / and the square root are used: the last bit is the same on every machine. What is not known
yet is NaN, which no comparison holds for.

The classes are their state: `msgspec.to_builtins` and `msgspec.convert` carry them through a snapshot.
"""

from engine.signals.averages import Ema, Sma, ema, sma
from engine.signals.momentum import Macd, Rsi, macd, rsi
from engine.signals.ranges import Atr, Highest, Lowest, atr, highest, lowest
from engine.signals.rules import (
    Breakout,
    MacdTrend,
    MovingAverages,
    RsiLevels,
    Rule,
    breakout_sides,
    macd_sides,
    moving_average_sides,
    rsi_sides,
)
from engine.signals.volatility import Volatility, volatility

__all__ = [
    "Atr",
    "Breakout",
    "Ema",
    "Highest",
    "Lowest",
    "Macd",
    "MacdTrend",
    "MovingAverages",
    "Rsi",
    "RsiLevels",
    "Rule",
    "Sma",
    "Volatility",
    "atr",
    "breakout_sides",
    "ema",
    "highest",
    "lowest",
    "macd",
    "macd_sides",
    "moving_average_sides",
    "rsi",
    "rsi_sides",
    "sma",
    "volatility",
]
