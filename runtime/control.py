"""A process's own door for its operator: one JSON line in, one out, over a Unix socket that only its user may open."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from domain import InputError, OutcomeUnknown, PlatformError, VenueUnavailable

LINE_MAX = 64 * 1024
Handler = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]


@contextlib.asynccontextmanager
async def serve_control(path: Path, handler: Handler) -> AsyncIterator[None]:
    """Answer requests on `path` (mode 0600) for as long as the block runs.

    A request the handler refuses is answered with `{"error": …}`; a malformed or oversized line likewise, and then
    the connection is closed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(30):
                line = await reader.readline()
                answer = await _answer(line, handler)
                writer.write(msgspec.json.encode(answer) + b"\n")
                await writer.drain()
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


async def _answer(line: bytes, handler: Handler) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(line, type=dict[str, Any])
        return await handler(request)
    except msgspec.DecodeError:
        return {"error": "expected one JSON object on a line"}
    except PlatformError as exc:
        return {"error": str(exc), "hint": exc.hint}


async def ask_control(path: Path, request: dict[str, Any], *, timeout_s: float = 10.0) -> dict[str, Any]:
    """Send one request and wait for its answer.

    Raises:
        VenueUnavailable: Nobody listens there: the process is not running.
        OutcomeUnknown: It was sent, and no answer came in time.
        InputError: The process refused the request.
    """
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_unix_connection(path, limit=LINE_MAX), timeout_s)
    except (OSError, TimeoutError) as exc:
        raise VenueUnavailable(f"no process listens at {path}") from exc
    try:
        async with asyncio.timeout(timeout_s):
            writer.write(msgspec.json.encode(request) + b"\n")
            await writer.drain()
            line = await reader.readline()
        answer = msgspec.json.decode(line, type=dict[str, Any])
    except (TimeoutError, ConnectionError, msgspec.DecodeError) as exc:
        raise OutcomeUnknown(f"no answer from {path}", request_id=str(request.get("command", ""))) from exc
    finally:
        writer.close()
    if "error" in answer:
        raise InputError(str(answer["error"]), hint=str(answer.get("hint", "")))
    return answer
