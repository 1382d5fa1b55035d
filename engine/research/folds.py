"""Where to train and where to test, so that neither sees the other.

Purged are bars that are trained on but whose outcome reaches into the test (a position held for so long); under embargo
are bars after a test that still remember it (López de Prado 2018, chapter 7).
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import NamedTuple

from domain import InputError


class Range(NamedTuple):
    """Bars from `begin` to `end` (not included)."""

    begin: int
    end: int

    @property
    def bars(self) -> int:
        return self.end - self.begin


class Fold(NamedTuple):
    """Trained on some ranges, tested on one that none of them touches."""

    train: tuple[Range, ...]
    test: Range


def walk_forward(
    n: int, *, train: int, test: int, purge: int = 0, embargo: int = 0, anchored: bool = False, begin: int = 0
) -> list[Fold]:
    """Train on the past, test on what follows, move on by the length of a test; tests touch but do not overlap.

    Nothing that is trained on comes after its test, so that purge and embargo together are the gap between the two. A
    last test that would be shorter than half a test is left out.

    Args:
        n: Bars there are.
        train: Bars to train on (at first, when anchored).
        test: Bars to test on.
        purge: See the module.
        embargo: See the module.
        anchored: Train on everything since `begin`, not on the last `train` bars.
        begin: The first bar to train on.

    Raises:
        InputError: Not even one fold.
    """
    gap = purge + embargo
    if min(train, test) < 1 or gap < 0 or purge < 0:
        raise InputError(f"cannot train on {train} and test on {test} bars with a gap of {gap}")
    folds = []
    at = begin + train + gap
    while n - at >= max(1, (test + 1) // 2):
        end = at - gap
        folds.append(Fold((Range(begin if anchored else end - train, end),), Range(at, min(at + test, n))))
        at += test
    if not folds:
        raise InputError(f"{n - begin} bars are too few to train on {train} and test on {test}, with a gap of {gap}")
    return folds


def blocks(n: int, count: int, begin: int = 0) -> list[Range]:
    """Cut bars into blocks of equal length, up to one bar.

    Raises:
        InputError: More blocks than bars.
    """
    if not 1 <= count <= n - begin:
        raise InputError(f"{n - begin} bars cannot be cut into {count} blocks")
    edges = [begin + (n - begin) * at // count for at in range(count + 1)]
    return [Range(*pair) for pair in pairwise(edges)]


def purged(n: int, count: int, tested: int = 1, *, purge: int = 0, embargo: int = 0, begin: int = 0) -> list[Fold]:
    """Test on every combination of `tested` of `count` blocks, one fold for each tested block; train on the rest.

    Training bars within `purge` before a tested block, and within `embargo` after one, are left out. With `tested` 1
    this is k-fold, else combinatorial cross-validation.
    """
    parts = blocks(n, count, begin)
    folds = []
    for chosen in combinations(range(count), tested):
        closed = [Range(parts[at].begin - purge, parts[at].end + embargo) for at in chosen]
        train = tuple(_without(Range(begin, n), closed))
        folds += [Fold(train, parts[at]) for at in chosen]
    return folds


def _without(whole: Range, closed: list[Range]) -> list[Range]:
    left, at = [], whole.begin
    for one in sorted(closed):
        if one.begin > at:
            left.append(Range(at, one.begin))
        at = max(at, one.end)
    if at < whole.end:
        left.append(Range(at, whole.end))
    return left
