"""Presses and releases.

A press goes to the engine first and asks nobody: not for a confirmation, not for a database that answers. What it stops
is worked out from who presses: a tenant stops its own strategies, the house the run. It is written down as it happens,
and where that fails the answer says so. A release needs two different people; what another press still holds stays
stopped.

A press that comes while something is let run again wins, whichever of the two the engine hears first: who lets run
looks afterwards whether it was pressed meanwhile, and stops it again; a press that was written while a release was
under way, or had just ended, stops once more. One of the two sees the other's row.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Any, Final

import msgspec
import structlog
from sqlmodel import Session, col, func, select

from api.alerts.book import AlertBook
from api.alerts.rules import Finding
from api.auth.principal import Principal
from api.core.errors import Conflict, Forbidden, NotFound
from api.custody.tables import VaultRow
from api.engine_door import EngineDoor
from api.kill.tables import KillReleaseRow, KillRow
from api.portfolios import Directory
from api.webhooks.outbox import Outbox
from custody.audit import AuditLog
from custody.freeze import ALL, Freezes, vault_scope, venue_scope
from domain import PlatformError
from runtime.database import Database

log = structlog.get_logger(__name__)

PEOPLE_TO_RELEASE: Final = 2
_ROWS: Final = "kills"
"""What writes presses and words takes turns under this name: each sees the other's, or is seen."""
CONFIRM_S: Final = 30.0
_RELEASED_NS: Final = 60 * 10**9
"""A release that ended so long before a press may have reached the engine after it: clocks and processes differ."""


class TargetKind(StrEnum):
    STRATEGY = "strategy"
    VENUE = "venue"
    PORTFOLIO = "portfolio"
    ALL = "all"


class Mode(StrEnum):
    """How far."""

    CANCEL = "cancel"
    """Every order is cancelled, nothing new goes out."""
    FLATTEN = "flatten"
    """And positions are closed."""
    FREEZE = "freeze"
    """Every order is cancelled, and nothing leaves custody: for the house at all, or from a venue; for others from
    their vaults."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to stop."""

    kind: TargetKind
    name: str = ""


@dataclass(frozen=True, slots=True)
class Press:
    """A press and what became of it."""

    id: str
    target: Target
    mode: Mode
    reason: str
    actor: str
    strategies: tuple[str, ...]
    """What was stopped; of the whole run none is named."""
    is_whole: bool
    """The run, whatever its strategies."""
    created_ns: int
    released_ns: int | None = None
    released_by: tuple[str, ...] = ()
    """People whose word was given."""
    engine: str = "done"
    """`done`, or why it is not known to be."""
    frozen: bool = False
    recorded: bool = True


