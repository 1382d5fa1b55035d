"""Pages of long lists: stable order, opaque cursors that nobody can make up.

A cursor is where the last page ended, sealed with the server's key together with the list it belongs to (route,
filters, organisation): one that was edited, or belongs elsewhere, is refused.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Any, Final, Generic, TypeVar

import msgspec
from fastapi import Query
from pydantic import BaseModel, Field
from sqlmodel import col, select

from api.core.errors import BadRequest
from api.core.keys import ServerKey
from domain import InputError
from runtime.base64url import decode64, encode64

T = TypeVar("T")

PAGE_MAX: Final = 500
_MAC_BYTES: Final = 16
_CURSOR_MAX: Final = 512

Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="At most so many entries.")]
CursorText = Annotated[
    str | None, Query(max_length=_CURSOR_MAX, description="`next` of the page before; the filters stay the same.")
]


class Page(BaseModel, Generic[T]):
    """One page of a list."""

    data: list[T]
    next: str | None = Field(default=None, description="Cursor of the next page; null on the last one.")


class Cursors:
    """Seals and opens cursors."""

    def __init__(self, key: ServerKey) -> None:
        self._key = key.derive("cursors")

    def seal(self, scope: str, position: Any) -> str:
        """`scope` names the list with its filters and its owner; `position` is plain data."""
        body = msgspec.json.encode(position)
        return encode64(self._mac(scope, body) + body)

    def open(self, scope: str, cursor: str | None, kind: type[T]) -> T | None:
        """Give the position; None without a cursor.

        Raises:
            BadRequest: It is not one of ours, or of another list.
        """
        if cursor is None:
            return None
        try:
            raw = decode64(cursor)
            mac, body = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
            if not hmac.compare_digest(mac, self._mac(scope, body)):
                raise ValueError("not ours")
            return msgspec.json.decode(body, type=kind)
        except (InputError, ValueError) as exc:  # msgspec's errors are ValueErrors.
            raise BadRequest(
                "this cursor does not belong to this list", hint="begin again without one", code="invalid_cursor"
            ) from exc

    def page(self, scope: str, rows: list[T], limit: int, position: Any) -> tuple[list[T], str | None]:
        """Of `limit + 1` fetched rows, give those of the page, and the cursor of the next one where there is more.

        `position` takes the last row of the page to where the next one begins.
        """
        if len(rows) <= limit:
            return rows, None
        return rows[:limit], self.seal(scope, position(rows[limit - 1]))

    def numbered(self, scope: str, rows: list[tuple[int, T]], limit: int) -> Page[T]:
        """The page of `limit + 1` fetched rows that have numbers, by which the next one begins."""
        rows, following = self.page(scope, rows, limit, lambda row: row[0])
        return Page(data=[shown for _, shown in rows], next=following)

    def _mac(self, scope: str, body: bytes) -> bytes:
        return hmac.digest(self._key, scope.encode() + b"\0" + body, hashlib.sha256)[:_MAC_BYTES]


def newest_of(row: Any, organisation: str, *, state: str | None, before: int | None, limit: int) -> Any:
    """Select the newest rows of an organisation's, before a number; `row` has `number`, `organisation` and `state`."""
    query = select(row).where(row.organisation == organisation).order_by(col(row.number).desc()).limit(limit)
    query = query if state is None else query.where(row.state == state)
    return query if before is None else query.where(col(row.number) < before)
