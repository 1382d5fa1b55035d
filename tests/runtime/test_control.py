"""The operator's door: answers, refuses, and never hangs."""

from __future__ import annotations

import asyncio
import stat

import pytest

from domain import InputError, InvariantError, OutcomeUnknown, Refused, VenueUnavailable
from runtime.control import REQUEST_S, ask_control, serve_control


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


@pytest.mark.parametrize(
    "error",
    [
        OutcomeUnknown("2 orders are not confirmed", request_id="kill", hint="ask again"),
        InvariantError("it does not add up"),
        VenueUnavailable("the exchange is away"),
        InputError("no such command"),
        Refused("no way", rule="no_route", hint="none"),
    ],
)
async def test_error_arrives_as_the_kind_it_was(tmp_path, error):
    async def fail(_request):
        raise error

    async with serve_control(tmp_path / "c.sock", fail):
        with pytest.raises(type(error), match=str(error)) as caught:
            await ask_control(tmp_path / "c.sock", {"command": "kill"})
        assert caught.value.hint == error.hint
        assert getattr(caught.value, "rule", None) == getattr(error, "rule", None)


async def test_long_answers_arrive_whole(tmp_path):
    async def long(_request):
        return {"text": "x" * 500_000}

    async with serve_control(tmp_path / "c.sock", long):
        assert len((await ask_control(tmp_path / "c.sock", {}))["text"]) == 500_000


async def test_process_that_dies_over_a_request_leaves_its_outcome_unknown(tmp_path):
    async def serve(reader, writer):
        await reader.readline()
        writer.close()

    server = await asyncio.start_unix_server(serve, tmp_path / "c.sock")
    async with server:
        with pytest.raises(OutcomeUnknown):
            await ask_control(tmp_path / "c.sock", {"command": "kill"})


async def test_process_that_hangs_is_waited_for_no_longer_than_asked(tmp_path, monkeypatch):
    asked = asyncio.Event()

    async def hang(_request):
        asked.set()
        await asyncio.Event().wait()
        return {}

    async with serve_control(tmp_path / "c.sock", hang):
        waiting = asyncio.ensure_future(ask_control(tmp_path / "c.sock", {"command": "kill"}, timeout_s=REQUEST_S / 2))
        await asked.wait()
        assert not waiting.done()
        loop = asyncio.get_running_loop()
        now = loop.time
        monkeypatch.setattr(loop, "time", lambda: now() + REQUEST_S / 2)
        with pytest.raises(OutcomeUnknown):
            await waiting


async def test_path_too_long_for_a_socket_is_named(tmp_path):
    with pytest.raises(InputError, match="too long for a socket"):
        async with serve_control(tmp_path / ("d" * 110) / "c.sock", echo):
            pass
