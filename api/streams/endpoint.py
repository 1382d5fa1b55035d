"""The WebSocket: a caller proves itself with a ticket, subscribes, and is sent what it may see, while it may.

Close codes: 4001 no (good) ticket in time, 4003 no longer allowed, 4008 too slow for a lossless channel, 4009 too many
messages that mean nothing, 1012 the server ends.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import msgspec
import structlog
from starlette.websockets import WebSocket, WebSocketDisconnect
from websockets.frames import Frame, Opcode

from api.auth.principal import Principal
from api.core import figures
from api.portfolios import Directory
from api.streams import protocol
from api.streams.hub import Hub, Lagging, Session
from domain import InputError, PlatformError

EXTENSION: Final = "capstan.frames"
"""Of the scope of a WebSocket whose server sends frames that are written already (`api.http_protocol`)."""

log = structlog.get_logger(__name__)

TICKET_S: Final = 5.0
BEAT_S: Final = 5.0
STILL_S: Final = 1.0
STALL_S: Final = 10.0
"""A socket that takes nothing for so long is closed."""
NONSENSE_MAX: Final = 20
UNREAD_MAX: Final = 1_000
"""Answers that wait for a client which asks and does not listen."""

NO_TICKET, NOT_ALLOWED, TOO_SLOW, NONSENSE, ENDING = 4001, 4003, 4008, 4009, 1012


@dataclass(frozen=True, slots=True)
class Door:
    """What the endpoint stands on."""

    hub: Hub
    directory: Directory
    redeem: Callable[[str], Awaitable[Principal]]
    """Takes a ticket, once. Raises `PlatformError` where it is none, or that cannot be told."""
    still: Callable[[Principal], Awaitable[Principal | None]]
    """The caller as it stands now; None once it may not be here."""
    knows_instrument: Callable[[str], bool]
    now_ns: Callable[[], int]
    address: str = ""
    """Where the client comes from, for the log."""


class _Closed(Exception):
    """The connection is to end."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class Connection:
    """One client. `run` returns when it is gone."""

    def __init__(self, socket: WebSocket, door: Door) -> None:
        self._socket = socket
        self._door = door
        self._session: Session = door.hub.open()
        self._who: Principal | None = None
        self._nonsense = 0
        self._sending_since: float | None = None
        """When what is being sent now was begun, by the loop's clock."""
        self._beat_ns = door.now_ns() + int(BEAT_S * 1e9)
        self._over: asyncio.Future[Exception] | None = None
        """Why it is to end, once a look at it has found that out."""
        self._stood: tuple[Principal, int] | None = None
        """As what the caller was last looked at, and by which state of the portfolios."""

    async def run(self) -> None:
        figures.WS_CLIENTS.inc()
        tasks: list[asyncio.Task[None]] = []
        watches, caller = self._door.hub.watches, ""
        try:
            await self._socket.accept()
            async with asyncio.timeout(TICKET_S):
                await self._authenticate()
            send_frame = self._socket.scope.get("extensions", {}).get(EXTENSION, {}).get("send_frame")
            if send_frame is not None:
                self._session.direct = lambda message: send_frame(_frame(message))
            tasks = [
                asyncio.create_task(work(), name=f"stream.{work.__name__}") for work in (self._receive, self._send)
            ]
            caller = self._actor()
            over = self._over = asyncio.get_running_loop().create_future()
            watches.add(caller, self._look, STILL_S)
            await asyncio.wait([*tasks, over], return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            if over.done():
                raise over.result()
        except TimeoutError:
            await self._refuse(NO_TICKET, "no ticket came")
        except _Closed as exc:
            await self._refuse(exc.code, exc.reason)
        except (WebSocketDisconnect, OSError):
            pass  # uvicorn's word for a client that is gone is an OSError.
        except asyncio.CancelledError:
            await self._close(ENDING, "the server ends")
            raise
        finally:
            watches.remove(caller, self._look)
            for task in tasks:
                task.cancel()
            self._door.hub.close(self._session)
            figures.WS_CLIENTS.dec()

    # --- who

    async def _authenticate(self) -> None:
        word = self._socket.query_params.get("ticket")
        said: protocol.Said | None = None
        if word is None:
            try:
                said = self._read(await self._message())
            except InputError as exc:
                raise _Closed(NO_TICKET, "the first message is a ticket") from exc
            if not isinstance(said, protocol.Auth):
                raise _Closed(NO_TICKET, "the first message is a ticket")
            word = said.ticket
        await self._admit(word, said)

    async def _admit(self, word: str, said: protocol.Said | None) -> None:
        """Take a ticket: at the beginning, or later of the same caller, who stays longer by it."""
        try:
            who = await self._door.redeem(word)
            await self._door.directory.refresh()
        except PlatformError as exc:
            raise _Closed(NO_TICKET, str(exc)) from exc
        if self._who is not None and (who.actor, who.organisation) != (self._who.actor, self._who.organisation):
            raise _Closed(NOT_ALLOWED, "the ticket is another caller's")
        self._who = who
        structlog.contextvars.bind_contextvars(organisation=who.organisation, actor=who.actor)
        portfolios = [{"id": p.id, "name": p.name} for p in self._door.directory.visible(who)]
        ready = {"t": "ready", "id": said.id if said else None, "actor": who.actor, "organisation": who.organisation}
        self._session.say(msgspec.json.encode(ready | {"portfolios": portfolios}))

    def _actor(self) -> str:
        assert self._who is not None
        return self._who.actor

    async def _look(self) -> None:
        """Beat, and see whether the caller takes what it is sent, and may still see what it sees."""
        try:
            since, now_ns = self._sending_since, self._door.now_ns()
            if since is not None and asyncio.get_running_loop().time() - since > STALL_S:
                raise _Closed(TOO_SLOW, "nothing is taken from this connection")
            await self.check_standing()
            if now_ns >= self._beat_ns:
                self._beat_ns = now_ns + int(BEAT_S * 1e9)
                self._session.say(self._session.beat(now_ns))
        except Exception as exc:
            if self._over is not None and not self._over.done():
                self._over.set_result(exc)

    async def check_standing(self) -> None:
        """Take away what the caller may no longer see."""
        assert self._who is not None
        try:
            who = await self._door.still(self._who)
            await self._door.directory.refresh()
        except PlatformError as exc:
            log.warning("stream.standing_unknown", actor=self._who.actor, error=str(exc))
            raise _Closed(NOT_ALLOWED, "it cannot be told whether you may be here") from exc
        if who is None:
            raise _Closed(NOT_ALLOWED, "no longer allowed")
        stands = (who, self._door.directory.version)
        if stands == self._stood:
            return
        self._stood = stands
        self._who = who
        for name, key in tuple(self._session.subscriptions):
            if (why := self._objection(name, key)) is not None:
                self._door.hub.unsubscribe(self._session, name, key)
                self._session.say(protocol.error("unsubscribed", f"{name} {key}: {why}"))

    def _objection(self, name: str, key: str) -> str | None:
        """Why the caller may not read a channel; None where it may."""
        who, scope = self._who, protocol.CHANNEL_SCOPES.get(name)
        assert who is not None
        if scope is None:
            return f"no such channel; there are {', '.join(sorted(protocol.CHANNEL_SCOPES))}"
        if not who.may(scope):
            return f"this needs the scope {scope}"
        if name in protocol.BY_INSTRUMENT:
            return None if self._door.knows_instrument(key) else "no such instrument"
        if name in protocol.BY_ORGANISATION and key != who.organisation:
            return "no such organisation"
        if name in protocol.BY_ORGANISATION | protocol.BY_EITHER and key == who.organisation:
            is_limited = name in protocol.OF_ALL_PORTFOLIOS and who.portfolios is not None
            return "this is for callers of all portfolios" if is_limited else None
        visible = any(portfolio.id == key for portfolio in self._door.directory.visible(who))
        return None if visible else "no such portfolio"

    # --- what

    async def _receive(self) -> None:
        while True:
            message = await self._message()
            try:
                said = self._read(message)
            except InputError as exc:
                self._nonsense += 1
                if self._nonsense > NONSENSE_MAX:
                    raise _Closed(NONSENSE, "too many messages that mean nothing") from exc
                self._session.say(protocol.error("invalid_message", str(exc)))
                continue
            match said:
                case protocol.Auth():
                    await self._admit(said.ticket, said)
                case protocol.Sub():
                    self._subscribe(said)
                case protocol.Unsub():
                    self._door.hub.unsubscribe(self._session, said.ch, said.key)
                    self._session.say(protocol.ok(said, "unsub"))
                case protocol.Ping():
                    self._session.say(protocol.ok(said, "ping"))
            if self._session.unread > UNREAD_MAX:
                raise _Closed(TOO_SLOW, "answers are not taken from this connection")

    def _subscribe(self, said: protocol.Sub) -> None:
        session, hub = self._session, self._door.hub
        if (why := self._objection(said.ch, said.key)) is not None:
            session.say(protocol.error("refused", why, said))
            return
        if len(session.subscriptions) >= protocol.SUBSCRIPTIONS_MAX:
            most = f"at most {protocol.SUBSCRIPTIONS_MAX} subscriptions a connection"
            session.say(protocol.error("too_many", most, said))
            return
        session.say(protocol.ok(said, "sub"))
        stands = {"epoch": said.from_.epoch, "seq": said.from_.seq} if said.from_ else {}
        hub.subscribe(session, said.ch, said.key, **stands)  # type: ignore[arg-type]

    async def _send(self) -> None:
        send = self._socket.send
        while True:
            try:
                messages = await self._session.next()
            except Lagging as exc:
                raise _Closed(TOO_SLOW, f"too slow for {exc}: something is no longer there for you") from exc
            # How long it takes is seen by `_look`: a timer for each message costs a tenth of sending it.
            self._sending_since = asyncio.get_running_loop().time()
            for message in messages:
                await send({"type": "websocket.send", "text": message.decode()})
            self._sending_since = None
            figures.WS_SEND_LAG.observe(time.perf_counter() - self._session.since)

    async def _message(self) -> bytes:
        received = await self._socket.receive()
        if received["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(received.get("code", 1005))
        text = received.get("text")
        return text.encode() if text is not None else received.get("bytes") or b""

    def _read(self, message: bytes) -> protocol.Said:
        return protocol.read(message)

    async def _refuse(self, code: int, reason: str) -> None:
        """End the connection for what its client did, or did not."""
        log.warning("stream.closed", code=code, why=reason, address=self._door.address)
        await self._close(code, reason)

    async def _close(self, code: int, reason: str) -> None:
        try:
            async with asyncio.timeout(1):
                await self._socket.close(code, reason[:120])
        except (RuntimeError, OSError, WebSocketDisconnect):
            pass  # It is gone already.


@lru_cache(maxsize=64)
def _frame(message: bytes) -> bytes:
    """The frame of a server's text message, written once for all that read the same."""
    return Frame(Opcode.TEXT, message).serialize(mask=False)
