"""The sandbox exchange of tests/cex/sandbox, for clients in processes of their own."""

from __future__ import annotations

from tests.cex.sandbox.conftest import start

__all__ = ["start"]
