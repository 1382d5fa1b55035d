"""API keys: made for a person's programs, with no more than the person may do."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec
from sqlalchemy import update
from sqlmodel import Session, col

from api.auth.names import new_id
from api.auth.networks import parse_networks
from api.auth.portfolio_limits import Limit, write_limit
from api.auth.scopes import Scope, format_scopes
from api.auth.sealing import Seal
from api.auth.signing import Algorithm, read_public_key
from api.auth.tables import ApiKeyRow
from domain import InputError, VenueUnavailable
from runtime.base64url import encode64
from runtime.batches import Batches

_MINUTE_MS: Final = 60_000
_WATCHED_MAX: Final = 20_000


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key to be made."""

    name: str
    algorithm: Algorithm
    scopes: frozenset[Scope]
    portfolios: Limit = None
    networks: Sequence[str] = ()
    expires_ns: int | None = None
    public_key: str | None = None
    """Ed25519: the customer's. HMAC has none: the secret is made here and shown once."""


def make_key(
    session: Session, new: NewKey, *, organisation: str, user: str, seal: Seal, now_ns: int
) -> tuple[ApiKeyRow, str | None]:
    """Store a key; give it with the HMAC secret (base64url), which is nowhere else.

    Raises:
        InputError: A public key that is missing, superfluous or bad, or networks that are none.
    """
    name, secret = new_id("key"), None
    if new.algorithm is Algorithm.ED25519:
        if new.public_key is None:
            raise InputError("an Ed25519 key needs its public_key", hint="the private key stays with you")
        material = encode64(read_public_key(new.public_key))
    else:
        if new.public_key is not None:
            raise InputError("an HMAC key has no public_key")
        raw = secrets.token_bytes(32)
        secret, material = encode64(raw), seal.seal(raw, f"api-key/{name}")
    networks = [str(network) for network in parse_networks(new.networks)]
    row = ApiKeyRow(
        id=name,
        organisation=organisation,
        user=user,
        name=new.name,
        algorithm=new.algorithm,
        material=material,
        scopes=format_scopes(new.scopes),
        portfolios=write_limit(new.portfolios),
        networks=msgspec.json.encode(networks).decode(),
        created_ns=now_ns,
        expires_ns=new.expires_ns,
    )
    session.add(row)
    return row, secret


def revoke_keys(session: Session, *, organisation: str, user: str, now_ns: int) -> None:
    """End every key that a person has made in an organisation."""
    session.execute(
        update(ApiKeyRow)
        .where(
            col(ApiKeyRow.organisation) == organisation,
            col(ApiKeyRow.user) == user,
            col(ApiKeyRow.revoked_ns).is_(None),
        )
        .values(revoked_ns=now_ns)
    )


class LastUses:
    """Writes down when a key was last used, a minute apart at the least: nobody waits for it."""

    def __init__(self, batches: Batches) -> None:
        self._batches = batches
        self._written_ms: dict[str, int] = {}

    def __call__(self, key: str, now_ms: int) -> None:
        """Note a use."""
        if now_ms - self._written_ms.get(key, 0) < _MINUTE_MS:
            return
        if len(self._written_ms) >= _WATCHED_MAX:
            self._written_ms.clear()
        self._written_ms[key] = now_ms

        def write(session: Session) -> None:
            session.execute(update(ApiKeyRow).where(col(ApiKeyRow.id) == key).values(used_ns=now_ms * 1_000_000))

        with suppress(VenueUnavailable):  # The queue is full; the next minute is as good.
            self._batches.submit(write)
