"""`capstan audit verify`: the log against itself, and against what was signed about it.

The chain finds a record that was edited, deleted, put in or moved without computing all later hashes anew; the
checkpoints find the rest: a log rewritten from somewhere on, and one cut short.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from custody.audit.chain import Break, Chain, Record, pages
from custody.audit.checkpoints import Checkpoint
from custody.audit.keeper import stored_checkpoints
from runtime.database import Database


@dataclass(frozen=True, slots=True)
class AuditVerification:
    """What was found. `first_bad` is the first record that is not as it was recorded.

    Where only a checkpoint tells, it is the first after the last checkpoint that holds: the altered one is it or one
    of those up to the checkpoint that does not.
    """

    records: int
    """How many hold, from the first on."""
    checkpoints: int
    """How many of them hold."""
    covered: int
    """Records up to the last checkpoint that holds: what lies after it could still be cut off unseen."""
    keys: tuple[str, ...]
    """Whose signatures these are."""
    first_bad: int | None
    problems: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        return not self.problems


def verify_audit(
    database: Database, *, exported: Sequence[Checkpoint] = (), trusted: Collection[str] = ()
) -> AuditVerification:
    """Check the whole log in one snapshot.

    Args:
        database: Where the log is.
        exported: Checkpoints from off this host; without them, whoever can write the database can cut the log short.
        trusted: Keys whose signatures count, as `Checkpoint.key` writes them; none given, any key's.
    """
    with database.snapshot() as session:
        stored = stored_checkpoints(session)
        checkpoints, problems = _usable(stored, exported, trusted)
        walk = _Walk(checkpoints)
        for page in pages(session):
            if not walk.over(page):
                break
        else:
            walk.end()
    return AuditVerification(
        records=walk.chain.count,
        checkpoints=walk.matched,
        covered=walk.covered,
        keys=tuple(sorted({checkpoint.key for checkpoint in checkpoints})),
        first_bad=None if walk.broken is None else walk.broken.sequence,
        problems=(*problems, *(() if walk.broken is None else (walk.broken.reason,))),
    )


class _Walk:
    """Follows the chain and stops at each checkpoint to compare."""

    def __init__(self, checkpoints: Sequence[Checkpoint]) -> None:
        self.chain = Chain()
        self.matched = 0
        self.covered = 0
        self.broken: Break | None = None
        self._ahead = list(reversed(checkpoints))

    def over(self, page: Sequence[Record]) -> bool:
        """Go over a page; False once something does not hold."""
        start = 0
        while start < len(page):
            reach = self._ahead[-1].count - self.chain.count if self._ahead else len(page)
            part = page[start : start + max(reach, 1)]
            self.broken = self.chain.follow(part)
            if self.broken is not None:
                return False
            start += len(part)
            if not self._compare():
                return False
        return True

    def end(self) -> None:
        """The log is at its end: nothing may have been signed about more."""
        if self._ahead:
            count = self.chain.count
            self.broken = Break(
                count + 1, f"the log ends after record {count}, a checkpoint was signed over {self._ahead[-1].count}"
            )

    def _compare(self) -> bool:
        while self._ahead and self._ahead[-1].count <= self.chain.count:
            checkpoint = self._ahead.pop()
            if (checkpoint.head, checkpoint.root) != (self.chain.head, self.chain.tree.root()):
                self.broken = Break(
                    self.covered + 1,
                    f"records {self.covered + 1} to {checkpoint.count} are not those that were signed over",
                )
                return False
            self.matched += 1
            self.covered = checkpoint.count
        return True


def _usable(
    stored: Sequence[Checkpoint], exported: Sequence[Checkpoint], trusted: Collection[str]
) -> tuple[list[Checkpoint], list[str]]:
    """The checkpoints to compare with, lowest first, and what is wrong with them as such."""
    problems = []
    known = set(stored)
    usable = set()
    for checkpoint in {*stored, *exported}:
        if checkpoint.count < 1 or not checkpoint.is_signed():
            problems.append(f"checkpoint {checkpoint.count} is not signed by the key it names")
        elif trusted and checkpoint.key not in trusted:
            problems.append(f"checkpoint {checkpoint.count} is signed by {checkpoint.key}, which is not trusted")
        else:
            usable.add(checkpoint)
            if checkpoint not in known:
                problems.append(f"checkpoint {checkpoint.count} was exported and is not in the database")
    return sorted(usable, key=lambda checkpoint: (checkpoint.count, checkpoint.signature)), sorted(problems)
