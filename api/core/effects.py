"""Effects that happen once: a request that is sent again with its `Idempotency-Key` is answered as it was.

The key is written in the same transaction as the effect, so there is no moment at which one is there without the other:
a crash, a timeout or a 5xx leaves either both or neither, and the same request may always be sent again. Two at once
wait for one another in the database. Requests that share a transaction (`runtime.batches`) share the look-up of their
keys and the writing of them: two statements for all of them. What must happen outside of it (an order that goes to the
engine) is a row of this transaction that is carried out afterwards, under an id of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
import sqlalchemy as sa
from fastapi import Header, Request
from fastapi.responses import Response
from pydantic import BaseModel
from sqlmodel import Session

from api.core.errors import ApiError
from domain import VenueUnavailable
from runtime.batches import Batches
from runtime.database import Database, run_rows

KEPT_NS: Final = 7 * 24 * 3_600 * 10**9
"""A key is remembered this long, at the least."""

IdempotencyKeyText = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=8,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="Yours, one for each effect: a request sent again with it does nothing more.",
    ),
]

# SQLite reads a CROSS JOIN in the order in which it is written: one search of the index for each key that is asked for.
_FIND: Final = (
    "SELECT organisation, key, route, request_digest, status, answer FROM (VALUES :rows) AS asked"
    " CROSS JOIN api_idempotency_keys WHERE organisation = asked.column1 AND key = asked.column2"
)
_WRITE: Final = (
    "INSERT INTO api_idempotency_keys (organisation, key, route, request_digest, status, answer, created_ns)"
    " VALUES :rows ON CONFLICT DO NOTHING"
)
_FORGET: Final = sa.text(
    "DELETE FROM api_idempotency_keys WHERE (organisation, key) IN (SELECT organisation, key FROM api_idempotency_keys"
    " WHERE created_ns < :before_ns ORDER BY created_ns LIMIT :piece)"
)
_RACES_MAX: Final = 5
_PIECE: Final = 2_000
_PIECES_MAX: Final = 1_000
"""Of one run; the next goes on."""


class KeyReused(ApiError):
    """The key was used for another request."""

    status = 422
    code = "idempotency_key_reused"


class Effects:
    """Runs effects; one per process, over the database in which the effects are."""

    def __init__(self, batches: Batches, now_ns: Callable[[], int]) -> None:
        self._batches = batches
        self._now_ns = now_ns

    async def once(
        self,
        request: Request,
        organisation: str,
        key: str,
        work: Callable[[Session], BaseModel],
        *,
        status: int = 201,
    ) -> Once:
        """Run `work` in a transaction with its key, or find what was answered when it was.

        Args:
            request: Its route and body are what the key stands for.
            organisation: Whose key it is.
            work: Reads and writes the session, gives the answer's body; see `Batches.run`. What it raises leaves
                nothing, the key neither.
            status: Of the answer.

        Raises:
            KeyReused: The key belongs to another request.
        """
        body = await request.body()
        method, path = request.method, request.scope["path"]
        digest = hashlib.sha256(f"{method} {path}\n".encode() + body).hexdigest()
        asked = _Asked(organisation, key, f"{method} {_path(request)}"[:120], digest, status, self._now_ns(), work)
        for _ in range(_RACES_MAX):
            try:
                return await self._batches.run_among(_carry_out, asked)
            except _Raced:
                continue  # What the other process answered is found now.
        raise VenueUnavailable("another process was always faster with this Idempotency-Key", hint="send it again")


class _Raced(Exception):
    """Another process has written one of the keys since they were looked up; nothing was kept."""


class _Asked(msgspec.Struct, frozen=True):
    """One request that wants its effect."""

    organisation: str
    key: str
    route: str
    digest: str
    status: int
    now_ns: int
    work: Callable[[Session], BaseModel]


class _Answered(msgspec.Struct, frozen=True):
    """What a key stands for."""

    route: str
    digest: str
    status: int
    answer: str

    def again(self, asked: _Asked) -> Once:
        if self.digest != asked.digest:
            raise KeyReused(
                f"this Idempotency-Key was used for {self.route} with another body",
                hint="a new effect needs a new key",
            )
        return Once(self.status, self.answer.encode(), True)


def _carry_out(session: Session, asked: list[_Asked]) -> list[Once]:
    """Carry out what has not been, in the order of asking; of two with one key, the second is told of the first."""
    names = sorted({(one.organisation, one.key) for one in asked})
    known = {
        (row.organisation, row.key): _Answered(row.route, row.request_digest, row.status, row.answer)
        for row in run_rows(session, _FIND, names)
    }
    fresh: dict[tuple[str, str], tuple[str | int, ...]] = {}
    told = []
    for one in asked:
        name = (one.organisation, one.key)
        if (answered := known.get(name)) is not None:
            told.append(answered.again(one))
            continue
        answer = one.work(session).model_dump_json()
        session.flush()
        known[name] = _Answered(one.route, one.digest, one.status, answer)
        fresh[name] = (*name, one.route, one.digest, one.status, answer, one.now_ns)
        told.append(Once(one.status, answer.encode(), False))
    # In one order everywhere, so that two processes with the same keys wait for one another, never in a circle.
    if fresh and run_rows(session, _WRITE, [fresh[name] for name in sorted(fresh)]).rowcount != len(fresh):
        raise _Raced
    return told


class Once(msgspec.Struct, frozen=True):
    """What an effect is answered with."""

    status: int
    body: bytes
    is_replayed: bool
    """It was carried out by an earlier request."""

    def response(self) -> Response:
        headers = {"idempotency-replayed": "true"} if self.is_replayed else {}
        return Response(self.body, self.status, headers=headers, media_type="application/json")

    def value(self) -> Any:
        return msgspec.json.decode(self.body)


def forget_keys(database: Database, now_ns: Callable[[], int]) -> int:
    """Forget keys of longer ago than `KEPT_NS`, a piece at a time so that nobody waits; give how many."""
    before_ns, count = now_ns() - KEPT_NS, 0
    for _ in range(_PIECES_MAX):
        with database.transaction() as session:
            gone = session.connection().execute(_FORGET, {"before_ns": before_ns, "piece": _PIECE}).rowcount
        count += gone
        if gone < _PIECE:
            break
    return count


def _path(request: Request) -> str:
    route = request.scope.get("route")
    return str(getattr(route, "path", None) or request.scope["path"])
