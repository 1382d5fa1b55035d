"""HTTP over an installation: `create_app` builds the application over its `Services`; `api/v1` has the routes."""

from api.app import create_app

__all__ = ["create_app"]
