"""OAuth 2.1's server half: clients, authorization codes with PKCE, and what a redirect may be.

A client belongs to an organisation and acts for its members, or for itself (client credentials). It never gets more
scopes than it was made with, nor than the person has who stands behind it. RFC 6749, 7636, 8252, 9207, 9700.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
import structlog
from sqlalchemy import delete, update
from sqlmodel import Session, col

from api.auth.names import digest_of, new_id, new_token
from api.auth.portfolio_limits import Limit, write_limit
from api.auth.scopes import Scope, format_scopes, parse_scopes
from api.auth.sessions import Login, Sessions
from api.auth.tables import OAuthClientRow, OAuthCodeRow, SessionRow
from domain import InputError
from runtime.base64url import encode64

log = structlog.get_logger(__name__)

CODE_S: Final = 60
_DAY_NS: Final = 24 * 3_600 * 10**9
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_PRIVATE_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
_LOOPBACK: Final = ("127.0.0.1", "::1")


class OAuthError(Exception):
    """An answer of RFC 6749, §5.2 or §4.1.2.1: `error` is one of its words."""

    def __init__(self, error: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.description = description
        self.status = status


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client to be made."""

    name: str
    redirects: Sequence[str]
    scopes: frozenset[Scope]
    portfolios: Limit = None
    is_confidential: bool = True
    acts_alone: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """What a person lets a client do, and where the answer goes."""

    client: str
    user: str
    redirect: str
    scopes: frozenset[Scope]
    methods: str
    challenge: str


def make_client(
    session: Session, new: NewClient, *, organisation: str, user: str, now_ns: int
) -> tuple[OAuthClientRow, str | None]:
    """Store a client; give it with its secret, which is nowhere else.

    Raises:
        InputError: A redirect that is none, or a public client that would act for itself.
    """
    for redirect in new.redirects:
        check_redirect(redirect)
    if new.acts_alone and not new.is_confidential:
        raise InputError("a client without a secret cannot act for itself")
    if not new.acts_alone and not new.redirects:
        raise InputError("a client that acts for people needs a redirect")
    secret = new_token("cs") if new.is_confidential else None
    row = OAuthClientRow(
        id=new_id("app"),
        organisation=organisation,
        user=user,
        name=new.name,
        secret=None if secret is None else digest_of(secret),
        redirects=msgspec.json.encode(list(new.redirects)).decode(),
        scopes=format_scopes(new.scopes),
        portfolios=write_limit(new.portfolios),
        acts_alone=new.acts_alone,
        created_ns=now_ns,
    )
    session.add(row)
    return row, secret


def stop_acting_alone(session: Session, *, organisation: str, user: str) -> None:
    """Let no client that a person has made in an organisation act for itself any more; for people they go on."""
    session.execute(
        update(OAuthClientRow)
        .where(col(OAuthClientRow.organisation) == organisation, col(OAuthClientRow.user) == user)
        .values(acts_alone=False)
    )


def check_redirect(uri: str) -> None:
    """Refuse a redirect that anybody could listen at.

    Raises:
        InputError: Not https, not a loopback address, not an app's own scheme; or with a fragment.
    """
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
    except ValueError as exc:
        raise InputError(f"not a URI: {uri[:100]!r}") from exc
    is_web = parts.scheme == "https" and bool(host)
    is_local = parts.scheme == "http" and host in (*_LOOPBACK, "localhost")
    is_app = bool(_PRIVATE_SCHEME.fullmatch(parts.scheme)) and not parts.netloc
    is_clean = uri.isascii() and uri.isprintable() and not set(uri) & set(" \"'<>\\#;,")
    if not (is_web or is_local or is_app) or not is_clean or parts.username is not None or len(uri) > 500:
        raise InputError(
            f"not a redirect: {uri[:100]!r}", hint="https://…, http://127.0.0.1…, or an app's own com.example.app:/…"
        )


