"""Backtests from a file: configuration, data, the run, its result and report. See docs/backtest.md."""
