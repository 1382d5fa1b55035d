"""The application over a database of its own, called as a server calls it, before a real control socket or none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from fastapi import FastAPI

from api import create_app
from api.auth import Gate, Method, Principal, Requirement, Scope
from api.auth.settings import ApiSettings
from api.core.keys import ServerKey
from api.engine_door import EngineDoor
from api.portfolios.directory import create
from api.services import Services
from api.swaps.door import DexDoor
from api.tables import open_tables
from custody import open_books
from runtime import ManualClock
from runtime.database import Database
from tests.databases import ALL

JSON = {"content-type": "application/json"}
START_NS = 1_800_000_000 * 10**9


@contextmanager
def api_services(
    folder: Path,
    *,
    control: Path | None = None,
    books: Any = None,
    url: str = "",
    counter: Any = None,
    swaps: Any = None,
) -> Iterator[Services]:
    """Services over an SQLite file in `folder`, or the database at `url`; their clock stands until it is advanced.

    `counter` makes custody's of database, clock and folder.
    """
    if url:
        database = open_tables(open_books(Database(url)))
    else:
        ALL.write(folder / "api.db")
        database = Database.at(folder / "api.db")
    clock = ManualClock(START_NS)
    try:
        yield Services.over(
            clock=clock,
            database=database,
            key=ServerKey(b"\x01" * 32),
            engine=EngineDoor(control or folder / "nobody.sock"),
            dex=DexDoor(folder / "dex.sock"),
            settings=ApiSettings(password_memory_kib=64),
            root=folder,
            swaps=swaps,
            books=books,
            counter=None if counter is None else counter(database, clock.now_ns, folder),
        )
    finally:
        database.dispose()


def application(services: Services, gate: Gate | None = None) -> FastAPI:
    """The whole application, built once for all tests: what it works with is looked up at each request."""
    if not _APPLICATION:
        _APPLICATION.append(create_app(services))
    app = _APPLICATION[0]
    app.state.services, app.state.gate = services, gate or services.auth.gate
    return app


_APPLICATION: list[FastAPI] = []


@contextmanager
def api_client(folder: Path, **services: Any) -> Iterator[Client]:
    """A client of the whole application over `api_services`, whose gate admits anybody as `ANYBODY`, of the house."""
    with api_services(folder, **services) as found:
        with found.database.transaction() as session:
            create(session, ANYBODY.organisation, "main", 1, has_rest=True)
        yield Client(create_app(found, gate=OpenGate()))


ANYBODY = Principal("org_anybody", "key:key_anybody", frozenset(Scope), Method.SIGNATURE, user="usr_anybody")


class OpenGate:
    """Admits everybody as one caller, and confirms what it asks for: for tests of what routes do."""

    def __init__(self, principal: Principal = ANYBODY) -> None:
        self.principal = principal

    async def admit(self, request: Any, need: Requirement) -> Principal:
        who = self.principal
        structlog.contextvars.bind_contextvars(actor=who.actor, organisation=who.organisation)
        return who

    async def confirm(self, request: Any, principal: Principal) -> Principal:
        return principal


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """Speaks ASGI to an application: one request, one answer."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def ask(self, method, path, body=b"", *, headers=None, chunks=None):
        """Give (status, media type, body); see `full`."""
        answer = await self.full(method, path, body, headers=headers, chunks=chunks)
        return answer.status, answer.headers.get("content-type", ""), answer.body

    async def full(self, method, path, body=b"", *, headers=None, chunks=None, address="127.0.0.1"):
        """Give the whole answer; with `chunks` the body is sent in pieces and its length not announced."""
        sent = []
        pieces = list(chunks) if chunks is not None else [body]
        given = dict(headers or {})
        if chunks is None:
            given.setdefault("content-length", str(len(body)))
        incoming = [
            {"type": "http.request", "body": piece, "more_body": i + 1 < len(pieces)} for i, piece in enumerate(pieces)
        ]

        async def receive():
            return incoming.pop(0) if incoming else {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        route, _, query = path.partition("?")
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": route, "raw_path": route.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(k.lower().encode(), v.encode("latin-1")) for k, v in given.items()],
            "client": (address, 1), "server": ("127.0.0.1", 8460),
        }  # fmt: skip
        try:
            await self.app(scope, receive, send)
        except Exception:  # Starlette answers 500 and raises, so that the server can log it.
            assert sent
        content = b"".join(m.get("body", b"") for m in sent if m["type"] == "http.response.body")
        found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        return Answer(sent[0]["status"], found, content)

    async def post(self, path, value, **kwargs):
        return await self.ask("POST", path, json.dumps(value).encode(), headers=JSON, **kwargs)
