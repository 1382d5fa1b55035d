"""Between words and records: events go in by name and come to the kernel as numbers, commands the other way.

    venue, custody, clock ──words──> Encoder ──64-byte records──> kernel ──records──> Decoder ──words──> venues, custody

Nothing here decides. The numbers follow from the run's configuration, the bytes from the event: the same journal gives
the same records.
"""

from engine.edge.decoding import UNATTRIBUTED, Decoder
from engine.edge.encoding import Encoder
from engine.edge.numbers import ClientId, Numbers, PoolTokens, client_number, run_number, trade_number
from engine.edge.payloads import SwapRequest

__all__ = [
    "UNATTRIBUTED",
    "ClientId",
    "Decoder",
    "Encoder",
    "Numbers",
    "PoolTokens",
    "SwapRequest",
    "client_number",
    "run_number",
    "trade_number",
]
