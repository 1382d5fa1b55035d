"""What a caller may do, in words that routes ask for; roles are sets of them. What is not listed is not allowed."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from domain import InputError


class Scope(StrEnum):
    """One thing that a route asks for: `noun:verb`."""

    MARKET_READ = "market:read"
    """Instruments, books, trades, candles, venues, quotes and routes."""
    STRATEGIES_READ = "strategies:read"
    STRATEGIES_WRITE = "strategies:write"
    """Create strategies and change their parameters."""
    STRATEGIES_RUN = "strategies:run"
    """Start, pause and stop them."""
    ORDERS_READ = "orders:read"
    """Orders and fills."""
    ORDERS_WRITE = "orders:write"
    POSITIONS_READ = "positions:read"
    """Positions and P&L."""
    RISK_READ = "risk:read"
    RISK_WRITE = "risk:write"
    """Change limits; to loosen one needs a step-up besides."""
    KILL_PRESS = "kill:press"
    KILL_RELEASE = "kill:release"
    VAULTS_READ = "vaults:read"
    VAULTS_WRITE = "vaults:write"
    ADDRESSES_READ = "addresses:read"
    ADDRESSES_WRITE = "addresses:write"
    """The list of addresses that funds may go to."""
    DEPOSITS_READ = "deposits:read"
    DEPOSITS_CLEAR = "deposits:clear"
    """Credit what screening held back."""
    WITHDRAWALS_READ = "withdrawals:read"
    WITHDRAWALS_WRITE = "withdrawals:write"
    TRANSACTIONS_READ = "transactions:read"
    TRANSACTIONS_WRITE = "transactions:write"
    """Hold, cancel and speed up transactions."""
    SWAPS_WRITE = "swaps:write"
    APPROVALS_READ = "approvals:read"
    APPROVALS_WRITE = "approvals:write"
    POLICIES_READ = "policies:read"
    POLICIES_WRITE = "policies:write"
    LEDGER_READ = "ledger:read"
    BACKTESTS_READ = "backtests:read"
    BACKTESTS_WRITE = "backtests:write"
    AUDIT_READ = "audit:read"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    """API keys and OAuth clients."""
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    WEBHOOKS_READ = "webhooks:read"
    WEBHOOKS_WRITE = "webhooks:write"
    ALERTS_READ = "alerts:read"
    ALERTS_ACKNOWLEDGE = "alerts:acknowledge"
    """Say that one sees to an alert, or that it is over."""
    ALERTS_WRITE = "alerts:write"
    """Channels, and the rules by which alerts are raised."""
    ORGANISATION_READ = "organisation:read"
    ORGANISATION_WRITE = "organisation:write"
    """Branding and fee schedule."""
    SYSTEM_READ = "system:read"
    """Health in detail, status of the engine, metrics."""


class Role(StrEnum):
    """What a member of an organisation is."""

    OWNER = "owner"
    ADMIN = "admin"
    TRADER = "trader"
    TREASURER = "treasurer"
    APPROVER = "approver"
    COMPLIANCE = "compliance"
    AUDITOR = "auditor"
    VIEWER = "viewer"


_S = Scope

_VIEWER: Final = frozenset(
    {
        _S.MARKET_READ, _S.STRATEGIES_READ, _S.ORDERS_READ, _S.POSITIONS_READ, _S.RISK_READ, _S.BACKTESTS_READ,
        _S.ORGANISATION_READ, _S.ALERTS_READ,
    }
)  # fmt: skip
_CUSTODY_VIEW: Final = frozenset(
    {
        _S.VAULTS_READ, _S.ADDRESSES_READ, _S.DEPOSITS_READ, _S.WITHDRAWALS_READ, _S.TRANSACTIONS_READ,
        _S.APPROVALS_READ, _S.POLICIES_READ, _S.LEDGER_READ,
    }
)  # fmt: skip

ROLE_SCOPES: Final = MappingProxyType(
    {
        Role.OWNER: frozenset(Scope),
        # Runs the house: people, keys, settings. Moves no funds and trades nothing.
        Role.ADMIN: frozenset(scope for scope in Scope if scope.endswith(":read"))
        | {
            _S.KEYS_WRITE, _S.USERS_WRITE, _S.WEBHOOKS_WRITE, _S.ALERTS_WRITE, _S.ALERTS_ACKNOWLEDGE,
            _S.ORGANISATION_WRITE, _S.KILL_PRESS, _S.KILL_RELEASE, _S.RISK_WRITE, _S.POLICIES_WRITE,
        },
        Role.TRADER: _VIEWER
        | {
            _S.STRATEGIES_WRITE, _S.STRATEGIES_RUN, _S.ORDERS_WRITE, _S.SWAPS_WRITE, _S.BACKTESTS_WRITE, _S.KILL_PRESS,
            _S.RISK_WRITE, _S.TRANSACTIONS_READ, _S.LEDGER_READ, _S.SYSTEM_READ, _S.ALERTS_ACKNOWLEDGE,
        },
        Role.TREASURER: _VIEWER
        | _CUSTODY_VIEW
        | {
            _S.VAULTS_WRITE, _S.ADDRESSES_WRITE, _S.WITHDRAWALS_WRITE, _S.TRANSACTIONS_WRITE, _S.KILL_PRESS,
            _S.SYSTEM_READ, _S.ALERTS_ACKNOWLEDGE,
        },
        Role.APPROVER: _VIEWER
        | _CUSTODY_VIEW
        | {_S.APPROVALS_WRITE, _S.KILL_PRESS, _S.KILL_RELEASE, _S.ALERTS_ACKNOWLEDGE},
        Role.COMPLIANCE: _VIEWER
        | _CUSTODY_VIEW
        | {_S.AUDIT_READ, _S.DEPOSITS_CLEAR, _S.KILL_PRESS, _S.ALERTS_ACKNOWLEDGE},
        Role.AUDITOR: frozenset(scope for scope in Scope if scope.endswith(":read")),
        Role.VIEWER: _VIEWER,
    }
)  # fmt: skip
"""The scopes of each role. Whoever withdraws does not approve, and the other way round; only owners do both."""


def scopes_of(roles: Iterable[Role]) -> frozenset[Scope]:
    """Everything that any of the roles gives."""
    return frozenset().union(*(ROLE_SCOPES[role] for role in roles))


@lru_cache(maxsize=1_024)  # A session's are read with each of its requests (17 us of an owner's 46).
def parse_scopes(text: str) -> frozenset[Scope]:
    """Read scopes as OAuth writes them: words between single spaces, in any order; none is the empty set.

    Raises:
        InputError: A word that is no scope, or one that is there twice.
    """
    words = text.split(" ") if text else []
    try:
        scopes = frozenset(Scope(word) for word in words)
    except ValueError as exc:
        raise InputError(f"not a list of scopes: {text[:200]!r}", hint="words between single spaces") from exc
    if len(scopes) != len(words):
        raise InputError("a scope is named twice")
    return scopes


def format_scopes(scopes: Iterable[Scope]) -> str:
    """Write scopes as OAuth does, sorted."""
    return " ".join(sorted(scopes))
