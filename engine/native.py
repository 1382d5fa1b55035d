"""The kernel of a live run: the native one, stepped by events in words, its strategies beside it.

    event ──> view, pools ──> records ──> native kernel ──> strategies ──> commands in words

It has no clock, no randomness and no hash order: the same events give the same commands. Whoever runs it journals each
event before the step and carries out the commands after it. What people are shown comes from `engine.view`, which
decides nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from capstan_native import Kernel as Native
from capstan_native import KernelBroken
from pydantic import TypeAdapter, ValidationError

from domain import Asset, InputError, Instrument, InvariantError, OrderState
from domain import events as e
from engine.edge import Decoder, Encoder, Numbers, PoolTokens, client_number, run_number
from engine.host import Host
from engine.live_context import LiveContext
from engine.market import Markets
from engine.own_limits import RunLimits
from engine.portfolio import Portfolio
from engine.requests import ClientRequest, taken, withdrawn
from engine.risk_limits import native_limits, native_shares, order_lots_max
from engine.sdk import Strategy, subscriptions
from engine.settings import RiskLimits
from engine.strategies.base import CatalogSettings, CatalogStrategy
from engine.strategies.catalog import CatalogUnion, make
from engine.view import RunView

_JOINING: Final[TypeAdapter[CatalogSettings]] = TypeAdapter(CatalogUnion)
VALUE_DECIMALS: Final = 8
"""Values in the kernel are integers of this many decimals of the unit of account."""


class NativeKernel(RunView):
    """One run's kernel. Not thread-safe; one owner calls `step`.

    Raises:
        InputError: The run cannot be counted in integers, or its limits contradict one another.
    """

    def __init__(
        self,
        *,
        run: str,
        markets: Markets,
        portfolio: Portfolio,
        limits: RiskLimits,
        strategies: Sequence[Strategy],
        gas_asset: Asset | None,
    ) -> None:
        if len({s.id for s in strategies}) != len(strategies):
            raise InputError("two strategies have the same id")
        numbers = Numbers.of(
            (s.id for s in strategies),
            markets.instruments.values(),
            portfolio.assets().values(),
            (PoolTokens(p.id, p.token0.id, p.token1.id) for p in markets.pools.values()),
        )
        super().__init__(run=run, markets=markets, portfolio=portfolio, gas_asset=gas_asset, numbers=numbers)
        try:
            self.native = Native(kernel_config(run, markets, portfolio, limits, strategies, gas_asset, numbers))
        except (ValueError, OverflowError) as exc:
            raise InputError(f"the kernel cannot run this: {exc}") from exc
        self.strategies = tuple(strategies)
        self.limits = RunLimits(run=limits)
        """What holds now."""
        self.maker: Callable[[CatalogSettings], Strategy] = make
        """Makes a strategy that joins, or says why it cannot. Whoever builds the kernel sets it."""
        self.parameters: dict[str, CatalogSettings] = {
            s.id: s.settings for s in strategies if isinstance(s, CatalogStrategy)
        }
        """What each strategy of the catalog runs with now."""
        self.file_parameters = dict(self.parameters)
        """What the settings file said last, whatever an operator changed since."""
        self.changes: dict[str, str] = {}
        """What became of each change of parameters, limits or strategies: nothing when it took place, else why not."""
        self.requests: dict[str, ClientRequest] = {}
        """What became of each order that a client asked for."""
        self._withdrawn: set[str] = set()
        """Requests whose cancel came before them."""
        self._encoder = Encoder(numbers)
        self._decoder = Decoder(numbers, self.native.swap_payload)
        self._hosts = tuple(
            Host(at, strategy, LiveContext(at, self.native, self, numbers), numbers)
            for at, strategy in enumerate(strategies)
        )

    def step(self, event: e.Event) -> list[e.Command]:
        """Take one event and answer what to do about it.

        Raises:
            InvariantError: The event contradicts what is known; the caller stops trading and tells someone.
        """
        if isinstance(event, e.DecisionsStamped):
            return []
        records = self._encoder.records(event)
        self.see(event)
        if isinstance(event, e.EngineRestarted):
            for host in self._hosts:
                host.restarted(event.time_ns)
        if not records:
            return []
        try:
            woken, _why = self.native.ingest(records)
        except KernelBroken as exc:
            raise InvariantError(f"{type(event).__name__}: {exc}") from exc
        for place, host in enumerate(self._hosts):
            if woken >> place & 1:
                host.tell(event)
        number = self._hear(event)
        caused_by_ns = event.received_ns if isinstance(event, e.BookChanged) else 0
        commands = self._decoder.commands(self.native.take_commands(), caused_by_ns=caused_by_ns)
        self.note(commands)
        if isinstance(event, e.OrderRequested) and event.request not in self.requests:
            self.requests[event.request] = taken(event, number, commands)
        if isinstance(event, e.AccountAnswered) and event.is_end:
            self._follow_the_absent()
        return commands

    def _hear(self, event: e.Event) -> int | None:
        """Do what people and clients ask for; give the number of the order that this placed."""
        match event:
            case e.ParametersChanged():
                self._reconfigure(event)
            case e.StrategyJoined():
                self._take_change(event.change, lambda: self._join(event.settings))
            case e.LimitsChanged():
                self._take_change(event.change, lambda: self.set_limits(event.limits))
            case e.OrderRequested() if event.request in self._withdrawn:
                self.requests.setdefault(event.request, withdrawn(event))
            case e.OrderRequested() if event.request not in self.requests:
                return self._host(event.strategy).request(event)
            case e.CancelRequested():
                self._cancel_requested(event)
            case _:
                pass
        return None

    def _take_change(self, change: str, work: Callable[[], None]) -> None:
        """Change what the run is made of, wholly or not at all; what becomes of it is in `changes`."""
        try:
            work()
        except (
            Exception
        ) as exc:  # Whatever a strategy's code raises: the journal has the event, every replay raises it.
            self.changes[change] = " ".join(str(exc).split()) or type(exc).__name__
        else:
            self.changes[change] = ""

    def _join(self, text: str) -> None:
        settings = _JOINING.validate_json(text)
        if settings.id in self.numbers.strategies:
            raise InputError(f"there is a strategy {settings.id}")
        strategy = self.maker(settings)
        place, names = len(self.strategies), [*self.numbers.strategies, settings.id]
        _, _, shares = self.limits.native(names, value_decimals=VALUE_DECIMALS)
        host = Host(place, strategy, LiveContext(place, self.native, self, self.numbers), self.numbers)
        described = {"name": settings.id, "subscriptions": subscriptions(strategy, tuple(self.numbers.instrument_at))}
        self.native.join(described, shares)
        self.numbers.strategies.append(settings.id)
        self.strategies, self._hosts = (*self.strategies, strategy), (*self._hosts, host)
        self.parameters[settings.id] = self.file_parameters[settings.id] = settings

    def set_limits(self, text: str) -> None:
        """Take other limits, as `RunLimits` in JSON.

        Raises:
            ValueError: They cannot be; nothing changed.
        """
        limits = RunLimits.model_validate_json(text)
        self.native.set_limits(*limits.native(self.numbers.strategies, value_decimals=VALUE_DECIMALS))
        self.limits = limits

    def _reconfigure(self, event: e.ParametersChanged) -> None:
        """Give a strategy the parameters that the event carries; what becomes of it is in `changes`."""
        current = self.parameters.get(event.strategy)
        if current is None:
            self.changes[event.change] = f"there is no strategy {event.strategy} whose parameters can change"
            return
        host = self._host(event.strategy)
        try:
            new = type(current).model_validate_json(event.settings)
            host.reconfigure(new)
        except (ValidationError, InputError) as exc:
            self.changes[event.change] = " ".join(str(exc).split())
            return
        self.changes[event.change] = ""
        self.parameters[event.strategy] = new
        if event.source == "file":
            self.file_parameters[event.strategy] = new

    def _cancel_requested(self, event: e.CancelRequested) -> None:
        found = self.requests.get(event.request)
        if found is None:
            self._withdrawn.add(event.request)
        elif found.client_order_id:
            self._host(event.strategy).cancel(client_number(found.client_order_id))

    def _host(self, strategy: str) -> Host:
        return next(host for host in self._hosts if host.strategy.id == strategy)

    def _follow_the_absent(self) -> None:
        """Show as ended what the kernel ended because a venue's whole answer did not contain it."""
        for order in self.orders.open_orders():
            found = self.native.order(client_number(order.client_order_id))
            if found is not None and not found["is_open"]:
                self.orders.end(order.client_order_id, OrderState(str(found["state"])), "the venue no longer has it")

    @property
    def stopping(self) -> bool:
        return self.native.is_stopping

    @property
    def is_idle(self) -> bool:
        """Nothing is in flight: no order open, no swap unsettled, no strategy in the middle of something."""
        return self.native.is_idle and (bool(self.halted) or all(s.is_idle for s in self.strategies))

    @property
    def digest(self) -> str:
        """SHA-256 over every command, fill and settlement, as the native kernel counts them."""
        return self.native.digest().hex()


