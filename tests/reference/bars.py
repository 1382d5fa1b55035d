"""Bars from trades, written to be read. The oracle of `capstan_native.bars`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Trade: TypeAlias = tuple[int, int, int, int]
"""Time, price, lots, taker's side (0 buys)."""

Bar: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int]
"""Begin, end, open, high, low, close, volume, bought, value, trades."""


def bars(trades: Sequence[Trade], rule: str, size: int) -> list[Bar]:
    """Group trades, then sum each group; the last group is left out while it is not over."""
    groups: list[list[Trade]] = []
    whole: list[bool] = []
    for trade in trades:
        if rule == "time":
            if groups and trade[0] < (groups[-1][0][0] // size + 1) * size:
                groups[-1].append(trade)
                continue
            whole[-1:] = [True] * bool(groups)
        elif groups and not whole[-1]:
            groups[-1].append(trade)
            whole[-1] = _reached(groups[-1], rule) >= size
            continue
        groups.append([trade])
        whole.append(rule != "time" and _reached([trade], rule) >= size)
    return [_bar(group, rule, size) for group, is_whole in zip(groups, whole, strict=True) if is_whole]


def _reached(group: list[Trade], rule: str) -> int:
    match rule:
        case "ticks":
            return len(group)
        case "volume":
            return sum(lots for _, _, lots, _ in group)
        case _:
            return sum(price * lots for _, price, lots, _ in group)


def _bar(group: list[Trade], rule: str, size: int) -> Bar:
    prices = [price for _, price, _, _ in group]
    begin, end = group[0][0], group[-1][0]
    if rule == "time":
        begin = begin // size * size
        end = begin + size
    return (
        begin,
        end,
        prices[0],
        max(prices),
        min(prices),
        prices[-1],
        sum(lots for _, _, lots, _ in group),
        sum(lots for _, _, lots, side in group if side == 0),
        sum(price * lots for _, price, lots, _ in group),
        len(group),
    )
