"""Merkle-sum trees over liabilities, one per asset: roots, and each user's path to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from custody.reserves.liabilities import Liabilities, Liability, by_asset
from custody.reserves.verifier import EMPTY, ProofError, depth, leaf, node
from domain import InputError

Node = tuple[bytes, int]
"""Hash and sum."""


class SumTree:
    """The tree of one asset. Keeps every level: a path is read off."""

    def __init__(self, items: Sequence[Liability]) -> None:
        self.index = {item.user: number for number, item in enumerate(items)}
        level: list[Node] = [leaf(item.asset, item.user, item.salt, item.raw) for item in items]
        level += [EMPTY] * ((1 << depth(len(items))) - len(items))
        self._levels = [level]
        while len(level) > 1:
            level = [node(level[number], level[number + 1]) for number in range(0, len(level), 2)]
            self._levels.append(level)

    @property
    def root(self) -> Node:
        return self._levels[-1][0]

    def path(self, index: int) -> list[Node]:
        """The siblings from a leaf up to the root."""
        return [level[index >> number ^ 1] for number, level in enumerate(self._levels[:-1])]


def root_file(liabilities: Liabilities) -> dict[str, Any]:
    """What is published: per asset how many users, the sum owed, and the root."""
    assets = []
    for asset, items in by_asset(liabilities.items).items():
        digest, total = SumTree(items).root
        assets.append({"asset": asset, "users": len(items), "sum": str(total), "root": digest.hex()})
    return {
        "format": "capstan/reserves/v1",
        "build": liabilities.build,
        "time_ns": liabilities.time_ns,
        "entries": liabilities.entries,
        "assets": assets,
    }


def user_proof(liabilities: Liabilities, user: str) -> dict[str, Any]:
    """What one user gets: each balance, its salt, and the way to the root.

    Raises:
        InputError: Nothing is owed to this user.
    """
    balances = []
    for asset, items in by_asset(liabilities.items).items():
        mine = [item for item in items if item.user == user]
        if not mine:
            continue
        tree = SumTree(items)
        index = tree.index[user]
        balances.append(
            {
                "asset": asset,
                "raw": str(mine[0].raw),
                "salt": mine[0].salt.hex(),
                "index": index,
                "path": [{"hash": digest.hex(), "sum": str(total)} for digest, total in tree.path(index)],
            }
        )
    if not balances:
        raise InputError(f"nothing is owed to {user} in this build")
    return {"format": "capstan/reserves-proof/v1", "build": liabilities.build, "user": user, "balances": balances}


def check_liabilities(root: dict[str, Any], liabilities: Liabilities) -> None:
    """Check, as an auditor who is shown all of it, that the published root is over exactly these liabilities.

    Raises:
        ProofError: A leaf was altered, dropped, added or used twice, or a balance is negative.
    """
    wanted = root_file(liabilities)
    if {key: root.get(key) for key in wanted} != wanted:
        named = {entry["asset"]: entry for entry in root.get("assets", ())}
        for entry in wanted["assets"]:
            if named.get(entry["asset"]) != entry:
                raise ProofError(f"{entry['asset']}: the published root is not over these liabilities")
        raise ProofError("the root file does not belong to these liabilities")
