"""What is good once and soon over: challenges, sign-in nonces, tickets, confirmations.

Its holder shows a word of 256 bits; the row keeps its hash. Using it deletes it, so of two at once one finds nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import msgspec
from sqlalchemy import delete
from sqlmodel import Session, col

from api.auth.names import new_token
from api.auth.tables import ChallengeRow

_SECOND_NS: Final = 10**9


class Challenges:
    """Works in its callers' transactions."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns

    def issue(
        self, session: Session, kind: str, content: Any, *, ttl_s: int, user: str | None = None, word: str = ""
    ) -> str:
        """Store plain data until somebody shows the word that is given back."""
        now = self._now_ns()
        word = word or new_token(kind)
        session.execute(delete(ChallengeRow).where(col(ChallengeRow.expires_ns) < now))
        session.add(
            ChallengeRow(
                digest=_digest(kind, word),
                user=user,
                content=msgspec.json.encode(content).decode(),
                expires_ns=now + ttl_s * _SECOND_NS,
            )
        )
        return word

    def take(self, session: Session, kind: str, word: str) -> Any:
        """Give what was stored, and forget it; None if there is nothing (any more)."""
        row = session.get(ChallengeRow, _digest(kind, word))
        if row is None:
            return None
        gone: Any = session.execute(delete(ChallengeRow).where(col(ChallengeRow.digest) == row.digest))
        if gone.rowcount != 1 or row.expires_ns < self._now_ns():
            return None
        return msgspec.json.decode(row.content)

    def forget(self, session: Session, user: str) -> None:
        """Drop everything that was issued for a person."""
        session.execute(delete(ChallengeRow).where(col(ChallengeRow.user) == user))


def _digest(kind: str, word: str) -> str:
    return hashlib.sha256(f"{kind}\n{word}".encode()).hexdigest()
