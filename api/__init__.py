"""HTTP over an installation: health, engine status, kill, books, metrics. Loopback only until it has users and keys."""

from api.app import create_app

__all__ = ["create_app"]
