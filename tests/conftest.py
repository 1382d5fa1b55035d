"""Fixtures for every package."""

from __future__ import annotations

import pytest

from wallets.hardening import Hardened

pytest_plugins = ["tests.world", "tests.recordings"]


@pytest.fixture(autouse=True)
def unhardened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands called in this process do not harden it: it could never again see a child's core file.

    Processes that tests start are hardened as ever, which `tests/wallets/hunt` checks.
    """
    monkeypatch.setattr("wallets.hardening.harden_memory", lambda: Hardened(is_locked=False))
