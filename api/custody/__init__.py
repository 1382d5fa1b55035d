"""Custody over HTTP: whose clients and vaults are, and what is told of them."""
