"""What `import engine` gives, and what it does not load."""

from __future__ import annotations

import subprocess
import sys

import pytest

import engine


def test_every_public_name_is_there_and_nothing_else_is():
    for name in engine.__all__:
        assert getattr(engine, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Kernal'"):
        _ = engine.Kernal


def test_a_strategys_module_starts_without_exchanges_chains_and_settings():
    code = "import sys, engine.sdk.run, engine.records; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"engine.sdk", "numpy"} <= loaded
    assert not loaded & {"aiohttp", "ccxt", "web3", "pydantic", "structlog", "chain", "cex", "dex", "runtime.settings"}
