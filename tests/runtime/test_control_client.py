"""One connection for many requests: each has its own answer, and what is lost is told as what it is."""

from __future__ import annotations

import asyncio

import pytest

from domain import InputError, OutcomeUnknown, VenueUnavailable
from runtime.control import AT_ONCE_MAX, LINE_MAX, serve_control
from runtime.control_client import ControlClient


class House:
    """Answers a request once its door was opened."""

    def __init__(self) -> None:
        self.doors: dict[int, asyncio.Event] = {}
        self.came = asyncio.Event()

    async def handle(self, request):
        if request["command"] == "refused":
            raise InputError("not that", hint="something else")
        if request["command"] == "bug":
            raise TypeError("ours")
        if request["command"] == "wait":
            door = self.doors.setdefault(request["n"], asyncio.Event())
            self.came.set()
            await door.wait()
        return {"n": request["n"]}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "c.sock"


async def test_each_request_has_its_own_answer_in_whatever_order_they_come(path):
    house = House()
    house.doors = {n: asyncio.Event() for n in range(5)}
    async with serve_control(path, house.handle):
        client = ControlClient(path)
        asked = [asyncio.ensure_future(client.ask({"command": "wait", "n": n}, timeout_s=60)) for n in range(5)]
        for n in (3, 0, 4, 1, 2):
            house.doors[n].set()
            assert await asked[n] == {"n": n}
        client.close()


async def test_more_than_may_be_under_way_are_answered_too(path):
    async with serve_control(path, House().handle):
        client = ControlClient(path)
        count = AT_ONCE_MAX + 50
        answers = await asyncio.gather(*(client.ask({"command": "n", "n": n}, timeout_s=60) for n in range(count)))
        assert [answer["n"] for answer in answers] == list(range(count))
        client.close()


async def test_a_refusal_and_a_bug_are_told_and_the_connection_goes_on(path):
    async with serve_control(path, House().handle):
        client = ControlClient(path)
        with pytest.raises(InputError, match="not that") as caught:
            await client.ask({"command": "refused"})
        assert caught.value.hint == "something else"
        with pytest.raises(OutcomeUnknown):
            await client.ask({"command": "bug"})
        link = client._link
        assert await client.ask({"command": "n", "n": 1}) == {"n": 1}
        assert client._link is link
        client.close()


async def test_a_request_that_is_too_long_is_not_sent_and_takes_nothing_with_it(path):
    house = House()
    async with serve_control(path, house.handle):
        client = ControlClient(path)
        waiting = asyncio.ensure_future(client.ask({"command": "wait", "n": 1}, timeout_s=60))
        await house.came.wait()
        link = client._link
        room = LINE_MAX - len(b'{"id":2,"ask":{"command":"n","n":2,"text":""}}\n')
        with pytest.raises(InputError, match=f"at most {LINE_MAX}"):
            await client.ask({"command": "n", "n": 2, "text": "x" * (room + 1)})
        assert await client.ask({"command": "n", "n": 2, "text": "x" * room}) == {"n": 2}
        house.doors[1].set()
        assert await waiting == {"n": 1}
        assert client._link is link
        client.close()


async def test_nobody_there_is_unavailable_and_whoever_comes_later_is_found(path):
    client = ControlClient(path)
    with pytest.raises(VenueUnavailable):
        await client.ask({"command": "n", "n": 1})
    for n in range(2):
        async with serve_control(path, House().handle):
            assert await client.ask({"command": "n", "n": n}) == {"n": n}
        # Nothing has run in between that could have noticed the end: it was sent, and not read.
        with pytest.raises(VenueUnavailable):
            await client.ask({"command": "n", "n": 2})
    with pytest.raises(VenueUnavailable):
        await client.ask({"command": "n", "n": 2})


async def test_what_was_under_way_when_the_process_died_is_unknown(path):
    async def serve(reader, writer):
        await reader.readline()
        writer.close()

    client = ControlClient(path)
    async with await asyncio.start_unix_server(serve, path):
        with pytest.raises(OutcomeUnknown) as caught:
            await client.ask({"command": "kill"}, timeout_s=60)
    assert caught.value.request_id == "kill"


async def test_an_answer_is_waited_for_no_longer_than_asked_and_a_late_one_is_nobodys(path):
    house = House()
    async with serve_control(path, house.handle):
        client = ControlClient(path)
        await client.ask({"command": "n", "n": 0}, timeout_s=60)  # It is connected, however slow the machine is.
        late = asyncio.ensure_future(client.ask({"command": "wait", "n": 1}, timeout_s=0.05))
        await house.came.wait()
        with pytest.raises(OutcomeUnknown):
            await late
        house.doors[1].set()
        assert await client.ask({"command": "n", "n": 2}, timeout_s=60) == {"n": 2}
        client.close()


async def test_a_process_that_ends_answers_what_is_under_way(path):
    house = House()
    client = ControlClient(path)
    async with serve_control(path, house.handle):
        asked = asyncio.ensure_future(client.ask({"command": "wait", "n": 1}, timeout_s=60))
        await house.came.wait()
    house.doors[1].set()
    assert await asked == {"n": 1}


async def test_what_is_asked_of_a_process_that_ends_was_not_carried_out_and_takes_nothing_with_it(path):
    house = House()
    client = ControlClient(path)
    async with serve_control(path, house.handle):
        asked = asyncio.ensure_future(client.ask({"command": "wait", "n": 1}, timeout_s=60))
        await house.came.wait()
    late = asyncio.ensure_future(client.ask({"command": "wait", "n": 2}, timeout_s=60))
    for _ in range(20):
        await asyncio.sleep(0)  # What is in the socket by now has been looked for.
    house.doors[1].set()
    assert await asked == {"n": 1}
    with pytest.raises(VenueUnavailable):
        await late
    assert list(house.doors) == [1]
