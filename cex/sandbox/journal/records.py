"""The exchange's values as bytes under keys.

A key is a kind and what tells its things apart, `order/17`; a value is a MessagePack map by field name. What refers to
an account or a symbol bears its name. A field that a record lacks has its default; one that is unknown here was written
by a newer version, and reading refuses it rather than lose it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar

import msgspec

from cex.sandbox.candles import Candle
from cex.sandbox.capital import Deposit, Withdrawal
from cex.sandbox.orders import AggregateTrade, ListKind, Order, OrderList, PreventedMatch, PublicTrade, Status, Trade
from domain import InputError

pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final = msgspec.msgpack.Decoder().decode

_T = TypeVar("_T")


class Record(Generic[_T]):
    """How one class of values is written and read. `given` are fields that the reader knows from elsewhere."""

    def __init__(self, kind: type[_T], *, given: tuple[str, ...] = (), read: Mapping[str, Any] | None = None) -> None:
        kept: list[Field[Any]] = [field for field in fields(kind) if field.name not in given]  # type: ignore[arg-type]
        self._kind = kind
        self._names = tuple(field.name for field in kept)
        self._values = attrgetter(*self._names)
        self._needed = frozenset(
            field.name for field in kept if field.default is MISSING and field.default_factory is MISSING
        )
        self._read = dict(read or {})

    def write(self, value: _T, **more: str | list[int]) -> bytes:
        """Write a value, with names of what the given fields refer to."""
        return pack(dict(zip(self._names, self._values(value), strict=True)) | more)

    def read(self, found: dict[str, Any], **given: Any) -> _T:
        """Read a value from what its bytes hold without the names.

        Raises:
            InputError: A field is missing or unknown.
        """
        if not self._needed <= found.keys() <= set(self._names):
            odd = (self._needed - found.keys()) | (found.keys() - set(self._names))
            raise InputError(
                f"journal: a record of {self._kind.__name__} lacks or has in excess {', '.join(sorted(odd))}",
                hint="it was written by another version of the sandbox; run that one",
            )
        for name, convert in self._read.items():
            if name in found:
                found[name] = convert(found[name])
        return self._kind(**found, **given)


ORDER: Final = Record(Order, given=("account", "symbol", "trades", "order_list", "prevented"), read={"status": Status})
PREVENTED: Final = Record(PreventedMatch, given=("symbol",))
ORDER_LIST: Final = Record(OrderList, given=("account", "symbol", "orders"), read={"kind": ListKind})
"""Written with the ids of its orders."""
TRADE: Final = Record(Trade, given=("symbol",))
TAPE: Final = Record(PublicTrade, given=("symbol",))
AGGREGATE: Final = Record(AggregateTrade, given=("symbol",))
CANDLE: Final = Record(Candle)
WITHDRAWAL: Final = Record(Withdrawal)
DEPOSIT: Final = Record(Deposit)

EXCHANGE_KEY: Final = "exchange"
BACKGROUND_KEY: Final = "background"
