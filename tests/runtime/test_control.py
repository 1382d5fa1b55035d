"""The operator's door: answers, refuses, and never hangs."""

from __future__ import annotations

import asyncio
import stat

import pytest

from domain import InputError, VenueUnavailable
from runtime.control import ask_control, serve_control


async def echo(request):
    if request.get("command") == "bad":
        raise InputError("no such command", hint="try status")
    return {"got": request}


async def test_request_is_answered_and_only_its_user_may_ask(tmp_path):
    path = tmp_path / "c.sock"
    async with serve_control(path, echo):
        assert await ask_control(path, {"command": "status"}) == {"got": {"command": "status"}}
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with pytest.raises(InputError, match="no such command"):
            await ask_control(path, {"command": "bad"})
    assert not path.exists()


async def test_absent_process_is_unavailable(tmp_path):
    with pytest.raises(VenueUnavailable):
        await ask_control(tmp_path / "nobody.sock", {})


async def test_malformed_and_oversized_lines_do_not_harm_the_server(tmp_path):
    path = tmp_path / "c.sock"
    async with serve_control(path, echo):
        for line in (b"[]\n", b"{\n", b"\xff\n", b"x" * 200_000 + b"\n"):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(line)
            answer = await reader.read()
            assert answer == b"" or b"error" in answer
            writer.close()
        assert await ask_control(path, {"command": "status"})
