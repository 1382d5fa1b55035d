"""Tests mirror the packages: `wallets/hd.py` is tested in `tests/wallets/test_hd.py`."""
