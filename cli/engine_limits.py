"""Risk limits of a running engine: what holds, how much of it is used, and changes of them.

A change is recorded, journaled, and holds from the next event on. In a later run what was tightened holds still; what
was loosened beyond the settings file lasts as long as its run.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

import structlog
from sqlmodel import Session

from api.risk.changes import add_change, newest_changes
from cli.engine_outcomes import WAIT_S
from custody.audit import AuditLog
from domain import InputError, PlatformError
from domain import events as e
from engine.feed import text
from engine.native import VALUE_DECIMALS
from engine.own_limits import OWN_LIMITS, RUN_LIMITS, RunLimits, difference, loosened, tightest
from engine.runner import LiveRunner
from runtime.database import Database

log = structlog.get_logger(__name__)

_FALLS: Final = {
    "drawdown_max": "drawdown",
    "loss_max": "total",
    "daily_loss_max": "daily",
    "loss_velocity_max": "velocity",
}
_COUNTS: Final = frozenset({"open_orders_max", "open_orders_per_strategy_max"})


class Limiter:
    """Of one running engine."""

    def __init__(self, runner: LiveRunner, database: Database, now_ns: Callable[[], int]) -> None:
        self._runner = runner
        self._database = database
        self._now_ns = now_ns
        self._audit = AuditLog(database, now_ns)
        self._turn = asyncio.Lock()
        self._stored: dict[str, dict[str, Any]] = {}

    async def told(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `risk_limits`: each limit with what is used of it, of the run and of each strategy."""
        kernel, limits = self._runner.kernel, self._runner.kernel.limits
        names = kernel.numbers.strategies
        usage = kernel.native.usage()
        _, _, shares = limits.native(names, value_decimals=VALUE_DECIMALS)
        found = [
            self._limit("", name, getattr(limits.run, name), self._used_by_run(name, usage[-1])) for name in RUN_LIMITS
        ]
        for at, strategy in enumerate(names):
            for name in OWN_LIMITS:
                value = _value(shares[at]) if name == "capital" else limits.of(strategy, name)
                found.append(self._limit(strategy, name, value, self._used_by_one(strategy, name, usage[at])))
        return {"limits": found}

    async def change(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `set_limits`. What loosens is done only with `may_loosen`; the answer names it.

        Raises:
            InputError: A limit that does not exist or cannot change, a value that cannot be; nothing changed.
            OutcomeUnknown: It will hold, but does not yet.
        """
        strategy, changes = str(request.get("strategy", "")), request.get("changes")
        kernel = self._runner.kernel
        if strategy and strategy not in kernel.numbers.strategies:
            raise InputError(f"no strategy {strategy[:40]!r}", hint=f"there are {', '.join(kernel.numbers.strategies)}")
        if not isinstance(changes, Mapping):
            raise InputError("set_limits: expected a table of changes")
        async with self._turn:
            holds = kernel.limits
            wanted = holds.changed(strategy, changes)
            wanted.native(kernel.numbers.strategies, value_decimals=VALUE_DECIMALS)
            told, loose = difference(holds, wanted, strategy), loosened(holds, wanted, strategy)
            answer = {"strategy": strategy, "changed": told, "loosened": loose, "applied": False, "recorded": False}
            if told and not request.get("dry_run") and (not loose or request.get("may_loosen") is True):
                by, reason = str(request.get("by", "")), str(request.get("reason", ""))[:200]
                answer["recorded"] = await self._apply(holds, wanted, strategy, by, reason, must_record=bool(loose))
                answer["applied"] = True
                self._stored.setdefault(strategy, {}).update({name: new for name, (_, new) in told.items()})
        return answer

    async def look_back(self) -> None:
        """Read what was last wanted; `first` says what of it is to hold.

        Raises:
            VenueUnavailable: The database does not answer.
        """
        self._stored = await self._database.run(newest_changes)

    def first(self) -> list[e.Event]:
        """What a start tells the kernel first of all: that what was tightened in a former run holds in this one."""
        wanted = self._kept(self._runner.kernel.limits)
        return [] if wanted is None else [_event(wanted)]

    async def joined(self) -> None:
        """A strategy joined: what was tightened of it in a former run holds."""
        async with self._turn:
            if (wanted := self._kept(self._runner.kernel.limits)) is not None:
                await self._runner.reconfigure(_event(wanted), WAIT_S)

    def _kept(self, holds: RunLimits) -> RunLimits | None:
        wanted = holds
        for strategy, limits in sorted(self._stored.items()):
            if strategy and strategy not in self._runner.kernel.numbers.strategies:
                continue
            if changes := tightest(wanted, strategy, limits):
                log.warning("limits.kept", strategy=strategy, limits=sorted(changes))
                wanted = wanted.changed(strategy, changes)
        return None if wanted is holds else wanted

    # --- parts

    async def _apply(
        self, holds: RunLimits, wanted: RunLimits, strategy: str, by: str, reason: str, *, must_record: bool
    ) -> bool:
        """Record a change, then have it hold; say whether it is recorded. What tightens waits for no database."""
        recorded = True
        try:
            await self._record(holds, wanted, strategy, by, reason)
        except PlatformError as exc:
            if must_record:
                raise
            recorded = False
            log.error("limits.not_recorded", strategy=strategy, error=str(exc))
        try:
            await self._runner.reconfigure(_event(wanted), WAIT_S)
        except InputError as exc:
            if recorded:
                await self._record(wanted, holds, strategy, by, f"refused: {exc}"[:200])
            raise
        log.warning("limits.changed", strategy=strategy, changed=difference(holds, wanted, strategy), by=by)
        return recorded

    async def _record(self, holds: RunLimits, wanted: RunLimits, strategy: str, by: str, reason: str) -> None:
        told = difference(holds, wanted, strategy)
        detail = {"changed": told, "by": by, "reason": reason}

        def write(session: Session) -> None:
            add_change(session, strategy, by, reason, changed=told, now_ns=self._now_ns())
            self._audit.append(session, "limits.changed", f"strategy/{strategy}" if strategy else "run", detail)

        await self._database.run(write)

    def _limit(self, strategy: str, name: str, value: Any, used: Decimal | int | None) -> dict[str, Any]:
        own = self._runner.kernel.limits.own.get(strategy)
        return {
            "strategy": strategy or None,
            "name": name,
            "limit": None if value is None else text(Decimal(value)),
            "used": None if used is None else text(Decimal(used)),
            "unit": "orders" if name in _COUNTS else "bps" if name.endswith("_bps") else "value",
            "stage": self._stage(strategy, name),
            "is_own": bool(own) and getattr(own, name) is not None,
        }

    def _stage(self, strategy: str, name: str) -> str | None:
        """How far it goes when a loss is more; what refuses an order has none."""
        stage = f"{name.removesuffix('_max')}_stage"
        found = getattr(self._runner.kernel.limits.run, f"strategy_{stage}" if strategy else stage, None)
        return None if found is None else str(found)

    def _used_by_run(self, name: str, usage: Mapping[str, int | None]) -> Decimal | int | None:
        if name == "open_orders_max":
            return len(self._runner.kernel.orders.open_orders())
        return _value(usage["exposure"] if name == "exposure_notional_max" else usage.get(_FALLS.get(name, ""), None))

    def _used_by_one(self, strategy: str, name: str, usage: Mapping[str, int | None]) -> Decimal | int | None:
        if name == "open_orders_max":
            return len(self._runner.kernel.orders.open_orders(strategy))
        key = {"position_notional_max": "position", "capital": "exposure"}.get(name) or _FALLS.get(name, "")
        return _value(usage.get(key))


def _event(wanted: RunLimits) -> e.LimitsChanged:
    return e.LimitsChanged(time_ns=0, limits=wanted.model_dump_json(), change=secrets.token_hex(8))


def _value(units: int | None) -> Decimal | None:
    return None if units is None else Decimal(units).scaleb(-VALUE_DECIMALS)
