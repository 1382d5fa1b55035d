"""WebSocket requests: JSON text in, strict values out, errors as the venue words them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import WSMsgType, web


@dataclass(frozen=True, slots=True)
class BadFrame(Exception):
    """A frame that is no request: Binance's stream error codes 0..3 with text."""

    code: int
    message: str


@dataclass(frozen=True, slots=True)
class Request:
    """`{"id", "method", "params"}`. Numbers in `params` are kept as the text that was sent, because it was signed."""

    id: int | str | None
    method: str
    params: Any


async def requests(socket: web.WebSocketResponse) -> AsyncIterator[Request | BadFrame]:
    """Give each text frame as a request or as what is wrong with it, until the socket closes.

    aiohttp closes the socket itself (1009) on a frame above the size bound.
    """
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            try:
                yield read(message.data)
            except BadFrame as bad:
                yield bad
        elif message.type is WSMsgType.BINARY:
            yield BadFrame(3, "Invalid JSON: binary frames are not supported")
        elif message.type is WSMsgType.ERROR:
            return


def read(text: str) -> Request:
    """Read one frame.

    Raises:
        BadFrame: Not JSON, or not a request.
    """
    try:
        frame = _decode_frame(text)
        params = _exact(frame.params)
    except (ValueError, RecursionError) as exc:
        raise _objection(text) from exc
    return Request(frame.id, frame.method, params)


class _Frame(msgspec.Struct):
    method: str
    id: int | str | None = None
    params: msgspec.Raw = msgspec.Raw(b"null")


_decode_frame: Final = msgspec.json.Decoder(_Frame).decode
_decode_texts: Final = msgspec.json.Decoder(dict[str, str]).decode


def _exact(raw: msgspec.Raw) -> Any:
    """Read parameters, numbers as their text. Most requests bring texts only: those are read in one go."""
    try:
        return _decode_texts(raw)
    except msgspec.ValidationError:
        return json.loads(bytes(raw), parse_int=str, parse_float=str)


def _objection(text: str) -> BadFrame:
    """Say what is wrong with a frame in the venue's words."""
    try:
        frame = json.loads(text)
    except (ValueError, RecursionError) as exc:
        return BadFrame(3, f"Invalid JSON: {type(exc).__name__}")
    if not isinstance(frame, dict):
        return BadFrame(2, "Invalid request: expected an object")
    request_id = frame.get("id")
    if isinstance(request_id, bool) or not isinstance(request_id, int | str | None):
        return BadFrame(2, "Invalid request: request ID must be an unsigned integer, a string or null")
    return BadFrame(2, "Invalid request: missing field `method`")