class KillSwitch:
    """Of one process."""

    def __init__(self, database: Database, engine: EngineDoor, directory: Directory, now_ns: Callable[[], int]) -> None:
        self._database = database
        self._engine = engine
        self._directory = directory
        self._now_ns = now_ns
        self._outbox = Outbox(now_ns)
        self._alerts = AlertBook(database, now_ns)
        self._audit = AuditLog(database, now_ns)
        self._freezes = Freezes(database, self._audit, now_ns)

    async def press(self, who: Principal, target: Target, mode: Mode, reason: str) -> Press:
        """Stop something, now.

        Raises:
            NotFound: The caller owns no such strategy or portfolio, there is no such venue, or nothing of it runs.
            Forbidden: A freeze of what has no custody of its own, or not of the caller.
        """
        strategies = await self._strategies(who, target)
        scopes = await self._scopes(who, target) if mode is Mode.FREEZE else ()
        if strategies is not None and not strategies and not scopes:
            raise NotFound("nothing of yours runs there")
        press = Press(
            id=f"kill_{secrets.token_hex(8)}", target=target, mode=mode, reason=reason, actor=who.actor,
            strategies=tuple(strategies or ()), is_whole=strategies is None, created_ns=self._now_ns(),
        )  # fmt: skip
        log.warning("kill.pressed", kill=press.id, target=target.kind, name=target.name, mode=mode, actor=who.actor)
        stopping = asyncio.ensure_future(self._stop(press))
        writing = asyncio.ensure_future(self._write(who, press, scopes))
        await asyncio.wait([stopping, writing])
        engine = _outcome(stopping)
        recorded = writing.exception() is None
        if not recorded:
            log.error("kill.not_recorded", kill=press.id, error=str(writing.exception()))
        elif writing.result():
            again = asyncio.ensure_future(self._stop(press))
            await asyncio.wait([again])
            engine = _outcome(again)
        return replace(press, engine=engine, frozen=recorded and bool(scopes), recorded=recorded)

    async def presses(self, who: Principal) -> list[Press]:
        """The organisation's presses, the newest first."""

        def read(session: Session) -> list[Press]:
            query = select(KillRow).where(KillRow.organisation == who.organisation)
            return _all_shown(session, session.exec(query.order_by(col(KillRow.created_ns).desc()).limit(500)).all())

        await self._directory.refresh()
        return [press for press in await self._database.read(read) if self._sees(who, press)]

    def _sees(self, who: Principal, press: Press) -> bool:
        """Whether all that a press stopped is the caller's, or it is the house's."""
        if press.is_whole or self._directory.is_house(who):
            return self._directory.is_house(who)
        return all(self._directory.sees_strategy(who, name) for name in press.strategies)

    async def release(self, who: Principal, kill: str, reason: str) -> Press:
        """Give one's word that a press may end; the second person's ends it.

        Raises:
            NotFound: The organisation has no such press, or it stopped what is not the caller's.
            Conflict: It has ended, or this person's word was given.
            Forbidden: The caller is no person.
            PlatformError: The engine did not resume: give the word again.
        """
        if who.user is None:
            raise Forbidden("a person releases: log in, or sign with a key that a person made")
        user, now = who.user, self._now_ns()
        await self._directory.refresh()

        def write(session: Session) -> tuple[Press, bool]:
            self._database.serialize(session, _ROWS)
            row = session.get(KillRow, kill)
            if row is None or row.organisation != who.organisation or not self._sees(who, _shown(session, row)):
                raise NotFound(f"no kill {kill[:64]!r}")
            if row.released_ns is not None:
                raise Conflict("this one has ended")
            given = {found.user for found in session.exec(_releases(kill))}
            if user in given and len(given) < PEOPLE_TO_RELEASE:
                raise Conflict("your word was given; another person's is needed")
            if user not in given:
                session.add(KillReleaseRow(kill=kill, user=user, reason=reason, created_ns=now))
                self._audit.append(session, "kill.release", kill, {"actor": who.actor, "reason": reason})
                session.flush()
            return _shown(session, row), len(given | {user}) >= PEOPLE_TO_RELEASE

        press, is_enough = await self._database.run(write)
        if not is_enough:
            return press
        await self._resume(press)

        def end(session: Session) -> Press:
            self._database.serialize(session, _ROWS)
            row = session.get_one(KillRow, kill)
            if row.released_ns is not None:
                return _shown(session, row)  # Somebody's word came at the same moment.
            row.released_ns = self._now_ns()
            session.add(row)
            self._audit.append(session, "kill.ended", kill, {"people": list(press.released_by)})
            session.flush()
            told = {"kill": kill, "target": row.target, "name": row.name, "people": list(press.released_by)}
            self._outbox.announce(session, row.organisation, "kill.ended", told)
            self._alerts.resolve_key(session, row.organisation, "kill.pressed", kill, who.actor)
            return _shown(session, row)

        return await self._database.run(end)

    async def start(self, strategy: str, reason: str) -> None:
        """Let one strategy run that no press holds.

        Raises:
            Conflict: One does.
            PlatformError: The engine did not resume.
        """
        if holds := [one.id for one in await self._held() if one.is_whole or strategy in one.strategies]:
            raise _held_by(holds)
        await self._engine.ask("resume", strategy=strategy, reason=reason)
        if holds := await self._stop_again({strategy}):
            raise _held_by(holds)

    # --- parts

    async def _strategies(self, who: Principal, target: Target) -> Sequence[str] | None:
        """Whose orders end: names, or None for the whole run."""
        directory = self._directory
        await directory.refresh()
        match target.kind:
            case TargetKind.STRATEGY:
                directory.check_strategy(who, target.name)
                return [target.name]
            case TargetKind.PORTFOLIO:
                portfolio = directory.seen(who, target.name)
                known = await self._known()
                return [name for name in known if (owner := directory.of_strategy(name)) and owner.id == portfolio.id]
            case TargetKind.ALL if directory.is_house(who):
                return None
            case _:
                known = await self._known()
                mine = [name for name in known if directory.sees_strategy(who, name)]
                if target.kind is TargetKind.ALL:
                    return mine
                # At a venue the house stops everybody: what is wrong with it is wrong for all.
                there = list(known) if directory.is_house(who) else mine
                trading = [name for name in there if target.name in known[name]]
                if not trading and not directory.is_house(who):
                    raise NotFound(f"no strategy of yours trades at {target.name[:40]!r}")
                return trading

    async def _scopes(self, who: Principal, target: Target) -> Sequence[str]:
        """What of custody a freeze is of.

        Raises:
            Forbidden: A strategy or a portfolio has no custody of its own, a venue is the house's, or the caller's
                organisation has no vault.
        """
        is_house = self._directory.is_house(who)
        if target.kind is TargetKind.ALL and is_house:
            return (ALL,)
        if target.kind is TargetKind.VENUE and is_house:
            return (venue_scope(target.name),)
        if target.kind is not TargetKind.ALL or who.portfolios is not None:
            raise Forbidden(
                "a freeze is of everything of yours, or of a venue by the house",
                hint="cancel or flatten stops strategies and portfolios",
            )

        def read(session: Session) -> list[str]:
            query = select(VaultRow.name).where(VaultRow.organisation == who.organisation)
            return [vault_scope(name) for name in session.exec(query)]

        try:
            scopes = await self._database.read(read)
        except PlatformError as exc:
            # The strategies are stopped all the same, and the answer says that nothing is frozen.
            log.error("kill.vaults_unknown", actor=who.actor, error=str(exc))
            return ()
        if not scopes:
            raise Forbidden("your organisation has no vault", hint="cancel or flatten stops your strategies")
        return scopes

    async def _known(self) -> dict[str, list[str]]:
        """The run's strategies, and at which venues each trades."""
        found = (await self._engine.ask("strategies"))["strategies"]
        return {one["id"]: one["venues"] for one in found}

    async def _stop(self, press: Press) -> None:
        if press.is_whole and press.mode is Mode.CANCEL:
            await self._engine.ask("kill", reason=press.reason, timeout_s=CONFIRM_S)
            return
        ask = partial(self._engine.ask, timeout_s=CONFIRM_S)
        # The engine's own freeze is of the whole run: of a part, its orders end.
        stage = press.mode if press.is_whole or press.mode is not Mode.FREEZE else Mode.CANCEL
        about: dict[str, Any] = {"stage": stage.value, "reason": press.reason}
        if press.is_whole:
            await ask("stage", **about)
            return
        asked = [ask("stage", strategy=name, **about) for name in press.strategies]
        results = await asyncio.gather(*asked, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def _write(self, who: Principal, press: Press, scopes: Sequence[str]) -> bool:
        """Write a press down; give whether a release may have undone meanwhile what it has stopped."""

        def write(session: Session) -> bool:
            self._database.serialize(session, _ROWS)
            is_crossed = _is_releasing(session, press.created_ns - _RELEASED_NS)
            # By the actor's name, as custody writes names: `capstan custody freezes` lists them.
            source = f"operator:{who.actor.replace(':', '.')}"
            imposed = [
                self._freezes.impose_in(session, scope, source=source, reason=press.reason).id for scope in scopes
            ]
            freeze = imposed[0] if imposed else None
            session.add(
                KillRow(
                    id=press.id,
                    organisation=who.organisation,
                    actor=who.actor,
                    target=press.target.kind.value,
                    name=press.target.name,
                    mode=press.mode.value,
                    reason=press.reason,
                    strategies=msgspec.json.encode(press.strategies).decode(),
                    is_whole=press.is_whole,
                    freeze=freeze,
                    created_ns=press.created_ns,
                )
            )
            detail = {"actor": who.actor, "target": press.target.kind.value, "name": press.target.name}
            self._audit.append(session, "kill.pressed", press.id, detail | {"mode": press.mode.value})
            told = {"kill": press.id, "mode": press.mode.value, "reason": press.reason}
            self._outbox.announce(session, who.organisation, "kill.pressed", detail | told)
            what = f"{press.target.kind.value} {press.target.name}".rstrip()
            summary = f"kill switch pressed: {press.mode.value} of {what}: {press.reason}"
            self._alerts.open(
                session, Finding(who.organisation, "kill.pressed", press.id, summary, detail=detail | told)
            )
            return is_crossed

        return await self._database.run(write)

    async def _resume(self, press: Press) -> None:
        """Let run again what no other press holds."""
        held = await self._held(but=press.id)
        if press.is_whole:
            if not any(other.is_whole for other in held):
                await self._engine.ask("resume", run_alone=True)
                await self._stop_again(set(), is_whole=True, but=press.id)
            return
        still = {name for other in held for name in other.strategies}
        free = [name for name in press.strategies if name not in still]
        for name in free:
            await self._engine.ask("resume", strategy=name)
        await self._stop_again(set(free), but=press.id)

    async def _stop_again(self, names: Set[str], *, is_whole: bool = False, but: str = "") -> list[str]:
        """Stop what was pressed while it was let run; give the presses."""
        held = [
            press
            for press in await self._held(but=but)
            if (is_whole and press.is_whole) or not names.isdisjoint(press.strategies)
        ]
        for press in held:
            log.warning("kill.pressed_meanwhile", kill=press.id)
            await self._stop(press)
        return [press.id for press in held]

    async def _held(self, *, but: str = "") -> list[Press]:
        """Presses that were not released, of everybody; another than one."""

        def read(session: Session) -> list[Press]:
            query = select(KillRow).where(col(KillRow.released_ns).is_(None), KillRow.id != but)
            return [_press(row) for row in session.exec(query)]

        return await self._database.read(read)


def _held_by(presses: Sequence[str]) -> Conflict:
    return Conflict(f"the kill switch holds it: {', '.join(presses)}", hint="POST /v1/kills/{id}/releases, by two")


def _is_releasing(session: Session, since_ns: int) -> bool:
    """Whether a release is under way, or has ended since."""
    if session.exec(select(KillRow.id).where(col(KillRow.released_ns) >= since_ns).limit(1)).first() is not None:
        return True
    query = select(KillReleaseRow.kill).join(KillRow, col(KillRow.id) == KillReleaseRow.kill)
    query = query.where(col(KillRow.released_ns).is_(None)).group_by(KillReleaseRow.kill)
    return session.exec(query.having(func.count() >= PEOPLE_TO_RELEASE).limit(1)).first() is not None


def _outcome(task: asyncio.Future[None]) -> str:
    failure = task.exception()
    if failure is None:
        return "done"
    if isinstance(failure, PlatformError):
        return str(failure)
    raise failure


def _releases(kill: str) -> Any:
    return select(KillReleaseRow).where(KillReleaseRow.kill == kill)


def _shown(session: Session, row: KillRow) -> Press:
    return _all_shown(session, [row])[0]


def _all_shown(session: Session, rows: Sequence[KillRow]) -> list[Press]:
    """Presses with the people whose word was given, read with one query."""
    people: dict[str, list[str]] = {row.id: [] for row in rows}
    for given in session.exec(select(KillReleaseRow).where(col(KillReleaseRow.kill).in_(people))):
        people[given.kill].append(given.user)
    return [replace(_press(row), released_by=tuple(sorted(people[row.id]))) for row in rows]


def _press(row: KillRow) -> Press:
    return Press(
        id=row.id, target=Target(TargetKind(row.target), row.name), mode=Mode(row.mode), reason=row.reason,
        actor=row.actor, strategies=tuple(msgspec.json.decode(row.strategies)), is_whole=row.is_whole,
        created_ns=row.created_ns, released_ns=row.released_ns, frozen=row.freeze is not None,
    )  # fmt: skip
