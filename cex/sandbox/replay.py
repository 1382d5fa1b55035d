"""Background liquidity from a recording: the market as it was, with whatever clients add to it.

A line is `<receive time in ns> <message>`: combined-stream depth diffs and trades of one symbol, and one REST depth
snapshot (no `stream` key). Each recorded level is one order of the `replay` account, resized as the recording says;
each recorded trade is an immediate order of the `replay-taker` account, so that a client's better price is filled.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import capstan_native as native
import msgspec

from cex.sandbox.config import UNIT_DECIMALS, AccountSpec, ReplayConfig
from cex.sandbox.errors import ApiError
from cex.sandbox.exchange import Exchange
from cex.sandbox.orders import SIDES, NewOrder, Order
from domain import InputError, parse_units

_BALANCE: Final = "1000000000"


class Replay:
    """One recording played into one symbol."""

    def __init__(self, exchange: Exchange, config: ReplayConfig) -> None:
        if config.speed <= 0:
            raise InputError(f"replay speed must be positive, found {config.speed}")
        self._exchange = exchange
        self._spec = exchange.markets[config.symbol].spec
        self._speed = config.speed
        balances = {self._spec.base: _BALANCE, self._spec.quote: _BALANCE}
        self._account = exchange.open_account(AccountSpec("replay", "", balances=balances), is_background=True)
        self._taker = exchange.open_account(AccountSpec("replay-taker", "", balances=balances), is_background=True)
        self._levels: dict[tuple[int, int], Order] = {}
        self._snapshot_id = 0
        self._kept: list[dict[str, Any]] = []
        self._lines = _lines(config.path)
        self._next = next(self._lines, None)
        if self._next is None:
            raise InputError(f"recording {config.path} is empty")
        self._start_ns = self._next[0]
        self._elapsed_ns = 0

    @property
    def is_over(self) -> bool:
        return self._next is None

    def advance(self, elapsed_ns: int) -> int:
        """Let real time pass; apply what the recording holds for it at the set speed, and return how many messages."""
        self._elapsed_ns += int(elapsed_ns * self._speed)
        count = 0
        while self._next is not None and self._next[0] - self._start_ns <= self._elapsed_ns:
            self._apply(self._next[1])
            self._next = next(self._lines, None)
            count += 1
        return count

    def _apply(self, message: dict[str, Any]) -> None:
        if "lastUpdateId" in message:
            self._snapshot_id = message["lastUpdateId"]
            self._set_levels(message["bids"], message["asks"])
            kept, self._kept = self._kept, []
            for diff in kept:
                self._diff(diff)
            return
        data = message.get("data", message)
        if data.get("s") != self._spec.name:
            return
        if data.get("e") == "depthUpdate":
            self._diff(data)
        elif data.get("e") == "trade":
            self._trade(data)

    def _diff(self, data: dict[str, Any]) -> None:
        if not self._snapshot_id:
            self._kept.append(data)
        elif data["u"] > self._snapshot_id:
            self._set_levels(data["b"], data["a"])

    def _set_levels(self, bids: list[list[str]], asks: list[list[str]]) -> None:
        levels = [
            (side, parse_units(price, UNIT_DECIMALS), parse_units(qty, UNIT_DECIMALS))
            for side, rows in ((native.BUY, bids), (native.SELL, asks))
            for price, qty in rows
        ]
        # What goes away goes first: then a level that moved does not trade with its own shadow.
        for side, price_raw, qty_raw in sorted(levels, key=lambda level: level[2] > 0):
            self._set_level(side, price_raw, qty_raw)

    def _set_level(self, side: int, price_raw: int, qty_raw: int) -> None:
        # Old orders of the real venue may be finer than today's lot.
        qty_raw -= qty_raw % self._spec.lot_raw
        old = self._levels.pop((side, price_raw), None)
        if old is not None and old.status.is_open:
            if old.open_lots * self._spec.lot_raw == qty_raw:
                self._levels[side, price_raw] = old
                return
            self._exchange.cancel(old)
        if qty_raw:
            order = self._send(self._account.id, side, price_raw, qty_raw, "GTC")
            if order is not None and order.status.is_open:
                self._levels[side, price_raw] = order

    def _trade(self, data: dict[str, Any]) -> None:
        side = native.SELL if data["m"] else native.BUY
        price_raw, qty_raw = parse_units(data["p"], UNIT_DECIMALS), parse_units(data["q"], UNIT_DECIMALS)
        self._send(self._taker.id, side, price_raw, qty_raw, "IOC")

    def _send(self, account_id: int, side: int, price_raw: int, qty_raw: int, time_in_force: str) -> Order | None:
        qty_raw -= qty_raw % self._spec.lot_raw
        if price_raw % self._spec.tick_raw:
            raise InputError(f"recording: {SIDES[side]} price {price_raw} (1e-8) is off {self._spec.name}'s tick")
        if not qty_raw:
            return None
        request = NewOrder(side, "LIMIT", time_in_force, price_raw=price_raw, qty_raw=qty_raw)
        try:
            return self._exchange.place(self._exchange.accounts[account_id], self._spec.name, request)
        except ApiError:
            return None


def _lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read a recording.

    Raises:
        InputError: The file cannot be read or a line is no recording's.
    """
    number = 0
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
            for line in file:
                number += 1
                stamp, _, text = line.partition(b" ")
                yield int(stamp), msgspec.json.decode(text, type=dict[str, Any])
    except (OSError, EOFError, ValueError, msgspec.DecodeError) as exc:
        raise InputError(f"recording {path}, line {number}: {exc}") from exc
