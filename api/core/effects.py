"""Effects that happen once: a request that is sent again with its `Idempotency-Key` is answered as it was.

The key is written in the same transaction as the effect, so there is no moment at which one is there without the other:
a crash, a timeout or a 5xx leaves either both or neither, and the same request may always be sent again. Two at once
wait for one another in the database. What must happen outside of it (an order that goes to the engine) is a row of this
transaction that is carried out afterwards, under an id of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Annotated, Any, Final

import msgspec
from fastapi import Header, Request
from fastapi.responses import Response
from pydantic import BaseModel
from sqlmodel import Session

from api.core.errors import ApiError
from runtime.batches import Batches
from runtime.database import run_plain

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

_FIND: Final = (
    "SELECT route, request_digest, status, answer FROM api_idempotency_keys"
    " WHERE organisation = :organisation AND key = :key"
)
_WRITE: Final = (
    "INSERT INTO api_idempotency_keys (organisation, key, route, request_digest, status, answer, created_ns)"
    " VALUES (:organisation, :key, :route, :digest, :status, :answer, :now)"
)


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
        route = f"{request.method} {_path(request)}"[:120]
        digest = hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).hexdigest()
        now = self._now_ns()

        def carry_out(session: Session) -> Once:
            found = run_plain(session, _FIND, {"organisation": organisation, "key": key}).one_or_none()
            if found is not None:
                if found.request_digest != digest:
                    raise KeyReused(
                        f"this Idempotency-Key was used for {found.route} with another body",
                        hint="a new effect needs a new key",
                    )
                return Once(found.status, found.answer.encode(), True)
            answer = work(session).model_dump_json()
            session.flush()
            run_plain(
                session,
                _WRITE,
                {
                    "organisation": organisation, "key": key, "route": route, "digest": digest,
                    "status": status, "answer": answer, "now": now,
                },
            )  # fmt: skip
            return Once(status, answer.encode(), False)

        return await self._batches.run(carry_out)


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


def _path(request: Request) -> str:
    route = request.scope.get("route")
    return str(getattr(route, "path", request.url.path))
