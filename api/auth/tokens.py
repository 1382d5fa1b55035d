"""Access tokens: JWTs of RFC 9068, signed with Ed25519 by keys that rotate and are published as JWKS.

One key signs for a month. A day before that ends, the next one is made and published, and the old one stays published
until the last token it signed is over; so whoever caches the key set for some hours never meets an unknown key.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from sqlmodel import Session, col, select

from api.auth.names import new_id
from api.auth.scopes import Scope, format_scopes
from api.auth.sealing import Seal
from api.auth.settings import ApiSettings
from api.auth.tables import SigningKeyRow
from api.core.errors import Unauthenticated
from runtime.base64url import decode64, encode64
from runtime.database import Database

_DAY_NS: Final = 24 * 3_600 * 10**9
_TOKEN_CHARS_MAX: Final = 4_096
_RELOAD_NS: Final = 10**9
_CHECKED_MAX: Final = 4_096
_TYPE: Final = "at+jwt"
_ALGORITHM: Final = "EdDSA"


class Claims(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an access token says."""

    iss: str
    aud: str
    sub: str
    """`user:usr_…` or `client:app_…`."""
    org: str
    scope: str
    iat: int
    exp: int
    jti: str
    client_id: str = ""
    sid: str = ""
    """The session; empty for a client that acts for itself."""
    amr: list[str] = []

    @property
    def holder(self) -> str:
        """Who was given it: `session:ses_…`, or the client that acts for itself."""
        return f"session:{self.sid}" if self.sid else self.sub


@dataclass(frozen=True, slots=True)
class _Keys:
    """The published keys as of one moment."""

    signer: str
    private: Ed25519PrivateKey
    public: dict[str, Ed25519PublicKey]
    next_look_ns: int
    """When there may be something to rotate."""


