"""What the engine's control socket answers: one command a request, by name."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from cli.engine_figures import EngineFigures
from cli.engine_reload import Reloader
from cli.engine_status import StatusBoard
from cli.engine_venues import describe_exchanges, describe_venues
from domain import InputError, Instrument
from domain import events as e
from engine.edge.words import STAGES
from engine.feed import text
from engine.ports import ExchangeVenue
from engine.requests import Requests
from engine.runner import LiveRunner
from runtime import tracing

HALT_S: Final = 20.0
"""How long a kill may take to be confirmed by the venues before it is answered as unknown."""
WAIT_S_MAX: Final = 15.0
"""Well below the 30 s within which a request on the socket is answered."""

Answer = dict[str, Any]


class Operator:
    """The commands of one running engine."""

    def __init__(
        self,
        runner: LiveRunner,
        board: StatusBoard,
        venues: Mapping[str, ExchangeVenue],
        reloader: Reloader,
        requests: Requests,
        more: Mapping[str, Callable[[Answer], Awaitable[Answer]]] = MappingProxyType({}),
    ) -> None:
        self._runner = runner
        self._board = board
        self._venues = venues
        self._figures = EngineFigures(runner.kernel, venues, runner.now_ns)
        self._reloader = reloader
        self._requests = requests
        self._commands: dict[str, Callable[[Answer], Awaitable[Answer]]] = {
            "status": self._status,
            "metrics": self._metrics,
            "kill": self._kill,
            "stage": self._stage,
            "resume": self._resume,
            "reload": reloader.reload,
            "instruments": self._instruments,
            "strategies": self._strategies,
            "venues": self._told_venues,
            "exchanges": self._told_exchanges,
            "place_order": self._place_order,
            "cancel_order": self._cancel_order,
            "find_order": self._find_order,
            **more,
        }

    async def handle(self, request: Answer) -> Answer:
        """Carry out one command.

        Raises:
            InputError: There is none of that name, or it refuses its arguments.
        """
        command = self._commands.get(str(request.get("command")))
        if command is None:
            raise InputError(
                f"unknown command {request.get('command')!r}", hint=f"known: {', '.join(sorted(self._commands))}"
            )
        parent = request.pop("trace", None)
        if not tracing.is_on():
            return await command(request)
        with tracing.span(f"engine.{request['command']}", parent=str(parent) if parent else None):
            if "request" in request:
                tracing.carry(str(request["request"]))
            return await command(request)

    async def _status(self, _request: Answer) -> Answer:
        return self._board.render()

    async def _metrics(self, _request: Answer) -> Answer:
        return {"text": self._figures.text()}

    async def _kill(self, request: Answer) -> Answer:
        runner = self._runner
        runner.emit(e.OperatorSpoke(time_ns=0, command="kill", reason=str(request.get("reason", ""))[:200]))
        await runner.until_halted(HALT_S)
        left = [order for venue in self._venues.values() for order in await venue.open_orders()]
        return {"halted": runner.kernel.halted, "open_orders": len(left)}

    async def _stage(self, request: Answer) -> Answer:
        """Drive the run, or one strategy, to a stage of the kill (docs/risk.md), upwards only."""
        name, strategy = str(request.get("stage", "")), self._strategy(request)
        if name not in STAGES[1:]:
            raise InputError(f"no stage {name[:40]!r}", hint=f"there are {', '.join(STAGES[1:])}")
        reason, number = str(request.get("reason", ""))[:200], STAGES.index(name)
        self._runner.emit(e.OperatorSpoke(time_ns=0, command="stage", reason=reason, stage=number, strategy=strategy))
        await self._runner.until_stage(number, strategy, HALT_S)
        return {"stage": name, "strategy": strategy}

    async def _resume(self, request: Answer) -> Answer:
        """Let the run go on with all its strategies, or one; with `run_alone`, without what is stopped for itself."""
        command = "resume_run" if request.get("run_alone") else "resume"
        self._runner.emit(e.OperatorSpoke(time_ns=0, command=command, strategy=self._strategy(request)))
        return {"resumed": True}

    def _strategy(self, request: Answer) -> str:
        strategy = str(request.get("strategy", ""))
        known = [s.id for s in self._runner.kernel.strategies]
        if strategy and strategy not in known:
            raise InputError(f"no strategy {strategy[:40]!r}", hint=f"there are {', '.join(known)}")
        return strategy

    async def _instruments(self, _request: Answer) -> Answer:
        return {"instruments": [describe_instrument(i) for i in self._runner.kernel.markets.instruments.values()]}

    async def _told_venues(self, _request: Answer) -> Answer:
        return {"venues": describe_venues(self._venues, self._runner.kernel, self._runner.now_ns())}

    async def _told_exchanges(self, _request: Answer) -> Answer:
        return {"exchanges": describe_exchanges()}

    async def _strategies(self, _request: Answer) -> Answer:
        """The run's strategies: what each is, where it trades, how far it is stopped, what it runs with."""
        kernel = self._runner.kernel
        told = []
        for strategy in kernel.strategies:
            parameters = kernel.parameters.get(strategy.id)
            instruments = strategy.instruments or tuple(kernel.markets.instruments)
            own = kernel.stages.get(strategy.id, STAGES[0])
            rule = kernel.stage_rules.get(strategy.id) if own != STAGES[0] else None
            told.append(
                {
                    "id": strategy.id,
                    "kind": None if parameters is None else getattr(parameters, "kind", None),
                    "instruments": list(instruments),
                    "venues": sorted({name.partition(":")[0] for name in instruments}),
                    "stage": max(own, kernel.stage, key=STAGES.index),
                    "stopped_by": rule,
                    "parameters": None if parameters is None else parameters.model_dump(mode="json"),
                }
            )
        return {"strategies": told}

    async def _place_order(self, request: Answer) -> Answer:
        return await self._requests.place(request, wait_s=_wait_s(request))

    async def _cancel_order(self, request: Answer) -> Answer:
        return await self._requests.cancel(
            str(request.get("request", "")), str(request.get("strategy", "")), wait_s=_wait_s(request)
        )

    async def _find_order(self, request: Answer) -> Answer:
        return self._requests.find(str(request.get("request", "")))


def describe_instrument(instrument: Instrument) -> Answer:
    """An instrument as it is told: names, and numbers as text."""
    return {
        "id": instrument.id,
        "venue": str(instrument.venue),
        "symbol": instrument.symbol,
        "base": instrument.base.symbol,
        "quote": instrument.quote.symbol,
        "tick_size": text(instrument.tick_size),
        "lot_size": text(instrument.lot_size),
        "min_notional": text(instrument.min_notional),
        "maker_fee_bps": text(instrument.maker_fee_bps),
        "taker_fee_bps": text(instrument.taker_fee_bps),
    }


def _wait_s(request: Mapping[str, Any]) -> float:
    value = request.get("wait_s", 0)
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= WAIT_S_MAX:
        raise InputError(f"wait_s: 0 to {WAIT_S_MAX:g} seconds")
    return float(value)
