"""What swaps were expected to give, written down before they are sent; what they gave is in custody's books.

One line of JSON a swap in `swaps.jsonl` beside the books, on disk before custody hears of the intent: a process that
dies in between leaves an expectation without an outcome, never an outcome nobody expected.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from dex.execution.slippage import Bounds
from dex.execution.swaps import Way
from dex.routing.quote import Quote
from domain import InputError
from domain.events import SwapSettled


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """A swap as it was quoted and bounded. Amounts are raw, as text."""

    intent_id: str
    quote_id: str
    time_ns: int
    chain_id: int
    block_number: int
    token_in: str
    token_out: str
    symbol_in: str
    symbol_out: str
    decimals_in: int
    decimals_out: int
    amount_in: str
    amount_out: str
    amount_in_max: str
    amount_out_min: str
    is_exact_out: bool
    router: str
    pools: tuple[str, ...]
    mid_price: str
    """Raw output per raw input, a fraction."""
    impact_bps: float
    by_call: tuple[str, ...] = ()


class Realised(msgspec.Struct, frozen=True, kw_only=True):
    """A swap with what became of it."""

    expected: Expected
    status: str
    """`mined`, `failed`, `refused`, or `open` while there is no outcome."""
    amount_in: str = "0"
    amount_out: str = "0"
    difference_bps: float | None = None
    """How much better (negative: worse) than the quote it ended, on the side that was not fixed."""
    gas_cost_wei: str = "0"
    tx_hash: str = ""
    block_number: int | None = None
    reason: str = ""


def expectation(quote: Quote, bounds: Bounds, way: Way, *, intent_id: str, time_ns: int) -> Expected:
    """Write down what a swap promises."""
    pools = dict.fromkeys(str(hop.pool.id) for path in quote.paths for hop in path.hops)
    return Expected(
        intent_id=intent_id,
        quote_id=quote.id,
        time_ns=time_ns,
        chain_id=quote.chain_id,
        block_number=quote.block_number,
        token_in=quote.token_in.id,
        token_out=quote.token_out.id,
        symbol_in=quote.token_in.symbol,
        symbol_out=quote.token_out.symbol,
        decimals_in=quote.token_in.decimals,
        decimals_out=quote.token_out.decimals,
        amount_in=str(quote.amount_in),
        amount_out=str(quote.amount_out),
        amount_in_max=str(bounds.amount_in_max),
        amount_out_min=str(bounds.amount_out_min),
        is_exact_out=quote.is_exact_out,
        router=way.through,
        pools=tuple(pools),
        mid_price=str(quote.mid_price),
        impact_bps=round(quote.impact_bps, 4),
        by_call=quote.by_call,
    )


def realised(expected: Expected, settled: SwapSettled | None) -> Realised:
    """Hold an outcome against what was expected."""
    if settled is None:
        return Realised(expected=expected, status="open")
    difference = None
    if settled.status == "mined":
        quoted, got = (
            (int(expected.amount_in), int(settled.amount_in))
            if expected.is_exact_out
            else (int(expected.amount_out), int(settled.amount_out))
        )
        better = quoted - got if expected.is_exact_out else got - quoted
        difference = round(better / quoted * 10_000, 4)
    return Realised(
        expected=expected,
        status=settled.status,
        amount_in=settled.amount_in,
        amount_out=settled.amount_out,
        difference_bps=difference,
        gas_cost_wei=settled.gas_cost_wei,
        tx_hash=settled.tx_hash,
        block_number=settled.block_number,
        reason=settled.reason,
    )


class SwapLog:
    """The file of one desk."""

    def __init__(self, root: Path) -> None:
        self.path = root / "swaps.jsonl"

    def append(self, expected: Expected) -> None:
        """Write a line that survives a crash.

        Raises:
            InputError: The file cannot be written.
        """
        try:
            with self.path.open("ab") as file:
                file.write(msgspec.json.encode(expected) + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as exc:
            raise InputError(f"cannot write {self.path}: {exc.strerror}") from exc

    def read(self, outcome: Callable[[str], SwapSettled | None]) -> list[Realised]:
        """List swaps, oldest first, with what `outcome` knows of each intent. A line that a crash cut is left out."""
        return [realised(expected, outcome(expected.intent_id)) for expected in _lines(self.path)]


def _lines(path: Path) -> Iterator[Expected]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    lines: Iterable[bytes] = content.splitlines()
    for line in lines:
        try:
            yield msgspec.json.decode(line, type=Expected)
        except msgspec.DecodeError:
            continue
