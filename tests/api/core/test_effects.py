"""A request with a key does what it does once, through crashes, races and 5xx."""

from __future__ import annotations

import asyncio
import json

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel
from sqlalchemy import text
from sqlmodel import Session

from api.core.effects import IdempotencyKeyText
from api.problems import answer_problems
from api.services import Services, Use
from domain import InvariantError, VenueUnavailable
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
