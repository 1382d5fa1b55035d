"""An exchange of one's own: price-time matching that speaks the Binance spot API, for development, demos and tests.

`serve` runs it; `docs/venues/sandbox.md` says what it answers and where it differs from the real venue.
"""

from cex.sandbox.accounts import load_accounts
from cex.sandbox.config import (
    KNOWN_SYMBOLS,
    TEST_ACCOUNT,
    AccountSpec,
    FeeTier,
    FlowConfig,
    ForwardConfig,
    LimitsConfig,
    ReplayConfig,
    SandboxConfig,
    SymbolSpec,
    TlsConfig,
    symbol_specs,
)
from cex.sandbox.fees import load_fee_tiers
from cex.sandbox.server import serve

__all__ = [
    "KNOWN_SYMBOLS",
    "TEST_ACCOUNT",
    "AccountSpec",
    "FeeTier",
    "FlowConfig",
    "ForwardConfig",
    "LimitsConfig",
    "ReplayConfig",
    "SandboxConfig",
    "SymbolSpec",
    "TlsConfig",
    "load_accounts",
    "load_fee_tiers",
    "serve",
    "symbol_specs",
]
