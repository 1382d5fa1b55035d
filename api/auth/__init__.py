"""Who may do what: callers, scopes and roles, and every way to prove who one is."""

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
