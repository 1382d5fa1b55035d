"""Looking again and again, whatever a look comes to."""

from __future__ import annotations

import asyncio
import contextlib

from api.streams import looking
from domain import VenueUnavailable
from tests.api.logs import logging


async def test_a_look_that_fails_is_told_of_and_the_next_one_comes(monkeypatch) -> None:
    monkeypatch.setattr(looking, "EVERY_S", 0.0)
    comes = [VenueUnavailable("no database"), KeyError("ours"), None]
    looked = asyncio.Event()

    async def look() -> None:
        if (error := comes.pop(0)) is not None:
            raise error
        looked.set()
        await asyncio.Event().wait()

    with logging() as written:
        task = asyncio.create_task(looking.look_again("alerts", look))
        async with asyncio.timeout(60):
            await looked.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    lines = written.all(event="stream.not_looked")
    assert [(line["what"], line["level"]) for line in lines] == [("alerts", "warning"), ("alerts", "error")]