def kernel_config(
    run: str,
    markets: Markets,
    portfolio: Portfolio,
    limits: RiskLimits,
    strategies: Sequence[Strategy],
    gas_asset: Asset | None,
    numbers: Numbers,
) -> dict[str, Any]:
    """Everything the native kernel is made of, numbered by place."""
    sources = portfolio.mark_instruments()
    symbols = list(sources)
    names = [s.id for s in strategies]
    shares = native_shares(limits, names, value_decimals=VALUE_DECIMALS)
    return {
        "run": run_number(run),
        "value_decimals": VALUE_DECIMALS,
        "assets": [
            {"id": a.id, "decimals": a.decimals, "economic": symbols.index(portfolio.economic_symbol(a.id))}
            for a in numbers.assets
        ],
        "economics": [
            {"symbol": symbol, "mark": None if mark is None else numbers.instrument_at[mark]}
            for symbol, mark in sources.items()
        ],
        "venues": [{"name": name, "can_amend": False} for name in numbers.venues],
        "instruments": [_instrument(i, numbers) for i in numbers.instruments],
        "pools": [
            {
                "id": p.id,
                "token0": numbers.asset_at[p.token0.id],
                "token1": numbers.asset_at[p.token1.id],
                "fee_pips": p.fee_pips,
            }
            for p in markets.pools.values()
        ],
        "strategies": [
            {"name": s.id, "capital": share, "subscriptions": subscriptions(s, tuple(numbers.instrument_at))}
            for s, share in zip(strategies, shares, strict=True)
        ],
        "gas_asset": None if gas_asset is None else numbers.asset_at.get(gas_asset.id),
        "order_lots_max": [
            order_lots_max(limits, portfolio.economic_symbol(i.base.id), i.lot_size) for i in numbers.instruments
        ],
        "blacklist": _blacklist(limits.blacklist, numbers),
        "limits": native_limits(limits, value_decimals=VALUE_DECIMALS),
    }


