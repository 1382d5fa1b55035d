"""Fixtures for every package."""

from __future__ import annotations

import pytest
from hypothesis import settings

from wallets.hardening import Hardened

# How long an example takes is a matter of the machine: tests claim no speed, benches measure it. Properties are tried
# with the same examples each time, so that nothing fails of which nothing changed; `make soak-properties` tries others.
settings.register_profile("capstan", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=1_000, print_blob=True)
settings.load_profile("capstan")

pytest_plugins = ["tests.world", "tests.recordings", "tests.databases", "tests.loggers"]


@pytest.fixture(autouse=True)
def unhardened(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands called in this process do not harden it: it could never again see a child's core file.

    Processes that tests start are hardened as ever, which `tests/wallets/hunt` checks.
    """
    monkeypatch.setattr("wallets.hardening.harden_memory", lambda: Hardened(is_locked=False))
