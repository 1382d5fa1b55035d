"""Lists and screening: whom we do not deal with."""

from compliance.screening import DenyListScreener, Screener

__all__ = ["DenyListScreener", "Screener"]
