"""`multicall(bytes[])`: several contracts have it, and what a batch may hold differs. The first call tells which.

Each reader takes the whole batch and refuses what it does not know as one action: effects that are merely added up
would miss how one call feeds the next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from custody.calls import gmx, positions
from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import DecodedCall

_BATCHES: Final[Mapping[bytes, Callable[[list[bytes], Place], DecodedCall]]] = MappingProxyType(
    {
        gmx.SEND_WNT.selector: gmx.order_batch,
        positions.DECREASE.selector: positions.position_batch,
        positions.COLLECT.selector: positions.position_batch,
    }
)
"""By the selector of a batch's first call."""


def _batch(values: Values, place: Place) -> DecodedCall:
    calls = list(values[0])
    reader = _BATCHES.get(calls[0][:4]) if calls else None
    if reader is None:
        raise unsafe("a multicall is read when its first call begins a batch that is known")
    return reader(calls, place)


METHODS: Final = (Method("multicall", ("bytes[]",), _batch),)
