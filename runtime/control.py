"""A process's own door for its operator: one JSON line in, one out, over a Unix socket that only its user may open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from domain import InputError, InvariantError, OutcomeUnknown, PlatformError, Refused, VenueUnavailable

LINE_MAX = 64 * 1024
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

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(30):
                line = await reader.readline()
                stream = _stream(line, streams)
                if stream is None:
                    answer = await _answer(line, handler)
                    writer.write(msgspec.json.encode(answer) + b"\n")
                    await writer.drain()
            if stream is not None:
                await _pour(stream, writer)
        except (TimeoutError, ConnectionError, ValueError):
            pass  # The client went away or sent a line beyond the limit; there is nobody to tell.
        finally:
            writer.close()

    server = await asyncio.start_unix_server(converse, path, limit=LINE_MAX)
    path.chmod(0o600)
    try:
        yield
    finally:
        server.close()
        path.unlink(missing_ok=True)


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
        return await handler(request)
    except msgspec.DecodeError:
        return {"error": "expected one JSON object on a line"}
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
                raise _error(part, str(request.get("command", "")))
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
        raise VenueUnavailable(
            f"no process listens at {path}", hint="start it, or point --data-dir at an installation that runs"
        ) from exc
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
        raise _error(answer, request_id)
    return answer


def _error(answer: dict[str, Any], request_id: str) -> PlatformError:
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
