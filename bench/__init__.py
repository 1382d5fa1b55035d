"""Measurements, run by `make bench [TOPIC=…]`, never by tests.

Each module `bench/<topic>_<subject>.py` has `run() -> list[Row]`; every row is a median of runs interleaved with its
peer's, in one process on one machine, so that a ratio says something where a rate does not.
"""
