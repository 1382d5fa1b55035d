"""HTTP over an installation: `create_app` builds the application over its `Services`; `api/v1` has the routes.

The application is fetched when it is asked for: whoever reads settings (`api.auth.settings`) does not wait for FastAPI.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.app import create_app
else:
    from runtime.fronts import lazily

    _HOMES = {"api.app": "create_app"}
    __getattr__ = lazily(__name__, _HOMES)


__all__ = ["create_app"]
