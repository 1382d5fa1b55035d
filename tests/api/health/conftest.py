"""A machine that is slow is no component that hangs."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.health.board.CHECK_S", 60.0)
    monkeypatch.setattr("api.health.figures.ENGINE_S", 60.0)
