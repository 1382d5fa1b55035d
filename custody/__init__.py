"""The one door to the keys: policy, transaction lifecycle, ledger."""
