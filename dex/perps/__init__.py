"""Perpetual futures on chains. GMX v2 by its public ABI (`dex.perps.gmx`); dYdX and Hyperliquid are order books and
come through `cex`.
"""
