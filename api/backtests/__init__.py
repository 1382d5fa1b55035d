"""Backtests as jobs: asked for over the API, run by the worker in processes of their own, kept for who asked."""

from api.backtests.desk import BacktestDesk
from api.backtests.settings import BacktestSettings

__all__ = ["BacktestDesk", "BacktestSettings"]
