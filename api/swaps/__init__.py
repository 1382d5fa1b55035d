"""Quotes and swaps on chains: what the API asks the installation's dex process for."""

from api.swaps.desk import SwapBook
from api.swaps.door import DexDoor
from api.swaps.quotes import Quoted, Quotes
from api.swaps.settings import SwapSettings

__all__ = ["DexDoor", "Quoted", "Quotes", "SwapBook", "SwapSettings"]
