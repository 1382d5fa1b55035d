"""A request with a key does what it does once, through crashes, races and 5xx."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from sqlalchemy import text
from sqlmodel import Session

from api.core import effects
from api.core.effects import Effects, IdempotencyKeyText, KeyReused
from api.core.tables import IdempotencyKey
from api.problems import answer_problems
from api.services import Services, Use
from domain import InvariantError, VenueUnavailable
from runtime.batches import Batches
from runtime.database import Database
from tests.api.lab import JSON, Client, api_services


class Deposit(BaseModel):
    amount: int


class Booked(BaseModel):
    row: int


class Trouble:
    """Raised by the work itself, after its row was written, for as long as it is there: work may run again."""

    def __init__(self) -> None:
        self.of_amount: dict[int, BaseException] = {}


def application(services: Services, trouble: Trouble) -> FastAPI:
    """One route whose effect is a row of a table of this test."""
    with services.database.transaction() as session:
        session.execute(text("CREATE TABLE effects_of_test (id INTEGER PRIMARY KEY, owner TEXT, amount INTEGER)"))
    app = FastAPI()
    app.state.services = services
    answer_problems(app)

    @app.post("/v1/{organisation}/deposits")
    async def deposit(
        request: Request, services: Use, organisation: str, body: Deposit, key: IdempotencyKeyText
    ) -> Response:
        def work(session: Session) -> Booked:
            row = rows(session) + 1
            session.execute(
                text("INSERT INTO effects_of_test VALUES (:row, :organisation, :amount)"),
                {"row": row, "organisation": organisation, "amount": body.amount},
            )
            if (exc := trouble.of_amount.get(body.amount)) is not None:
                raise exc
            return Booked(row=row)

        return (await services.effects.once(request, organisation, key, work)).response()

    return app


def rows(session: Session) -> int:
    return int(session.execute(text("SELECT COUNT(*) FROM effects_of_test")).scalar_one())


def count(database: Database) -> int:
    with database.snapshot() as session:
        return rows(session)


@pytest.fixture
def trouble() -> Trouble:
    return Trouble()


@pytest.fixture
def services(tmp_path, database_url):
    with api_services(tmp_path, url=database_url) as services:
        yield services


@pytest.fixture
def client(services, trouble) -> Client:
    return Client(application(services, trouble))


async def post(client, amount=5, key="key-0001", organisation="acme"):
    body = json.dumps({"amount": amount}).encode()
    return await client.ask(
        "POST", f"/v1/{organisation}/deposits", body, headers=JSON | ({"idempotency-key": key} if key else {})
    )


async def test_sent_again_it_is_answered_as_it_was_and_does_nothing(client, services):
    first = await post(client)
    assert (first[0], json.loads(first[2])) == (201, {"row": 1})
    assert await post(client) == first
    assert count(services.database) == 1
    assert (await post(client, key="key-0002"))[2] == b'{"row":2}'


async def test_keys_are_forgotten_after_seven_days_and_the_effects_stay(client, services, monkeypatch):
    monkeypatch.setattr(effects, "_PIECE", 2)
    database, now_ns = services.database, services.clock.now_ns
    old = [f"key-{number:08}" for number in range(5)]
    for key in old:
        await post(client, key=key)
    services.clock.advance(ns=effects.KEPT_NS)
    assert effects.forget_keys(database, now_ns) == 0
    first = await post(client)
    services.clock.advance(ns=1)
    assert effects.forget_keys(database, now_ns) == 5
    assert await post(client) == first
    assert count(database) == 6
    assert (await post(client, key=old[0]))[0] == 201
    assert count(database) == 7


async def test_many_at_once_with_one_key_are_one_effect(client, services):
    answers = await asyncio.gather(*(post(client) for _ in range(40)))
    assert {answer[2] for answer in answers} == {b'{"row":1}'}
    assert count(services.database) == 1


async def test_a_key_stands_for_its_request_and_its_organisation(client, services):
    await post(client)
    other = await post(client, amount=6)
    assert (other[0], json.loads(other[2])["code"]) == (422, "idempotency_key_reused")
    assert count(services.database) == 1
    assert (await post(client, amount=6, organisation="other"))[0] == 201


@pytest.mark.parametrize("key", ["", "short", "x" * 256, "with a space", "ümlaute-sind-keine"])
async def test_without_a_proper_key_nothing_is_done(client, services, key):
    assert (await post(client, key=key))[0] == 422
    assert count(services.database) == 0


@pytest.mark.parametrize("exc", [VenueUnavailable("gone"), InvariantError("wrong"), RuntimeError("bug")])
async def test_what_fails_leaves_neither_effect_nor_key(client, services, trouble, exc):
    trouble.of_amount[5] = exc
    assert (await post(client))[0] in (500, 503)
    assert count(services.database) == 0
    trouble.of_amount.clear()
    assert (await post(client))[0] == 201
    assert count(services.database) == 1


async def test_one_that_fails_takes_no_other_of_its_batch_with_it(client, services, trouble):
    trouble.of_amount[7] = RuntimeError("the seventh")
    answers = await asyncio.gather(*(post(client, key=f"key-{n:04}", amount=n) for n in range(20)))
    assert sorted(answer[0] for answer in answers) == [201] * 19 + [500]
    assert count(services.database) == 19


async def test_one_that_reuses_a_key_takes_no_other_of_its_batch_with_it(client, services):
    await post(client, key="key-used")
    keys = ["key-used" if n == 7 else f"key-{n:04}" for n in range(20)]
    answers = await asyncio.gather(*(post(client, amount=n, key=key) for n, key in enumerate(keys)))
    assert sorted(answer[0] for answer in answers) == [201] * 19 + [422]
    assert count(services.database) == 20


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_of_two_processes_with_one_key_the_slower_is_told_what_the_faster_was(tmp_path, database_url):
    """The faster one commits after the slower one has looked for the key. SQLite lets one write at a time."""
    with api_services(tmp_path, url=database_url) as services:
        faster = Client(application(services, Trouble()))
        loop, answers = asyncio.get_running_loop(), []

        def work(session: Session) -> Booked:
            if not answers:
                answers.append(asyncio.run_coroutine_threadsafe(post(faster), loop).result(60))
            return Booked(row=99)

        slower = Effects(Batches(services.database), services.clock.now_ns)
        once = await slower.once(Asking("/v1/acme/deposits", b'{"amount": 5}'), "acme", "key-0001", work)
        assert (once.is_replayed, once.body) == (True, answers[0][2])
        assert count(services.database) == 1


async def test_a_key_that_is_always_written_first_by_somebody_else_is_given_up(services):
    """By the work itself here: whatever wrote it, nothing of a race is kept."""
    tries = []

    def work(session: Session) -> Booked:
        tries.append(1)
        text_of = dict.fromkeys(("route", "request_digest", "answer"), "-")
        session.add(IdempotencyKey(organisation="acme", key="key-0001", status=201, created_ns=0, **text_of))
        return Booked(row=1)

    with pytest.raises(VenueUnavailable):
        await services.effects.once(Asking("/v1", b""), "acme", "key-0001", work)
    assert len(tries) > 1
    with services.database.snapshot() as session:
        assert session.get(IdempotencyKey, ("acme", "key-0001")) is None


@dataclass
class Asking:
    """As much of a request as an effect is bound to."""

    path: str
    content: bytes
    method: str = "POST"

    @property
    def scope(self) -> dict[str, str]:
        return {"path": self.path}

    async def body(self) -> bytes:
        return self.content


class Given(NamedTuple):
    """One request of the property: two organisations share few keys, and some of the works fail."""

    organisation: str
    key: str
    body: bytes
    fails: bool


GIVEN: Final = st.builds(
    Given,
    st.sampled_from(["a", "b"]),
    st.sampled_from(["key-0001", "key-0002", "key-0003"]),
    st.sampled_from([b"x", b"y"]),
    st.sampled_from([False, False, False, True]),
)


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    with api_services(tmp_path_factory.mktemp("book")) as services:
        with services.database.transaction() as session:
            session.execute(text("CREATE TABLE effects_of_test (id INTEGER PRIMARY KEY, owner TEXT, amount INTEGER)"))
        yield services


@given(crowds=st.lists(st.lists(GIVEN, min_size=1, max_size=8), min_size=1, max_size=4))
async def test_in_whatever_batches_requests_come_each_is_answered_as_if_it_were_alone(book, crowds):
    """The oracle takes one after the other, in a dict."""
    with book.database.transaction() as session:
        for table in ("effects_of_test", "api_idempotency_keys"):
            session.execute(text(f"DELETE FROM {table}"))
    known: dict[tuple[str, str], tuple[bytes, int]] = {}
    for crowd in crowds:
        batches, go = Batches(book.database), threading.Event()
        effects = Effects(batches, book.clock.now_ns)
        batches.submit(lambda _session, go=go: go.wait(60))  # Those that follow wait for it, and are one batch.
        told = [asyncio.ensure_future(effects.once(Asking("/", one.body), *one[:2], writing(one))) for one in crowd]
        await asyncio.sleep(0)
        go.set()
        for one, answer in zip(crowd, await asyncio.gather(*told, return_exceptions=True), strict=True):
            was = known.get(one[:2])
            if was is not None and was[0] != one.body:
                assert isinstance(answer, KeyReused)
            elif was is not None:
                assert (answer.is_replayed, answer.value()) == (True, {"row": was[1]})
            elif one.fails:
                assert isinstance(answer, RuntimeError)
            else:
                known[one[:2]] = (one.body, len(known) + 1)
                assert (answer.is_replayed, answer.value()) == (False, {"row": len(known)})
    assert count(book.database) == len(known)
    with book.database.snapshot() as session:
        assert session.execute(text("SELECT COUNT(*) FROM api_idempotency_keys")).scalar_one() == len(known)


def writing(one: Given) -> Callable[[Session], Booked]:
    def work(session: Session) -> Booked:
        row = rows(session) + 1
        session.execute(text("INSERT INTO effects_of_test VALUES (:row, :owner, 0)"), {"row": row, "owner": one[0]})
        if one.fails:
            raise RuntimeError("a bug")
        return Booked(row=row)

    return work
