"""Many callers share a commit, and none suffers from what another asked for."""

from __future__ import annotations

import threading
from concurrent.futures import Future

import pytest
import sqlalchemy as sa

from custody.ledger import Entry, Ledger, Posting
from custody.ledger.rows import lock_balances
from domain import InvariantError, PlatformError, Refused, VenueUnavailable
from runtime.database import Database


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database, lambda: 1)


def owe(key: str, raw: int, *, user: str = "u", note: str = "") -> Entry:
    legs = (Posting(f"user/{user}/available", "x/A", -raw), Posting("venue/v", "x/A", raw))
    return Entry(key, "test", legs, note=note)


def held_up(database: Database, ledger: Ledger, units: list[list[Entry]]) -> list[Future[tuple[bool, ...]]]:
    """Submit units while the first writer of `venue/v` cannot go on, so that the rest become one batch."""
    ledger.post(owe("warm", 1, user="other"))
    with database.transaction() as session:
        lock_balances(session, [("venue/v", "x/A")])
        session.execute(sa.text("UPDATE ledger_balances SET raw = raw WHERE account = 'venue/v'"))
        return [ledger.submit(unit) for unit in units]


def outcome(future: Future[tuple[bool, ...]]) -> tuple[bool, ...] | type[BaseException]:
    error = future.exception(timeout=30)
    return future.result() if error is None else type(error)


def test_each_caller_of_a_batch_gets_its_own_answer(database: Database, ledger: Ledger) -> None:
    futures = held_up(
        database,
        ledger,
        [
            [owe("first", 100)],
            [owe("a", 10)],
            [owe("a", 10)],
            [owe("a", 11)],
            [owe("overdrawn", -1_000)],
            [owe("b", -50), owe("c", -30)],
            [owe("d", -20), owe("e", -30)],
            [owe("f", -30)],
        ],
    )
    assert [outcome(future) for future in futures] == [
        (True,),
        (True,),
        (False,),
        InvariantError,
        Refused,
        (True, True),
        Refused,
        (True,),
    ]
    assert ledger.balance("user/u/available", "x/A") == 0
    assert ledger.verify().is_sound


def test_what_the_database_itself_refuses_fails_alone(database: Database, ledger: Ledger) -> None:
    # PostgreSQL takes no NUL in text, SQLite does; an asset id beyond the column is refused by PostgreSQL only.
    futures = held_up(database, ledger, [[owe("first", 1)], [owe("bad", 1, note="\x00")], [owe("good", 1)]])
    wanted = (True,) if database.is_sqlite else InvariantError
    assert [outcome(future) for future in futures] == [(True,), wanted, (True,)]
    assert ledger.verify().is_sound


def test_an_unreachable_database_is_told_to_everybody_and_the_next_try_works(
    database: Database, ledger: Ledger
) -> None:
    with database.transaction() as session:
        session.execute(sa.text("ALTER TABLE ledger_balances RENAME TO gone"))
    futures = [ledger.submit([owe(f"k{number}", 1)]) for number in range(5)]
    assert all(isinstance(future.exception(timeout=30), PlatformError) for future in futures)
    with database.transaction() as session:
        session.execute(sa.text("ALTER TABLE gone RENAME TO ledger_balances"))
    assert ledger.post(owe("k0", 1)) is True


def test_a_circle_of_waiting_transactions_is_cut_and_the_ledger_goes_on(database: Database, ledger: Ledger) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer: there is no circle")
    ledger.post_many([owe("a", 100, user="a"), owe("z", 100, user="z")])
    failed: list[BaseException] = []

    def cross(number: int) -> None:
        first, second = ("a", "z") if number % 2 else ("z", "a")
        try:
            with database.transaction() as session:
                ledger.post_in(session, owe(f"{number}-1", -1, user=first))
                ledger.post_in(session, owe(f"{number}-2", -1, user=second))
        except VenueUnavailable as exc:
            failed.append(exc)

    threads = [threading.Thread(target=cross, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    futures = [ledger.submit([owe(f"g{number}", -1, user="az"[number % 2])]) for number in range(20)]
    assert [outcome(future) for future in futures] == [(True,)] * 20
    for thread in threads:
        thread.join()
    assert ledger.balance("user/a/available", "x/A") == -100 + 10 + 6 - len(failed)
    assert ledger.verify().is_sound
