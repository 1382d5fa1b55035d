"""Quotes and swaps on chains: what the API asks the installation's dex process for."""

from api.swaps.door import DexDoor
from api.swaps.quotes import Quoted, Quotes

__all__ = ["DexDoor", "Quoted", "Quotes"]