def _instrument(instrument: Instrument, numbers: Numbers) -> dict[str, Any]:
    minimum = instrument.min_notional * instrument.quote.unit
    return {
        "symbol": instrument.symbol,
        "venue": numbers.venues.index(str(instrument.venue)),
        "base": numbers.asset_at[instrument.base.id],
        "quote": numbers.asset_at[instrument.quote.id],
        "tick": decimal_parts(instrument.tick_size),
        "lot": decimal_parts(instrument.lot_size),
        "notional_min": math.ceil(minimum),
        "maker_fee": _fee_up(instrument.maker_fee_bps),
        "taker_fee": _fee_up(instrument.taker_fee_bps),
    }


def _fee_up(bps: Decimal) -> int:
    """Basis points as the kernel counts fees, in 1e-8 of the value."""
    return math.ceil(bps * 10_000)


def decimal_parts(value: Decimal) -> tuple[int, int]:
    """Split a positive decimal into digits and scale: 0.05 is (5, 2)."""
    sign, digits, exponent = value.normalize().as_tuple()
    if not isinstance(exponent, int) or sign:
        raise InputError(f"{value} is no positive number")
    number = int("".join(map(str, digits)))
    return (number, -exponent) if exponent <= 0 else (number * 10**exponent, 0)


def _blacklist(names: Sequence[str], numbers: Numbers) -> Mapping[str, list[int]]:
    """Numbers of what must not be traded; a name of nothing in this run bans nothing here."""
    return {
        "instruments": [numbers.instrument_at[n] for n in names if n in numbers.instrument_at],
        "assets": [numbers.asset_at[n] for n in names if n in numbers.asset_at],
        "pools": [numbers.pool_at[n] for n in names if n in numbers.pool_at],
    }
