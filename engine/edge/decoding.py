"""The kernel's commands become words: what venues and custody are asked for, by name.

64 bytes [+ payload]  ──>  PlaceOrder(...), CancelOrder(...), SubmitSwap(...), …
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from domain import InvariantError, OrderType, Side, TimeInForce
from domain import events as e
from engine.edge.encoding import SIZE
from engine.edge.numbers import ClientId, Numbers
from engine.edge.payloads import SwapRequest
from engine.edge.words import STAGES, finding, rule
from engine.records import CommandKind

_RECORD: Final = struct.Struct("<QqqqIBBBBBBBBIqq")
_SIDES: Final = (Side.BUY, Side.SELL)
_TYPES: Final = (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET)
_TIMES: Final = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)
UNATTRIBUTED: Final = "unattributed"
"""What nobody here ordered, or the kernel itself decided."""

SwapPayload = Callable[[int], bytes | None]
"""Gives what custody is asked for by an unsettled swap, by its number."""


class Command(NamedTuple):
    """One record, by field."""

    client_id: int
    time_ns: int
    price: int
    size: int
    instrument: int
    kind: int
    side: int
    order_type: int
    time_in_force: int
    strategy: int
    rule: int
    stage: int
    reduce_only: int
    reserved: int
    aux0: int
    aux1: int


class Decoder:
    """Turns one run's commands into words, by the run's numbers."""

    def __init__(self, numbers: Numbers, swap_payload: SwapPayload) -> None:
        self._numbers = numbers
        self._swap_payload = swap_payload
        self._rest: dict[CommandKind, Callable[[Command, str], e.Command]] = {
            CommandKind.CANCEL: self._cancel,
            CommandKind.CANCEL_ALL: self._cancel_all,
            CommandKind.ASK: self._ask,
            CommandKind.SWAP: self._swap,
            CommandKind.REJECTED: self._rejected,
            CommandKind.STAGE: self._stage,
            CommandKind.TIMER: self._timer,
            CommandKind.NOTICE: self._notice,
        }

    def commands(self, records: bytes, *, caused_by_ns: int = 0) -> list[e.Command]:
        """Return every command in a run of records, in their order.

        Args:
            records: Whole records.
            caused_by_ns: When the bytes arrived that led to them, for the latency of orders.

        Raises:
            InvariantError: A record that means nothing.
        """
        return list(self._all(records, caused_by_ns))

    def _all(self, records: bytes, caused_by_ns: int) -> Iterator[e.Command]:
        if len(records) % SIZE:
            raise InvariantError(f"commands come in records of {SIZE} bytes, found {len(records)}")
        for command in map(Command._make, _RECORD.iter_unpack(records)):
            try:
                yield self._one(command, caused_by_ns)
            except (IndexError, ValueError) as exc:
                raise InvariantError(f"the kernel gave a command that means nothing: {command}") from exc

    def _one(self, command: Command, caused_by_ns: int) -> e.Command:
        kind, name = CommandKind(command.kind), ClientId(command.client_id).text
        if kind is CommandKind.PLACE:
            return self._place(command, name, caused_by_ns)
        if kind is CommandKind.AMEND:
            raise InvariantError(f"order {name} is to be amended, but no venue here was said to be able to")
        return self._rest[kind](command, name)

    def _place(self, command: Command, name: str, caused_by_ns: int) -> e.PlaceOrder:
        return e.PlaceOrder(
            client_order_id=name,
            strategy=self._strategy(command.strategy),
            instrument=self._instrument(command.instrument),
            side=_SIDES[command.side],
            type=_TYPES[command.order_type],
            time_in_force=_TIMES[command.time_in_force],
            price_ticks=command.price,
            qty_lots=command.size,
            reduce_only=bool(command.reduce_only),
            caused_by_ns=caused_by_ns,
        )

    def _cancel(self, command: Command, name: str) -> e.CancelOrder:
        return e.CancelOrder(client_order_id=name, instrument=self._instrument(command.instrument))

    def _ask(self, command: Command, name: str) -> e.AskOrder:
        return e.AskOrder(client_order_id=name, instrument=self._instrument(command.instrument))

    def _cancel_all(self, command: Command, _name: str) -> e.CancelAllOrders:
        return e.CancelAllOrders(venue=self._numbers.venues[command.aux0], reason=STAGES[command.stage])

    def _rejected(self, command: Command, _name: str) -> e.RiskRejected:
        detail = f"{command.aux0}, the limit is {command.aux1}"
        return e.RiskRejected(strategy=self._strategy(command.strategy), rule=rule(command.rule), detail=detail)

    def _stage(self, command: Command, _name: str) -> e.StageReached:
        return e.StageReached(
            stage=STAGES[command.stage],
            rule=rule(command.rule) if command.rule else "",
            strategy=self._numbers.strategy(command.strategy) or "",
        )

    def _timer(self, command: Command, _name: str) -> e.WakeStrategy:
        return e.WakeStrategy(strategy=command.strategy, at_ns=command.aux0, tag=command.aux1)

    def _notice(self, command: Command, name: str) -> e.AccountDiffers:
        return e.AccountDiffers(finding=finding(command.rule), client_order_id=name, detail=_figures(command))

    def _swap(self, command: Command, name: str) -> e.SubmitSwap:
        payload = self._swap_payload(command.client_id)
        if payload is None:
            raise InvariantError(f"swap {name} is asked for and not known")
        request = SwapRequest.from_bytes(payload)
        pool = self._numbers.pools[request.pool]
        token_in, token_out = (pool.token0, pool.token1) if request.is_zero_for_one else (pool.token1, pool.token0)
        return e.SubmitSwap(
            intent_id=name,
            strategy=self._strategy(command.strategy),
            pool=pool.id,
            token_in=token_in,
            token_out=token_out,
            amount_in=str(request.amount_in),
            min_amount_out=str(request.amount_out_min),
            deadline_s=request.deadline_s,
        )

    def _strategy(self, at: int) -> str:
        return self._numbers.strategy(at) or UNATTRIBUTED

    def _instrument(self, at: int) -> str:
        return self._numbers.instruments[at].id


def _figures(command: Command) -> str:
    return f"instrument {command.instrument}, size {command.size}, {command.aux0} and {command.aux1}"
