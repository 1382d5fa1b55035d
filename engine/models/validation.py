"""Folds in time that do not leak: purged and embargoed.

A label reaches into the future of its decision. A sample whose label reaches into the tested stretch, or that comes so
soon after it that its features still look into it, would tell a model what it is tested on: both are left out of
training (López de Prado, Advances in Financial Machine Learning, chapter 7).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from domain import InputError
from engine.models.dataset import Samples

Rows = npt.NDArray[np.intp]


def purged_folds(samples: Samples, folds: int, embargo_ns: int) -> Iterator[tuple[Rows, Rows]]:
    """Split into consecutive stretches of time; each is tested once on a model of the rest.

    Yields:
        Rows to train on and rows to test.

    Raises:
        InputError: Too few samples for so many folds.
    """
    moments = np.unique(samples.times_ns)
    if folds < 2 or len(moments) < 2 * folds:
        raise InputError(f"{len(moments)} moments cannot be split into {folds} folds")
    edges = [int(stretch[0]) for stretch in np.array_split(moments, folds)] + [int(moments[-1]) + 1]
    for begin, end in pairwise(edges):
        is_tested = (samples.times_ns >= begin) & (samples.times_ns < end)
        tested_until = int(samples.ends_ns[is_tested].max())
        before = samples.ends_ns < begin
        after = samples.times_ns > tested_until + embargo_ns
        yield _rows(before | after), _rows(is_tested)


def split_at(samples: Samples, moment_ns: int) -> tuple[Rows, Rows]:
    """Split into what was wholly known before a moment, and what was decided from it on.

    Raises:
        InputError: One of the two is empty.
    """
    train, test = _rows(samples.ends_ns < moment_ns), _rows(samples.times_ns >= moment_ns)
    if not len(train) or not len(test):
        raise InputError(
            f"nothing lies {'before' if not len(train) else 'after'} the moment from which the model is tested"
        )
    return train, test


def _rows(mask: Any) -> Rows:
    return np.asarray(np.flatnonzero(mask))
