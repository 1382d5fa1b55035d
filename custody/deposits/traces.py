"""Movements of coins in a call trace, as geth's `callTracer` writes it (reth, erigon, nethermind and anvil do too)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from chain import checksum
from domain import Address

_MOVING: Final = frozenset({"CALL", "CREATE", "CREATE2", "SELFDESTRUCT"})
"""DELEGATECALL shows its parent's value and CALLCODE pays its own account: neither moves a coin."""


@dataclass(frozen=True, slots=True)
class CoinMovement:
    """Coins that one call of a transaction moved. `leg` counts its calls depth-first; 0 is the transaction itself."""

    leg: int
    sender: Address
    target: Address
    raw: int


def coin_movements(trace: Mapping[str, Any]) -> list[CoinMovement]:
    """Give every movement that took effect: what a failed call did, and all calls within it, is undone."""
    found = []
    for leg, (call, is_undone) in enumerate(_calls(trace, is_undone=False)):
        raw = int(call.get("value") or "0x0", 16)
        if raw and not is_undone and call.get("type") in _MOVING and call.get("to"):
            found.append(CoinMovement(leg, checksum(call["from"]), checksum(call["to"]), raw))
    return found


def _calls(trace: Mapping[str, Any], *, is_undone: bool) -> Iterator[tuple[Mapping[str, Any], bool]]:
    """Walk depth-first without recursion: call stacks reach a depth of 1,024."""
    stack = [(trace, is_undone)]
    while stack:
        call, outer = stack.pop()
        undone = outer or bool(call.get("error"))
        yield call, undone
        stack += [(inner, undone) for inner in reversed(call.get("calls") or ())]
