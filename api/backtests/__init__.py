"""Backtests as jobs: asked for over the API, run by the worker in processes of their own, kept for who asked.

Nothing is imported here: the settings of an installation are read by every command.
"""
