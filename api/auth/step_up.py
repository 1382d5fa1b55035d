"""Step-up: a person confirms one request, which is named by its digest; the confirmation is good once, for two minutes.

A challenge is asked for with the digest of method, path?query and body; it is answered with a code or with a passkey
whose WebAuthn challenge is that digest bound to the challenge's own word. What comes back goes into the header
`Step-Up` of exactly that request. The one who confirms is the one who asks: the session's person, or who made the key.
"""

from __future__ import annotations

from typing import Final

import msgspec
from sqlmodel import Session

from api.auth.challenges import Challenges
from api.auth.principal import Principal
from api.core.errors import Forbidden
from runtime.database import Database

LIFETIME_S: Final = 120
_CONFIRMED: Final = "su"


class Confirmed(msgspec.Struct, frozen=True):
    """What a person has confirmed."""

    user: str
    organisation: str
    digest: str
    method: str


class StepUps:
    """Gives out confirmations and takes them back."""

    def __init__(self, database: Database, challenges: Challenges) -> None:
        self._database = database
        self._challenges = challenges

    def confirm(self, session: Session, confirmed: Confirmed) -> str:
        """Write down, in the caller's transaction, that a person has confirmed a request; give the word for it."""
        return self._challenges.issue(session, _CONFIRMED, confirmed, ttl_s=LIFETIME_S, user=confirmed.user)

    async def use(self, word: str, principal: Principal, digest: bytes) -> None:
        """Take the confirmation of a request. Whatever comes of it, the word is gone.

        Raises:
            Forbidden: Code `invalid_step_up`: none, used, over, another person's, or of another request.
        """
        found = await self._database.run(lambda session: self._challenges.take(session, _CONFIRMED, word[:100]))
        if found is None:
            raise _refused("it was used, is over, or never was")
        confirmed = msgspec.convert(found, Confirmed)
        if confirmed.user != principal.user or confirmed.organisation != principal.organisation:
            raise _refused("another person's")
        if confirmed.digest != digest.hex():
            raise _refused("it is for another request")


def _refused(why: str) -> Forbidden:
    return Forbidden(f"this confirmation does not hold: {why}", code="invalid_step_up", hint="confirm the request anew")
