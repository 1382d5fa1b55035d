"""Solvency: do we hold what we owe, per kind of value, now?

Reconciliation waits for finality; theft does not. So this looks at the newest state: of every place the smaller of
what is booked and what is there counts, and what is in flight. What clients are owed must not be more. (THORChain lost
a vault's key in May 2026; a check like this saw it within minutes.)
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from custody.ledger import balances_in
from domain import InputError
from runtime.database import Database


@dataclass(frozen=True, slots=True)
class AssetGroup:
    """Assets that stand for one another: a coin on a chain and at an exchange. `members`: asset id to decimals."""

    name: str
    members: Mapping[str, int]

    @property
    def decimals(self) -> int:
        """Of the finest member: what sums are counted in."""
        return max(self.members.values())

    def scaled(self, asset: str, raw: int) -> int:
        """An amount of a member in the group's unit; exact."""
        return int(raw * 10 ** (self.decimals - self.members[asset]))


@dataclass(frozen=True, slots=True)
class Solvency:
    """Of one group, in its finest unit."""

    name: str
    held_raw: int
    owed_raw: int

    @property
    def is_solvent(self) -> bool:
        return self.held_raw >= self.owed_raw


def solvency(
    database: Database, found: Mapping[str, Mapping[str, int]], groups: Sequence[AssetGroup] = ()
) -> list[Solvency]:
    """Compare what is held with what is owed, for every asset that is owed or grouped.

    Args:
        database: The books.
        found: What places hold now, by account and asset id. A place that is not here does not count at all.
        groups: Assets in no group stand for themselves.

    Raises:
        InputError: An asset is in two groups.
    """
    group_of: dict[str, AssetGroup] = {}
    for group in groups:
        for asset in group.members:
            if asset in group_of:
                raise InputError(f"{asset} is in two groups: {group_of[asset].name} and {group.name}")
            group_of[asset] = group
    held: dict[str, int] = defaultdict(int)
    owed: dict[str, int] = defaultdict(int)
    with database.snapshot() as session:
        booked = balances_in(session)
    for account, balances in booked.items():
        for asset, raw in balances.items():
            owner = group_of.get(asset)
            name, scaled = (asset, raw) if owner is None else (owner.name, owner.scaled(asset, raw))
            if account.startswith("user/"):
                owed[name] -= scaled
            elif account.startswith("inflight/"):
                held[name] += scaled
            elif account in found:
                there = found[account].get(asset, 0)
                counted = min(raw, there)
                held[name] += counted if owner is None else owner.scaled(asset, counted)
    names = sorted({*owed, *(group.name for group in groups)})
    return [Solvency(name, held[name], owed[name]) for name in names]
