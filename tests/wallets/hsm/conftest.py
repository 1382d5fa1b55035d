"""A SoftHSM2 token a test."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wallets.hsm.soft_token import SoftTokens


@pytest.fixture
def tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftTokens:
    """A folder with the token `desk`; the environment points to it."""
    monkeypatch.setenv("SOFTHSM2_CONF", "")  # restored afterwards, whatever SoftTokens writes
    made = SoftTokens(tmp_path)
    made.create("desk")
    return made
