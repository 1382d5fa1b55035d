"""The opportunity log: what was found, what was predicted, what became of it. One JSON line each, appended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import msgspec

from domain.errors import InputError


class Found(msgspec.Struct, frozen=True, kw_only=True, tag="found"):
    """A cycle that was worth carrying out. Amounts are raw units of `token`, as text."""

    id: str
    """The intent's id in custody."""
    time_ns: int
    block_number: int
    """The state it was found on."""
    token: str
    """Asset id of what the profit is counted in."""
    symbol: str
    decimals: int
    pools: tuple[str, ...]
    path: str
    """For reading: `WETH -v2-> USDC -v3-> WETH`."""
    funding: str
    amount_in: str
    profit: str
    """Predicted, after the lender's fee and before gas."""
    gas_units: int
    gas_cost: str
    token_wei: float
    """What a raw unit was worth in wei then."""
    behind: str = ""
    """Hash of the pending transaction it was to follow; empty for what a block left behind."""


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended"):
    """What became of it."""

    id: str
    time_ns: int
    status: str
    """`mined`, `failed` (reverted: gas was paid), `refused` (nothing was sent), `unknown`."""
    profit: str = "0"
    gas_cost_wei: str = "0"
    tx_hash: str = ""
    block_number: int | None = None
    reason: str = ""


_DECODER: Final = msgspec.json.Decoder(Found | Ended)


@dataclass(frozen=True, slots=True)
class Row:
    """An opportunity with its outcome, if it has one."""

    found: Found
    ended: Ended | None

    @property
    def status(self) -> str:
        return self.ended.status if self.ended is not None else "open"

    @property
    def predicted(self) -> int:
        return int(self.found.profit)

    @property
    def realised(self) -> int:
        return int(self.ended.profit) if self.ended is not None else 0

    @property
    def gas_wei(self) -> int:
        return int(self.ended.gas_cost_wei) if self.ended is not None else 0

    @property
    def error_bps(self) -> float:
        """How far the realised profit is from the predicted one; of what was mined only."""
        return (self.realised / self.predicted - 1) * 10_000 if self.status == "mined" and self.predicted else 0.0


class OpportunityLog:
    """The file. A line that a crash cut off is left out when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, entry: Found | Ended) -> None:
        """Write one line."""
        line = msgspec.json.encode(entry) + b"\n"
        with self.path.open("ab") as file:
            if file.tell() and self._is_torn():
                file.write(b"\n")
            file.write(line)

    def rows(self) -> list[Row]:
        """Every opportunity with its last outcome, in the order they were found.

        Raises:
            InputError: The file holds something else.
        """
        found: dict[str, Found] = {}
        ended: dict[str, Ended] = {}
        for entry in self._entries():
            if isinstance(entry, Found):
                found[entry.id] = entry
            else:
                ended[entry.id] = entry
        return [Row(entry, ended.get(name)) for name, entry in found.items()]

    def _entries(self) -> Iterator[Found | Ended]:
        if not self.path.exists():
            return
        lines = self.path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line:
                continue
            try:
                yield _DECODER.decode(line)
            except msgspec.DecodeError as exc:
                # A crash cuts the line that is being written; the next one begins anew.
                if line.endswith(b"}"):
                    raise InputError(f"{self.path}: line {number} is no entry of an opportunity log") from exc

    def _is_torn(self) -> bool:
        with self.path.open("rb") as file:
            file.seek(-1, 2)
            return file.read(1) != b"\n"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a stretch of the log adds up to, in wei."""

    found: int
    mined: int
    reverted: int
    refused: int
    open: int
    predicted_wei: int
    """Of what was mined."""
    realised_wei: int
    gas_wei: int
    """Of what was mined or reverted."""

    @property
    def net_wei(self) -> int:
        return self.realised_wei - self.gas_wei

    @property
    def realised_share(self) -> float:
        """Realised of predicted profit; 1 is as predicted."""
        return self.realised_wei / self.predicted_wei if self.predicted_wei else 1.0

    @property
    def reverted_share(self) -> float:
        """Of the transactions that were sent."""
        sent = self.mined + self.reverted
        return self.reverted / sent if sent else 0.0


def summarise(rows: Iterable[Row]) -> Summary:
    """Add a log up. Profits in tokens are counted at what they were worth when they were found."""
    rows = list(rows)

    def count(status: str) -> int:
        return sum(row.status == status for row in rows)

    mined = [row for row in rows if row.status == "mined"]
    return Summary(
        found=len(rows),
        mined=len(mined),
        reverted=count("failed"),
        refused=count("refused"),
        open=count("open") + count("unknown"),
        predicted_wei=sum(int(row.predicted * Fraction(row.found.token_wei)) for row in mined),
        realised_wei=sum(int(row.realised * Fraction(row.found.token_wei)) for row in mined),
        gas_wei=sum(row.gas_wei for row in rows),
    )
