"""Small models, trained once for all tests of this process."""

from __future__ import annotations

from functools import cache

import pytest

from engine.models.training import Trained, train_on
from tests.support.model_bars import BOOSTING, FOREST, bars, settings


@cache
def forest() -> Trained:
    pytest.importorskip("sklearn", reason="the extra ml is not installed")
    return train_on(settings(FOREST), [bars()])


@cache
def boosting() -> Trained:
    pytest.importorskip("sklearn", reason="the extra ml is not installed")
    return train_on(settings(BOOSTING), [bars()])
