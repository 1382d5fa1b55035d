"""Who may do what: callers, scopes and roles, and every way to prove who one is.

Names are fetched when they are asked for: whoever reads `api.auth.settings` does not wait for FastAPI.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from api.auth.principal import (
        Gate,
        Method,
        Principal,
        Requirement,
        check_routes,
        confirm_step_up,
        declared_routes,
        public,
        require,
        requirement_of,
    )
    from api.auth.scopes import ROLE_SCOPES, Role, Scope
else:
    _SCOPES = ("ROLE_SCOPES", "Role", "Scope")

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module 'api.auth' has no attribute {name!r}")
        home = "api.auth.scopes" if name in _SCOPES else "api.auth.principal"
        value = globals()[name] = getattr(import_module(home), name)
        return value


__all__ = [
    "ROLE_SCOPES",
    "Gate",
    "Method",
    "Principal",
    "Requirement",
    "Role",
    "Scope",
    "check_routes",
    "confirm_step_up",
    "declared_routes",
    "public",
    "require",
    "requirement_of",
]
