"""What trading costs: rates by the volume of the last thirty days.

Rates are counted in pips, hundredths of a basis point. An account's volume is what it traded on either side in the
last thirty days (UTC, today included), each trade's value in one common unit; the tier that it reached before a trade
is the one that trade pays.

A negative maker rate is a rebate. It is paid out of the taker's commission of the same trade, in that commission's
asset: so no rate of a maker may be lower than the lowest taker's rate below zero, and the exchange never pays what it
has not just received.
"""

from __future__ import annotations

import json
import tomllib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from cex.sandbox.accounts import Account
from cex.sandbox.config import UNIT, UNIT_DECIMALS, FeeTier
from domain import InputError, parse_units

PIPS: Final = 1_000_000
DAYS: Final = 30
_DAY_MS: Final = 86_400_000
_KEYS: Final = frozenset({"volume_from", "maker_bps", "taker_bps"})


class FeeSchedule:
    """See the module.

    Raises:
        InputError: Tiers do not begin at 0 and rise, a rate is finer than a pip or out of range, or a rebate exceeds
            what a taker pays.
    """

    def __init__(self, tiers: Sequence[FeeTier], unit_values: Mapping[str, str] | None = None) -> None:
        self._from_raw = [parse_units(tier.volume_from, UNIT_DECIMALS) for tier in tiers]
        self._rates = [(_pips(tier.maker_bps, -PIPS), _pips(tier.taker_bps, 0)) for tier in tiers]
        self._values = {asset: parse_units(value, UNIT_DECIMALS) for asset, value in (unit_values or {}).items()}
        if not tiers or self._from_raw[0] or any(more <= less for less, more in pairwise(self._from_raw)):
            raise InputError("fee tiers begin with volume_from 0, and each begins at more than the one before")
        lowest_taker, lowest_maker = min(taker for _, taker in self._rates), min(maker for maker, _ in self._rates)
        if lowest_maker + lowest_taker < 0:
            raise InputError(
                f"a rebate of {-lowest_maker / 100:g} bps exceeds the lowest taker fee of {lowest_taker / 100:g} bps",
                hint="rebates are paid out of what the taker of the same trade pays",
            )

    def rates(self, account: Account, now_ms: int) -> tuple[int, int]:
        """An account's rates in pips: maker, taker. Those of the background have the first tier."""
        if len(self._rates) == 1 or account.is_background:
            return self._rates[0]
        if account.spec.fee_tier is not None:
            return self._rates[min(account.spec.fee_tier, len(self._rates) - 1)]
        return self._rates[bisect_right(self._from_raw, self.volume_raw(account, now_ms)) - 1]

    def volume_raw(self, account: Account, now_ms: int) -> int:
        """What an account traded in thirty days, in 1e-8 of the common unit."""
        oldest = now_ms // _DAY_MS - DAYS + 1
        for day in [day for day in account.volumes if day < oldest]:
            del account.volumes[day]
        return sum(account.volumes.values())

    def traded(self, account: Account, asset: str, raw: int, now_ms: int) -> None:
        """Count a trade of so much of a quote asset; an asset without a value counts as it is."""
        if len(self._rates) == 1 or account.is_background:
            return
        day, value = now_ms // _DAY_MS, self._values.get(asset, UNIT)
        account.volumes[day] = account.volumes.get(day, 0) + raw * value // UNIT


def load_fee_tiers(path: Path) -> tuple[FeeTier, ...]:
    """Read fee tiers from a TOML or JSON file: a list `tiers` of tables with `volume_from`, `maker_bps`, `taker_bps`.

    Raises:
        InputError: The file cannot be read, or a tier is incomplete.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as exc:
        raise InputError(f"fees file {path}: {type(exc).__name__}", hint="TOML or JSON with a list `tiers`") from exc
    rows = document.get("tiers") if isinstance(document, dict) else None
    if not isinstance(rows, list) or not rows:
        raise InputError(f"fees file {path}: expected a list `tiers`")
    tiers = tuple(_tier(row, f"fees file {path}, tier {number}") for number, row in enumerate(rows, 1))
    FeeSchedule(tiers)
    return tiers


def _tier(row: Any, where: str) -> FeeTier:
    if not isinstance(row, dict) or set(row) != _KEYS or not all(isinstance(value, str) for value in row.values()):
        raise InputError(f"{where}: expected the decimal texts {', '.join(sorted(_KEYS))}")
    try:
        parse_units(row["volume_from"], UNIT_DECIMALS)
        return FeeTier(row["volume_from"], Decimal(row["maker_bps"]), Decimal(row["taker_bps"]))
    except InvalidOperation as exc:
        raise InputError(f"{where}: maker_bps and taker_bps must be decimal texts") from exc


def _pips(bps: Decimal, least: int) -> int:
    pips = bps * 100
    if not pips.is_finite() or pips != pips.to_integral_value() or not least < pips + 1 <= PIPS:
        raise InputError(f"a fee of {bps} bps is not a whole number of hundredths of a basis point within 10000")
    return int(pips)
