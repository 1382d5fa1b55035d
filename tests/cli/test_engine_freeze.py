"""FREEZE outside the engine: custody and the signer stop, each on its own, until people lift it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from capstan_native import FreezeSwitch

from chain.devnet import TEST_ADDRESSES
from cli.engine_freeze import Freezer
from custody import open_books
from custody.audit import AuditLog
from custody.freeze import ALL, Freezes, check
from domain import Address, InputError, Refused, VenueUnavailable
from runtime.database import Database
from tests.wallets.test_freezing import Bench
from tests.wallets.test_service import prepare
from wallets import SignerClient


def now_ns() -> int:
    return 10**18


async def at_once(_seconds: float) -> None:
    await asyncio.sleep(0)


@dataclass
class Place:
    """Custody's books, and a signer that may be reached."""

    database: Database
    freezes: Freezes
    socket: Path
    bench: Bench
    stop: asyncio.Event

    def freezer(self, pause: Callable[[float], Awaitable[None]] | None = None) -> Freezer:
        return Freezer(self.freezes, SignerClient(self.socket, Address("")), pause=pause or at_once)

    def custody_refuses(self) -> bool:
        with self.database.transaction() as session:
            try:
                check(session)
            except Refused as refused:
                return refused.rule == "frozen"
        return False


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Database]:
    database = open_books(Database(f"sqlite:///{tmp_path / 'books.db'}"))
    yield database
    database.dispose()


@pytest.fixture
async def place(tmp_path: Path, books: Database) -> AsyncIterator[Place]:
    bench = Bench(tmp_path)
    stop, ready = asyncio.Event(), asyncio.Event()
    freezes = Freezes(books, AuditLog(books, now_ns), now_ns)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(bench.service.serve(tmp_path / "s.sock", stop, ready=ready))
        await ready.wait()
        yield Place(books, freezes, tmp_path / "s.sock", bench, stop)
        stop.set()
    bench.journal.close()


async def test_freeze_stops_custody_and_the_signer_and_is_kept_when_told_twice(place: Place) -> None:
    await place.freezer().by_engine("drawdown")
    assert place.custody_refuses()
    assert await place.bench.refuses_everything()
    await place.freezer().by_engine("drawdown")
    (standing,) = place.freezes.standing()
    assert (standing.scope, standing.source) == (ALL, "engine")
    assert "drawdown" in standing.reason
    (frozen,) = place.bench.journal.freezes()
    assert (frozen.source, frozen.reason) == (standing.source, standing.reason)
    place.bench.restart()
    assert await place.bench.refuses_everything()


async def test_a_signer_that_cannot_be_reached_keeps_custody_from_nothing_and_is_tried_until_it_is(
    tmp_path: Path, place: Place
) -> None:
    place.socket.rename(tmp_path / "away.sock")
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        """The signer comes back once custody is frozen and it was tried eight times."""
        waits.append(seconds)
        if len(waits) == 8:
            async with asyncio.timeout(60):
                while not await asyncio.to_thread(place.custody_refuses):
                    pass
            (tmp_path / "away.sock").rename(place.socket)

    await place.freezer(pause).freeze("engine", "x")
    assert waits == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert await place.bench.refuses_everything()


async def test_books_that_cannot_be_reached_keep_the_signer_from_nothing(place: Place) -> None:
    class Away(Freezes):
        tries = 0

        def impose(self, *args: object, **known: object) -> object:  # type: ignore[override]
            self.tries += 1
            if self.tries < 4:
                raise VenueUnavailable("the books are away")
            return super().impose(*args, **known)  # type: ignore[arg-type]

    place.freezes = Away(place.database, AuditLog(place.database, now_ns), now_ns)
    await place.freezer().freeze("engine", "x")
    assert await place.bench.refuses_everything()
    assert place.custody_refuses()


async def test_keys_of_this_process_stop_first(place: Place) -> None:
    switch = FreezeSwitch()
    freezer = Freezer(place.freezes, SignerClient(place.socket, Address("")), switches=[switch], pause=at_once)
    freezing = asyncio.create_task(freezer.by_engine("velocity"))
    await asyncio.sleep(0)
    assert switch.is_frozen
    await freezing
    assert place.custody_refuses()


async def test_words_that_no_freeze_takes_are_told_and_not_tried_for_ever(place: Place) -> None:
    with pytest.raises(ExceptionGroup) as raised:
        await place.freezer().freeze("not a name", "x")
    assert all(isinstance(exc, InputError) for exc in raised.value.exceptions)


def installation(root: Path, mode: str) -> None:
    """An installation with books and a keystore, no engine, no signer running, and a venue that does not answer."""
    prepare(root)
    (root / "capstan.toml").write_text(
        f"""mode = "{mode}"
[[venues]]
id = "v"
exchange = "binance"
instruments = ["ETHUSDC"]
base_url = "http://127.0.0.1:9"
[custody]
account = "{TEST_ADDRESSES[3]}"
database = "sqlite:///books.db"
keystore = "key.json"
password = "file:password"
signer_socket = "s.sock"
[custody.policy]
chain_id = 1337
recipients = ["{TEST_ADDRESSES[1]}"]
[custody.policy.assets]
"eip155:1337/slip44:60" = {{ per_transaction_raw = "100", per_day_raw = "100" }}
"""
    )
    open_books(Database(f"sqlite:///{root / 'books.db'}")).dispose()


def kill(root: Path) -> tuple[int, dict[str, object], str]:
    line = [sys.executable, "-m", "cli", "kill", "--freeze", "--reason", "found a stranger", "--json"]
    done = subprocess.run(
        [*line, "--data-dir", str(root)], capture_output=True, text=True, check=False, timeout=120, cwd=root
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr


async def test_kill_freezes_both_without_engine_or_signer_and_the_next_signer_begins_frozen(tmp_path: Path) -> None:
    installation(tmp_path, mode="paper")  # Nothing is open at a venue.
    bench = Bench(tmp_path, path=tmp_path / "signer-journal.db")
    code, told, _ = await asyncio.to_thread(kill, tmp_path)
    assert (code, told["open_orders"]) == (0, 0)
    assert told["frozen"] == {"signer": "frozen", "custody": "frozen"}
    bench.restart()
    assert await bench.refuses_everything()
    (frozen,) = bench.journal.freezes()
    assert (frozen.source, frozen.reason) == ("operator:kill", "found a stranger")
    bench.journal.close()
    database = Database(f"sqlite:///{tmp_path / 'books.db'}")
    (standing,) = Freezes(database, AuditLog(database, now_ns), now_ns).standing()
    assert (standing.scope, standing.source, standing.reason) == (ALL, "operator:kill", "found a stranger")
    database.dispose()


async def test_kill_freezes_before_it_asks_a_venue_that_does_not_answer(tmp_path: Path) -> None:
    installation(tmp_path, mode="live")
    bench = Bench(tmp_path, path=tmp_path / "signer-journal.db")
    code, _, errors = await asyncio.to_thread(kill, tmp_path)
    assert code != 0, errors
    assert await bench.refuses_everything()
    bench.journal.close()


async def test_kill_says_what_it_could_not_freeze(tmp_path: Path) -> None:
    installation(tmp_path, mode="paper")  # No signer was ever here: no socket, no journal.
    code, told, errors = await asyncio.to_thread(kill, tmp_path)
    assert code == 1
    assert "signer is not frozen: no signing journal" in errors
    assert told["frozen"]["custody"] == "frozen"  # type: ignore[index]
