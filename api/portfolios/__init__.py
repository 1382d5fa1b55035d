"""Portfolios: which strategies are whose. All that a tenant sees of trading goes by them."""

from api.portfolios.directory import Directory, Portfolio

__all__ = ["Directory", "Portfolio"]
