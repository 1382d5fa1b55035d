"""What is good once and soon over: challenges, sign-in nonces, tickets, confirmations.

Its holder shows a word of 256 bits; the row keeps its hash. Using it deletes it, so of two at once one finds nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import delete
from sqlmodel import Session, col

from api.auth.names import new_token
from api.auth.tables import ChallengeRow
from runtime.database import run_rows

_SECOND_NS: Final = 10**9
_STORE: Final = 'INSERT INTO api_challenges (digest, "user", content, expires_ns) VALUES :rows'
_TAKE: Final = "DELETE FROM api_challenges WHERE digest IN (VALUES :rows) RETURNING digest, content, expires_ns"


class Challenges:
    """Works in its callers' transactions."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns

    def issue(
        self, session: Session, kind: str, content: Any, *, ttl_s: int, user: str | None = None, word: str = ""
    ) -> str:
        """Store plain data until somebody shows the word that is given back."""
        (word,) = self._store(session, kind, [(word or new_token(kind), content, user)], ttl_s)
        return word

    def issue_among(
        self, session: Session, kind: str, asked: Sequence[tuple[Any, str | None]], *, ttl_s: int
    ) -> list[str]:
        """Store several at once, each plain data and the person it is of; give each one's word."""
        return self._store(session, kind, [(new_token(kind), content, user) for content, user in asked], ttl_s)

    def take(self, session: Session, kind: str, word: str) -> Any:
        """Give what was stored, and forget it; None if there is nothing (any more)."""
        return self.take_among(session, kind, [word])[0]

    def take_among(self, session: Session, kind: str, words: Sequence[str]) -> list[Any]:
        """Take several at once; of two with the same word the second finds nothing."""
        digests = [_digest(kind, word) for word in words]
        gone = run_rows(session, _TAKE, [(digest,) for digest in sorted(set(digests))])
        now = self._now_ns()
        found = {row.digest: row.content for row in gone if row.expires_ns >= now}
        contents = [found.pop(digest, None) for digest in digests]
        return [None if content is None else msgspec.json.decode(content) for content in contents]

    def _store(self, session: Session, kind: str, made: Sequence[tuple[str, Any, str | None]], ttl_s: int) -> list[str]:
        now = self._now_ns()
        session.execute(delete(ChallengeRow).where(col(ChallengeRow.expires_ns) < now))
        rows = [
            (_digest(kind, word), user, msgspec.json.encode(content).decode(), now + ttl_s * _SECOND_NS)
            for word, content, user in made
        ]
        run_rows(session, _STORE, rows)
        return [word for word, _, _ in made]

    def forget(self, session: Session, user: str) -> None:
        """Drop everything that was issued for a person."""
        session.execute(delete(ChallengeRow).where(col(ChallengeRow.user) == user))


def _digest(kind: str, word: str) -> str:
    return hashlib.sha256(f"{kind}\n{word}".encode()).hexdigest()
