"""Every second somebody looks at each connection: whoever hangs holds up its own caller's alone."""

from __future__ import annotations

import asyncio

from api.streams.watches import Watches


async def test_a_look_that_hangs_keeps_no_other_caller_waiting():
    watches, never, looked = Watches(), asyncio.Event(), asyncio.Event()

    async def hang():
        await never.wait()

    async def look():
        looked.set()

    watches.add("ann", hang, 0)
    watches.add("ben", look, 0)
    async with asyncio.timeout(60):
        for _ in range(3):
            await looked.wait()
            looked.clear()
    watches.remove("ann", hang)
    watches.remove("ben", look)


async def test_all_of_a_caller_are_looked_at_until_they_go():
    watches, seen, twice = Watches(), list[str](), asyncio.Event()

    def of(name):
        async def look():
            seen.append(name)
            if seen.count("b") == 2:
                twice.set()
            if name == "b":
                watches.remove("ann", looks["c"])  # While a round is under way.

        return look

    looks = {name: of(name) for name in "abc"}
    for look in looks.values():
        watches.add("ann", look, 0)
    async with asyncio.timeout(60):
        await twice.wait()
    assert "c" not in seen
    watches.remove("ann", looks["a"])
    watches.remove("ann", looks["b"])
    told = len(seen)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(seen) == told
    assert [task for task in asyncio.all_tasks() if task.get_name() == "stream.watch"] == []
