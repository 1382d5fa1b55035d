"""What a run decided stands in its journal; a replay that decides otherwise is found."""

from __future__ import annotations

import msgspec
import pytest

from domain import InvariantError
from domain import events as e
from engine.journal import read_journal
from engine.replay import CommandDigest, replay
from tests.engine.markets import SECOND, native_kernel
from tests.engine.places import MemoryBooks, MemoryExchange
from tests.engine.test_runner import LIMITS, Actions, Session, buy, rest, sell, write

SCRIPT = (buy(100), rest(300), sell(20), buy(10))


async def traded(path):
    """A run of some orders and at least two stamps; gives its journal."""
    async with Session(path, MemoryExchange(), MemoryBooks(), *SCRIPT) as session:
        for _ in SCRIPT:
            await session.show()
        stamps = session.journal.count
        await session.until(lambda: session.runner.decisions.count and session.journal.count > stamps + 4)
    return list(read_journal(path)[1]), session


def fresh(*script):
    return native_kernel(Actions(*script), **LIMITS)


async def test_a_run_replays_to_identical_decisions_at_every_stamp(tmp_path):
    events, session = await traded(tmp_path / "j")
    digest = replay(fresh(*SCRIPT), events)
    assert (digest.count, digest.hex) == (session.runner.decisions.count, session.runner.decisions.hex)
    assert digest.count >= len(SCRIPT)
    assert digest.stamps == sum(isinstance(event, e.DecisionsStamped) for event in events) >= 2


async def test_a_replay_that_decides_otherwise_is_found(tmp_path):
    events, _ = await traded(tmp_path / "j")
    with pytest.raises(InvariantError, match="decides otherwise"):
        replay(fresh(buy(101), *SCRIPT[1:]), events)
    last = max(i for i, event in enumerate(events) if isinstance(event, e.DecisionsStamped))
    forged = [*events[:last], msgspec.structs.replace(events[last], sha256="0" * 64), *events[last + 1 :]]
    with pytest.raises(InvariantError, match="decides otherwise"):
        replay(fresh(*SCRIPT), forged)


async def test_a_run_is_not_continued_by_what_decides_otherwise(tmp_path):
    events, _ = await traded(tmp_path / "j")
    write(tmp_path / "again", events)
    session = Session(tmp_path / "again", MemoryExchange(), MemoryBooks(), buy(101), *SCRIPT[1:])
    with pytest.raises(InvariantError, match="decides otherwise"):
        session.runner.recover()
    session.journal.close()
    write(tmp_path / "same", events)
    same = Session(tmp_path / "same", MemoryExchange(), MemoryBooks(), *SCRIPT)
    assert same.runner.recover() == 1
    assert same.runner.decisions.stamps >= 2
    same.journal.close()


def test_no_kernel_is_told_of_stamps():
    k = fresh(buy())
    before = k.now_ns
    assert k.step(CommandDigest().stamp(5 * SECOND)) == []
    assert k.now_ns == before
