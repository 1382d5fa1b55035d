"""How sure a block is: newest, safe, final. Chains say it by tags, or it is counted in blocks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from domain.errors import InputError


class Finality(StrEnum):
    """What may still happen to a block."""

    LATEST = "latest"
    """A reorganisation may take it back at any time."""
    SAFE = "safe"
    """Taken back only if much of the network misbehaves."""
    FINAL = "final"
    """Taken back never, as far as the chain promises."""


@dataclass(frozen=True, slots=True)
class FinalityRule:
    """Where a chain's safe and final blocks are.

    `tags`: the node is asked for its blocks `safe` and `finalized`; one that does not know them is counted for by the
    depths. `depth`: blocks that lie so many below the head.
    """

    kind: Literal["tags", "depth"] = "tags"
    safe_depth: int = 32
    final_depth: int = 64

    def __post_init__(self) -> None:
        if not 0 < self.safe_depth <= self.final_depth:
            raise InputError(f"finality: 0 < safe depth <= final depth, found {self.safe_depth} and {self.final_depth}")


@dataclass(frozen=True, slots=True)
class FinalityMarks:
    """The highest safe and final block numbers; -1 while there is none."""

    safe: int = -1
    final: int = -1

    def label(self, number: int) -> Finality:
        """Tell how sure a block is by its number; it must be on the chain."""
        if number <= self.final:
            return Finality.FINAL
        return Finality.SAFE if number <= self.safe else Finality.LATEST

    def risen(self, rule: FinalityRule, head: int, safe: int | None, final: int | None) -> FinalityMarks:
        """Give the marks after a look at the chain. They never go back: what was final once stays so.

        `safe` and `final` are the numbers of the node's tagged blocks, None for a tag it does not know.
        """
        by_depth = (head - rule.safe_depth, head - rule.final_depth)
        if rule.kind == "depth":
            safe = final = None
        final_now = max(self.final, by_depth[1] if final is None else final)
        return FinalityMarks(max(self.safe, final_now, by_depth[0] if safe is None else safe), final_now)
