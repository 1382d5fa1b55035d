"""Fixtures for every package."""

pytest_plugins = ["tests.world", "tests.recordings"]
