"""Candles of public trades, as far back as this installation's engine has seen them."""
