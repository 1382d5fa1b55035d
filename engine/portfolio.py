"""What we hold, where, and what it is worth: balances by place, positions by economic asset, result by strategy.

An *economic asset* joins the forms of one thing: ETH is the exchange's ETH, the chain's ETH and WETH. Holdings are
exact integers; values are floats, because they only inform limits and reports. The ledger in the database is the book
of record; this is the kernel's own copy, rebuilt by replay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain import Asset, Fill, InputError, Instrument


@dataclass(frozen=True, slots=True)
class EconomicAsset:
    """One thing in all its forms. `mark` is the instrument that prices it, or None where it is the unit of account."""

    symbol: str
    members: tuple[Asset, ...]
    mark: str | None


class Portfolio:
    """Balances and results. Every change names the strategy that caused it.

    A coin that belongs to no economic asset (fees paid in a venue's own coin) is counted, but has no value here.
    """

    def __init__(self, assets: Mapping[str, EconomicAsset]) -> None:
        self._economic: dict[str, str] = {}
        self._assets: dict[str, Asset] = {}
        for economic in assets.values():
            for member in economic.members:
                if self._economic.setdefault(member.id, economic.symbol) != economic.symbol:
                    raise InputError(f"asset {member.id} belongs to two economic assets")
                self._assets[member.id] = member
        self._marks = {economic.symbol: economic.mark for economic in assets.values()}
        self.balances: dict[str, int] = {}
        self._positions: dict[str, float] = dict.fromkeys(self._marks, 0.0)
        self._by_strategy: dict[str, dict[str, int]] = {}

    def open_balance(self, asset_id: str, raw: int) -> None:
        """Take the first report of a holding as the start; later ones do not move the books, trades do."""
        self.balances.setdefault(asset_id, raw)

    def assets(self) -> Mapping[str, Asset]:
        """Every asset of the run, by id."""
        return self._assets

    def knows(self, asset_id: str) -> bool:
        return asset_id in self._assets

    def apply_fill(self, strategy: str, instrument: Instrument, fill: Fill) -> None:
        """Book a trade at an exchange: base, quote and fee legs, exact."""
        base_raw = _to_raw(instrument, fill.qty_lots)
        sign = fill.side.sign
        self._move(strategy, instrument.base.id, sign * base_raw)
        self._move(strategy, instrument.quote.id, -sign * fill.quote_raw)
        if fill.fee_raw:
            self._move(strategy, f"{instrument.venue}/{fill.fee_asset}", -fill.fee_raw)

    def move(self, strategy: str, asset_id: str, raw: int) -> None:
        """Book a change on chain: a swap's leg or its gas."""
        self._move(strategy, asset_id, raw)

    def position(self, symbol: str, strategy: str | None = None) -> float:
        """Whole units gained (+) or owed (-) since the start, over all forms; of one strategy when named."""
        if strategy is None:
            return self._positions[symbol]
        moved = self._by_strategy.get(strategy, {})
        return sum(
            raw / self._assets[asset_id].unit
            for asset_id, raw in moved.items()
            if self._economic.get(asset_id) == symbol
        )

    def economic_symbol(self, asset_id: str) -> str:
        return self._economic[asset_id]

    def result(self, marks: Mapping[str, float], strategy: str | None = None) -> float:
        """Profit and loss since the start in the unit of account, at the given marks (economic symbol → price)."""
        if strategy is None:
            return sum(quantity * marks[symbol] for symbol, quantity in self._positions.items() if quantity)
        moved = self._by_strategy.get(strategy, {})
        return sum(self._value(asset_id, raw, marks) for asset_id, raw in moved.items())

    def result_by_place(self, marks: Mapping[str, float], strategy: str) -> dict[str, float]:
        """A strategy's result at each place (venue or chain), in the unit of account; places in order of first use."""
        places: dict[str, float] = {}
        for asset_id, raw in self._by_strategy.get(strategy, {}).items():
            place = asset_id.partition("/")[0]
            places[place] = places.get(place, 0.0) + self._value(asset_id, raw, marks)
        return places

    def strategies(self) -> tuple[str, ...]:
        """Every strategy that changed a holding, in order of first trade."""
        return tuple(self._by_strategy)

    def exposure(self, marks: Mapping[str, float]) -> float:
        """Sum of the absolute values of what deviates from the start, unit of account left out."""
        return sum(abs(quantity) * marks[symbol] for symbol, quantity in self._positions.items() if self._marks[symbol])

    def mark_instruments(self) -> Mapping[str, str | None]:
        """Which instrument prices each economic asset."""
        return self._marks

    def is_priced(self, marks: Mapping[str, float]) -> bool:
        """Whether every position has a mark: without one a result would be a loss that never was."""
        return all(marks[symbol] > 0 for symbol, quantity in self._positions.items() if quantity)

    def _value(self, asset_id: str, raw: int, marks: Mapping[str, float]) -> float:
        if asset_id not in self._assets:
            return 0.0
        return raw / self._assets[asset_id].unit * marks[self._economic[asset_id]]

    def _move(self, strategy: str, asset_id: str, raw: int) -> None:
        self.balances[asset_id] = self.balances.get(asset_id, 0) + raw
        moved = self._by_strategy.setdefault(strategy, {})
        moved[asset_id] = moved.get(asset_id, 0) + raw
        if asset_id in self._assets:
            self._positions[self._economic[asset_id]] += raw / self._assets[asset_id].unit


def _to_raw(instrument: Instrument, lots: int) -> int:
    """Base raw units of a number of lots; exact because a lot is a whole number of smallest units."""
    raw = instrument.qty(lots) * instrument.base.unit
    whole = int(raw)
    if whole != raw:
        raise InputError(f"{instrument.id}: lot {instrument.lot_size} is finer than the asset's unit")
    return whole
