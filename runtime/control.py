"""A process's own door for its operator: one JSON line in, one out, over a Unix socket that only its user may open.

    {"command": "status"}                       -> {"state": …}, and the connection ends
    {"id": 7, "ask": {"command": "status"}}     -> {"id": 7, "answer": {"state": …}}, and the connection stays

Requests with an id (from 1) may follow one another without waiting; each is answered when it is done, and before a
connection ends its client is told how many were read (`{"id": 0, "answer": {"read": 7}}`): later ones were not carried
out. `ask_control` is the first form, `runtime.control_client` the second.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
import structlog

from domain import InputError, InvariantError, OutcomeUnknown, PlatformError, Refused, VenueUnavailable

log = structlog.get_logger(__name__)

LINE_MAX = 64 * 1024
REQUEST_S = 30.0
AT_ONCE_MAX = 1_000
"""Requests of one connection that may be under way; what comes then waits in the socket."""
ANSWER_MAX = 4 * 1024 * 1024
STREAM_LINE_MAX = 64 * 1024 * 1024
STREAM_STALL_S = 5.0
PATH_MAX = 107
"""Bytes in the name of a Unix socket (`sun_path` of unix(7), less its end)."""
Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
Stream = Callable[[dict[str, Any]], AsyncIterator[dict[str, Any]]]


@contextlib.asynccontextmanager
async def serve_control(
    path: Path, handler: Handler, *, streams: Mapping[str, Stream] = MappingProxyType({})
) -> AsyncIterator[None]:
    """Answer requests on `path` (mode 0600) for as long as the block runs.

    A request the handler refuses is answered with `{"error": …}`; a malformed or oversized line likewise, and then
    the connection is closed. A command named in `streams` is answered with a line for each thing its stream gives,
    until either side ends it; a reader that does not keep up for `STREAM_STALL_S` is cut off.
    """
    if len(bytes(path)) > PATH_MAX:
        raise InputError(
            f"{path} is too long for a socket: {len(bytes(path))} bytes, at most {PATH_MAX}",
            hint="use a data directory with a shorter path",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)

    connections: dict[asyncio.StreamReader, asyncio.StreamWriter] = {}

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections[reader] = writer
        try:
            async with asyncio.timeout(REQUEST_S):
                line = await reader.readline()
                numbered = _numbered(line)
                stream = _stream(line, streams) if numbered is None else None
                if numbered is None and stream is None:
                    answer = await _answer(line, handler)
                    writer.write(msgspec.json.encode(answer) + b"\n")
                    await writer.drain()
            if stream is not None:
                await _pour(stream, writer)
            elif numbered is not None:
                await _answer_each(numbered, reader, writer, handler)
        except (TimeoutError, ConnectionError, ValueError):
            pass  # The client went away or sent a line beyond the limit; there is nobody to tell.
        finally:
            connections.pop(reader, None)
            writer.close()

    server = await asyncio.start_unix_server(converse, path, limit=LINE_MAX)
    path.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)
        # Whoever keeps a connection reads its end, once what is under way was answered; what still comes is not read.
        for reader, writer in tuple(connections.items()):
            if not writer.transport.is_closing():
                writer.transport.pause_reading()  # type: ignore[attr-defined]
            reader.feed_eof()


class Numbered(msgspec.Struct, frozen=True):
    """A request that says by which number it is answered."""

    id: int
    ask: dict[str, Any]


class Answered(msgspec.Struct, frozen=True):
    """Its answer."""

    id: int
    answer: dict[str, Any]


def _numbered(line: bytes) -> Numbered | None:
    try:
        return msgspec.json.decode(line, type=Numbered)
    except msgspec.DecodeError:
        return None


async def _answer_each(
    request: Numbered | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler
) -> None:
    """Answer numbered requests until the client ends, or sends something else; those under way are finished."""
    room, under_way = asyncio.Semaphore(AT_ONCE_MAX), set[asyncio.Task[None]]()

    async def carry_out(request: Numbered) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                answer = await _handled(request.ask, handler)
                writer.write(msgspec.json.encode(Answered(request.id, answer)) + b"\n")
                await writer.drain()
        except (TimeoutError, ConnectionError):
            pass  # There is nobody to tell, or nothing.
        except Exception as exc:
            # Our bug. The connection is others' too, and goes on.
            log.error(
                "control.failed", command=str(request.ask.get("command"))[:40], error=f"{type(exc).__name__}: {exc}"
            )
            unknown = {"error": "the request failed; the process's log has why", "kind": OutcomeUnknown.__name__}
            writer.write(msgspec.json.encode(Answered(request.id, unknown)) + b"\n")
        finally:
            room.release()

    read = 0
    try:
        while request is not None:
            read += 1
            await room.acquire()
            task = asyncio.create_task(carry_out(request), name="control.request")
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            request = _numbered(await reader.readline())
    finally:
        if under_way:
            await asyncio.wait(under_way)
        writer.write(msgspec.json.encode(Answered(0, {"read": read})) + b"\n")


def _stream(line: bytes, streams: Mapping[str, Stream]) -> AsyncIterator[dict[str, Any]] | None:
    """The stream that a request asks for, if it asks for one."""
    try:
        request = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return None
    found = streams.get(str(request.get("command")))
    return None if found is None else found(request)


async def _pour(stream: AsyncIterator[dict[str, Any]], writer: asyncio.StreamWriter) -> None:
    async with contextlib.aclosing(stream) as parts:  # type: ignore[type-var]
        async for part in parts:
            writer.write(msgspec.json.encode(part) + b"\n")
            async with asyncio.timeout(STREAM_STALL_S):
                await writer.drain()


async def _answer(line: bytes, handler: Handler) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        return {"error": "expected one JSON object on a line"}
    return await _handled(request, handler)


async def _handled(request: dict[str, Any], handler: Handler) -> dict[str, Any]:
    try:
        return await handler(request)
    except PlatformError as exc:
        rule = {"rule": exc.rule} if isinstance(exc, Refused) else {}
        return {"error": str(exc), "hint": exc.hint, "kind": type(exc).__name__, **rule}


async def follow_control(path: Path, request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """Send one request and give each line of its stream, until the process ends it.

    Raises:
        VenueUnavailable: Nobody listens there, the connection was lost, or a line could not be read.
        InputError: The process refused the request.
    """
    try:
        reader, writer = await asyncio.open_unix_connection(path, limit=STREAM_LINE_MAX)
    except OSError as exc:
        raise VenueUnavailable(f"no process listens at {path}", hint="start it: capstan engine run") from exc
    try:
        writer.write(msgspec.json.encode(request) + b"\n")
        await writer.drain()
        while line := await reader.readline():
            part = msgspec.json.decode(line, type=dict[str, Any])
            if "error" in part:
                raise error_of(part, str(request.get("command", "")))
            yield part
    except (ConnectionError, ValueError) as exc:  # msgspec's DecodeError is a ValueError.
        raise VenueUnavailable(f"{path}: the stream was lost") from exc
    finally:
        writer.close()


async def ask_control(path: Path, request: dict[str, Any], *, timeout_s: float = 10.0) -> dict[str, Any]:
    """Send one request and wait for its answer.

    Raises:
        VenueUnavailable: Nobody listens there: the process is not running.
        OutcomeUnknown: It was sent, and no answer came in time; or the process itself does not know yet.
        InvariantError: The process found itself in error.
        Refused: A rule of the process said no.
        InputError: The request cannot be.
    """
    request_id = str(request.get("command", ""))
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(path, limit=ANSWER_MAX), timeout_s)
    except (OSError, TimeoutError) as exc:
        raise nobody_at(path) from exc
    try:
        async with asyncio.timeout(timeout_s):
            writer.write(msgspec.json.encode(request) + b"\n")
            await writer.drain()
            line = await reader.readline()
        answer = msgspec.json.decode(line, type=dict[str, Any])
    except (TimeoutError, ConnectionError, ValueError) as exc:  # msgspec's DecodeError is a ValueError.
        raise OutcomeUnknown(f"no answer from {path}", request_id=request_id) from exc
    finally:
        writer.close()
    if "error" in answer:
        raise error_of(answer, request_id)
    return answer


def nobody_at(path: Path) -> VenueUnavailable:
    return VenueUnavailable(
        f"no process listens at {path}", hint="start it, or point --data-dir at an installation that runs"
    )


def error_of(answer: dict[str, Any], request_id: str) -> PlatformError:
    """The process's error, as the kind it was: what its caller does next depends on that."""
    text, hint = str(answer["error"]), str(answer.get("hint", ""))
    match answer.get("kind"):
        case "OutcomeUnknown":
            return OutcomeUnknown(text, request_id=request_id, hint=hint)
        case "VenueUnavailable" | "UnknownOrder":
            return VenueUnavailable(text, hint=hint)
        case "InvariantError":
            return InvariantError(text, hint=hint)
        case "Refused":
            return Refused(text, rule=str(answer.get("rule", "")), hint=hint)
        case _:
            return InputError(text, hint=hint)