class Tokens:
    """Issues and checks access tokens."""

    def __init__(self, database: Database, now_ns: Callable[[], int], seal: Seal, settings: ApiSettings) -> None:
        self._database = database
        self._now_ns = now_ns
        self._seal = seal
        self._settings = settings
        self._keys: _Keys | None = None
        self._read_ns = 0
        # A token is sent with every request of its ten minutes; its signature (0.2 ms) is checked with the first.
        self._checked: OrderedDict[str, Claims] = OrderedDict()

    @property
    def lifetime_s(self) -> int:
        return self._settings.access_minutes * 60

    async def issue(
        self,
        *,
        subject: str,
        organisation: str,
        scopes: frozenset[Scope],
        session: str = "",
        client: str = "",
        methods: str = "",
    ) -> str:
        """Make a token that is good from now on."""
        keys = await self._current()
        now_s = self._now_ns() // 10**9
        claims = Claims(
            iss=self._settings.url,
            aud=self._settings.url,
            sub=subject,
            org=organisation,
            scope=format_scopes(scopes),
            iat=now_s,
            exp=now_s + self.lifetime_s,
            jti=new_id("jwt"),
            client_id=client,
            sid=session,
            amr=methods.split(),
        )
        return jwt.encode(
            msgspec.to_builtins(claims), keys.private, _ALGORITHM, headers={"typ": _TYPE, "kid": keys.signer}
        )

    async def check(self, token: str) -> Claims:
        """Read a token of ours.

        Raises:
            Unauthenticated: It is not, or it is over.
        """
        await self._current()  # Where the keys are read anew, nothing that was checked before counts.
        claims = self._checked.get(token)
        if claims is None:
            claims = await self._verify(token)
            self._checked[token] = claims
            if len(self._checked) > _CHECKED_MAX:
                self._checked.popitem(last=False)
        now_s = self._now_ns() // 10**9
        if claims.exp <= now_s:
            raise Unauthenticated(
                "the access token is over", code="expired_token", hint="refresh it", claimed=claims.holder
            )
        if claims.iat > now_s + 60:
            raise _bad("it is from the future")
        return claims

    async def _verify(self, token: str) -> Claims:
        if len(token) > _TOKEN_CHARS_MAX:
            raise _bad("too long")
        try:
            header = jwt.get_unverified_header(token)
            if header.get("typ") != _TYPE or header.get("alg") != _ALGORITHM or "crit" in header:
                raise _bad("another kind of token")
            key = await self._public(str(header.get("kid", "")))
            # Times are checked below, by our own clock.
            read = jwt.decode(
                token,
                key,
                algorithms=[_ALGORITHM],
                audience=self._settings.url,
                issuer=self._settings.url,
                options={"verify_exp": False, "verify_iat": False, "verify_nbf": False},
            )
            return msgspec.convert(read, Claims)
        except (jwt.PyJWTError, msgspec.ValidationError, ValueError) as exc:
            raise _bad("it does not verify") from exc

    def forget_keys(self) -> None:
        """Read the keys anew: somebody has changed them otherwise than in time."""
        self._keys = None

    async def key_set(self) -> dict[str, Any]:
        """The JWKS (RFC 7517, RFC 8037)."""
        keys = await self._current()
        return {
            "keys": [
                {
                    "kty": "OKP", "crv": "Ed25519", "alg": _ALGORITHM, "use": "sig", "kid": kid,
                    "x": encode64(key.public_bytes_raw()),
                }
                for kid, key in sorted(keys.public.items())
            ]
        }  # fmt: skip

    async def _public(self, kid: str) -> Ed25519PublicKey:
        keys = await self._current()
        if kid not in keys.public and self._now_ns() - self._read_ns >= _RELOAD_NS:
            # Another process has rotated. Looked up once a second at the most, whatever is asked for.
            self._keys = None
            keys = await self._current()
        if kid not in keys.public:
            raise _bad("signed by a key that is not ours")
        return keys.public[kid]

    async def _current(self) -> _Keys:
        now = self._now_ns()
        if self._keys is None or now >= self._keys.next_look_ns:
            self._keys = await self._database.run(self._rotate)
            self._checked.clear()
            self._read_ns = now
        return self._keys

    def _rotate(self, session: Session) -> _Keys:
        """Read the published keys; make those that are due."""
        self._database.serialize(session, "signing-keys")
        now = self._now_ns()
        period_ns = self._settings.signing_key_days * _DAY_NS
        rows = list(
            session.exec(
                select(SigningKeyRow)
                .where(col(SigningKeyRow.published_until_ns) > now)
                .order_by(col(SigningKeyRow.signs_until_ns))
            )
        )
        signing = [row for row in rows if row.signs_until_ns > now]
        if not signing:
            signing = [self._make(session, now, now + period_ns)]
            rows += signing
        if len(signing) == 1 and signing[0].signs_until_ns - now <= _DAY_NS:
            rows.append(self._make(session, now, signing[0].signs_until_ns + period_ns))
        signer = signing[0]
        return _Keys(
            signer.id,
            Ed25519PrivateKey.from_private_bytes(self._seal.open(signer.private, f"signing-key/{signer.id}")),
            {row.id: Ed25519PublicKey.from_public_bytes(decode64(row.public)) for row in rows},
            min(
                signer.signs_until_ns,
                max(signer.signs_until_ns - _DAY_NS, now + _DAY_NS // 24),
                *(row.published_until_ns for row in rows),
            ),
        )

    def _make(self, session: Session, now: int, signs_until_ns: int) -> SigningKeyRow:
        key, kid = Ed25519PrivateKey.generate(), new_id("sig")
        row = SigningKeyRow(
            id=kid,
            public=encode64(key.public_key().public_bytes_raw()),
            private=self._seal.seal(key.private_bytes_raw(), f"signing-key/{kid}"),
            created_ns=now,
            signs_until_ns=signs_until_ns,
            published_until_ns=signs_until_ns + (self.lifetime_s + 3_600) * 10**9,
        )
        session.add(row)
        return row


def _bad(why: str) -> Unauthenticated:
    return Unauthenticated(f"this is no access token of ours: {why}", code="invalid_token")