def is_registered(uri: str, registered: Sequence[str]) -> bool:
    """Whether a redirect is one of a client's, to the letter; of a loopback address the port is free (RFC 8252)."""
    if uri in registered:
        return True
    try:
        check_redirect(uri)
        parts = urlsplit(uri)
        if parts.scheme != "http" or parts.hostname not in _LOOPBACK:
            return False
        return any(_without_port(uri) == _without_port(known) for known in registered)
    except (InputError, ValueError):
        return False


def with_parameters(uri: str, **parameters: str) -> str:
    """Add parameters to a redirect's query."""
    return uri + ("&" if urlsplit(uri).query else "?") + urlencode(parameters)


def challenge_of(verifier: str) -> str:
    """PKCE's S256."""
    return encode64(hashlib.sha256(verifier.encode()).digest())


def is_challenge(text: str) -> bool:
    return bool(_CHALLENGE.fullmatch(text))


def check_secret(row: OAuthClientRow | None, secret: str | None) -> OAuthClientRow:
    """Let a client prove itself: one with a secret by it, a public one by nothing (PKCE comes later).

    Raises:
        OAuthError: `invalid_client`.
    """
    if row is None or row.revoked_ns is not None or (row.secret is None) != (secret is None):
        raise OAuthError("invalid_client", "no such client, or not its secret", status=401)
    if row.secret is not None and not hmac.compare_digest(row.secret, digest_of(secret or "")):
        raise OAuthError("invalid_client", "no such client, or not its secret", status=401)
    return row


class Codes:
    """Gives authorization codes out and turns them into sessions; works in its callers' transactions."""

    def __init__(self, sessions: Sessions, now_ns: Callable[[], int]) -> None:
        self._sessions = sessions
        self._now_ns = now_ns

    def issue(self, session: Session, grant: Grant) -> str:
        """Write down what a person has allowed; give the code for it."""
        code, now = new_token("ac"), self._now_ns()
        # Codes that were over a day ago are of no use to whoever copied one: nothing is left to be ended by them.
        session.execute(delete(OAuthCodeRow).where(col(OAuthCodeRow.expires_ns) < now - _DAY_NS))
        session.add(
            OAuthCodeRow(
                digest=digest_of(code),
                client=grant.client,
                user=grant.user,
                redirect=grant.redirect,
                scopes=format_scopes(grant.scopes),
                methods=grant.methods,
                challenge=grant.challenge,
                expires_ns=now + CODE_S * 10**9,
            )
        )
        return code

    def redeem(
        self, session: Session, client: OAuthClientRow, *, code: str, redirect: str, verifier: str, address: str
    ) -> tuple[SessionRow, str] | OAuthError:
        """Turn a code into a session. Errors are given back, not raised: what a second use ends must be committed."""
        row = session.get(OAuthCodeRow, digest_of(code), with_for_update=True)
        if row is None or row.client != client.id:
            return OAuthError("invalid_grant", "no such code")
        if row.session is not None:
            log.warning("auth.code_reused", client=client.id, user=row.user, session=row.session)
            self._sessions.end_copied(session, row.session, "reused code")
            return OAuthError("invalid_grant", "this code was used before; what it began has ended")
        if row.expires_ns <= self._now_ns():
            return OAuthError("invalid_grant", "this code is over")
        if row.redirect != redirect:
            return OAuthError("invalid_grant", "this code went to another redirect")
        if not _VERIFIER.fullmatch(verifier) or not hmac.compare_digest(challenge_of(verifier), row.challenge):
            return OAuthError("invalid_grant", "not the verifier of this code's challenge")
        login = Login(
            row.user, client.organisation, parse_scopes(row.scopes), row.methods, address, client.name, client.id
        )
        made, token = self._sessions.start(session, login)
        row.session = made.id
        return made, token


def _without_port(uri: str) -> tuple[str, str | None, str, str]:
    parts = urlsplit(uri)
    return parts.scheme, parts.hostname, parts.path, parts.query
