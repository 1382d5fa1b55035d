"""HTTP over an installation: `create_app` builds the application over its `Services`; `api/v1` has the routes.

The application is fetched when it is asked for: whoever reads settings (`api.auth.settings`) does not wait for FastAPI.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.app import create_app
else:

    def __getattr__(name):
        if name != "create_app":
            raise AttributeError(f"module 'api' has no attribute {name!r}")
        from api.app import create_app

        globals()[name] = create_app
        return create_app


__all__ = ["create_app"]
