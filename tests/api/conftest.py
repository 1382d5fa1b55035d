"""Fixtures of the API's tests: each database the product runs on."""

from __future__ import annotations

from tests.custody.conftest import database_url  # noqa: F401
