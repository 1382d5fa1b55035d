"""Who may do what: callers, scopes and roles, and every way to prove who one is.

Names are fetched when they are asked for: whoever reads `api.auth.settings` does not wait for FastAPI.
"""

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
    from runtime.fronts import lazily

    _HOMES = {
        "api.auth.principal": (
            "Gate Method Principal Requirement check_routes confirm_step_up declared_routes public require "
            "requirement_of"
        ),
        "api.auth.scopes": "ROLE_SCOPES Role Scope",
    }
    __getattr__ = lazily(__name__, _HOMES)


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
