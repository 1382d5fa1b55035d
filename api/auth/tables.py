"""The tables of organisations, people and keys. Lists are JSON text; secrets are sealed, or only their hash is kept."""

from __future__ import annotations

import sqlalchemy as sa
from sqlmodel import Field, SQLModel

_ID = 40


class OrganisationRow(SQLModel, table=True):
    """A tenant. Everything that belongs to one names it, and nothing is read without naming it."""

    __tablename__ = "api_organisations"

    id: str = Field(primary_key=True, max_length=_ID)
    slug: str = Field(max_length=40, unique=True)
    name: str = Field(max_length=120)
    branding: str = Field(default="{}", sa_type=sa.Text)
    fees: str = Field(default="{}", sa_type=sa.Text)
    networks: str = Field(default="[]", sa_type=sa.Text)
    """Where its people and keys may come from; an empty list is anywhere."""
    rate_limit: int
    """Weight a minute of each of its callers."""
    created_ns: int = Field(sa_type=sa.BigInteger)
    closed_ns: int | None = Field(default=None, sa_type=sa.BigInteger)


class UserRow(SQLModel, table=True):
    """A person, whatever organisations it is a member of."""

    __tablename__ = "api_users"

    id: str = Field(primary_key=True, max_length=_ID)
    email: str = Field(max_length=254, unique=True)
    """In lower case."""
    name: str = Field(max_length=120)
    password: str | None = Field(default=None, max_length=255)
    """argon2id; None until the invitation was accepted."""
    failures: int = 0
    """Wrong codes in a row; wrong passwords are counted among the rates."""
    locked_until_ns: int = Field(default=0, sa_type=sa.BigInteger)
    created_ns: int = Field(sa_type=sa.BigInteger)
    disabled_ns: int | None = Field(default=None, sa_type=sa.BigInteger)


class MembershipRow(SQLModel, table=True):
    """What a person is in an organisation."""

    __tablename__ = "api_memberships"

    organisation: str = Field(primary_key=True, max_length=_ID, foreign_key="api_organisations.id")
    user: str = Field(primary_key=True, max_length=_ID, foreign_key="api_users.id", index=True)
    roles: str = Field(max_length=120)
    """Words between spaces."""
    portfolios: str | None = Field(default=None, sa_type=sa.Text)
    """JSON list; None is all of them."""
    created_ns: int = Field(sa_type=sa.BigInteger)


class InvitationRow(SQLModel, table=True):
    """A single-use word by which a person becomes a member."""

    __tablename__ = "api_invitations"

    digest: str = Field(primary_key=True, max_length=64)
    organisation: str = Field(max_length=_ID, foreign_key="api_organisations.id", index=True)
    email: str = Field(max_length=254)
    name: str = Field(max_length=120)
    roles: str = Field(max_length=120)
    portfolios: str | None = Field(default=None, sa_type=sa.Text)
    invited_by: str = Field(max_length=80)
    """`user:usr_…`: the person who confirmed it, and must still have the right to when it is accepted."""
    expires_ns: int = Field(sa_type=sa.BigInteger)


class ApiKeyRow(SQLModel, table=True):
    """What a machine signs its requests with. It can do no more than the person who made it."""

    __tablename__ = "api_keys"

    id: str = Field(primary_key=True, max_length=_ID)
    organisation: str = Field(max_length=_ID, foreign_key="api_organisations.id", index=True)
    user: str = Field(max_length=_ID, foreign_key="api_users.id")
    name: str = Field(max_length=80)
    algorithm: str = Field(max_length=16)
    material: str = Field(max_length=255)
    """Ed25519: the public key in base64url. HMAC: the secret, sealed."""
    scopes: str = Field(sa_type=sa.Text)
    portfolios: str | None = Field(default=None, sa_type=sa.Text)
    networks: str = Field(default="[]", sa_type=sa.Text)
    created_ns: int = Field(sa_type=sa.BigInteger)
    expires_ns: int | None = Field(default=None, sa_type=sa.BigInteger)
    revoked_ns: int | None = Field(default=None, sa_type=sa.BigInteger)
    used_ns: int | None = Field(default=None, sa_type=sa.BigInteger)
    """The last use, to the minute."""


class SigningKeyRow(SQLModel, table=True):
    """An Ed25519 key that signs access tokens; published while a token of it may be good."""

    __tablename__ = "api_signing_keys"

    id: str = Field(primary_key=True, max_length=_ID)
    public: str = Field(max_length=64)
    private: str = Field(max_length=255)
    """Sealed."""
    created_ns: int = Field(sa_type=sa.BigInteger)
    signs_until_ns: int = Field(sa_type=sa.BigInteger)
    published_until_ns: int = Field(sa_type=sa.BigInteger)


class SessionRow(SQLModel, table=True):
    """A login: a family of refresh tokens, of which only the newest is good."""

    __tablename__ = "api_sessions"

    id: str = Field(primary_key=True, max_length=_ID)
    organisation: str = Field(max_length=_ID, foreign_key="api_organisations.id")
    user: str = Field(max_length=_ID, foreign_key="api_users.id", index=True)
    client: str | None = Field(default=None, max_length=_ID)
    """The OAuth client that acts for the person; None is the person itself."""
    scopes: str = Field(sa_type=sa.Text)
    methods: str = Field(max_length=80)
    """How the person proved who it is, as RFC 8176 words between spaces: `pwd otp`, `hwk user`."""
    counter: int
    """Of the newest refresh token."""
    address: str = Field(max_length=45)
    agent: str = Field(max_length=200)
    created_ns: int = Field(sa_type=sa.BigInteger)
    refreshed_ns: int = Field(sa_type=sa.BigInteger)
    expires_ns: int = Field(sa_type=sa.BigInteger)
    revoked_ns: int | None = Field(default=None, sa_type=sa.BigInteger)
    revoked_why: str = Field(default="", max_length=40)


class PasskeyRow(SQLModel, table=True):
    """A WebAuthn credential of a person."""

    __tablename__ = "api_passkeys"

    id: str = Field(primary_key=True, max_length=1400)
    """The credential's id, base64url."""
    user: str = Field(max_length=_ID, foreign_key="api_users.id", index=True)
    name: str = Field(max_length=80)
    public: str = Field(sa_type=sa.Text)
    """COSE key, base64url."""
    counter: int = Field(sa_type=sa.BigInteger)
    created_ns: int = Field(sa_type=sa.BigInteger)
    used_ns: int | None = Field(default=None, sa_type=sa.BigInteger)


class TotpRow(SQLModel, table=True):
    """A person's seed for codes."""

    __tablename__ = "api_totp"

    user: str = Field(primary_key=True, max_length=_ID, foreign_key="api_users.id")
    seed: str = Field(max_length=255)
    """Sealed."""
    last_step: int = Field(sa_type=sa.BigInteger)
    """No code of this half minute or an earlier one is good."""
    created_ns: int = Field(sa_type=sa.BigInteger)
    confirmed_ns: int | None = Field(default=None, sa_type=sa.BigInteger)
    """None: shown, not yet proved."""


class RecoveryCodeRow(SQLModel, table=True):
    """A single-use code for who has lost the phone."""

    __tablename__ = "api_recovery_codes"

    user: str = Field(primary_key=True, max_length=_ID, foreign_key="api_users.id")
    digest: str = Field(primary_key=True, max_length=64)


class WalletRow(SQLModel, table=True):
    """An account on a chain whose holder may sign in as a person. It gives no right over funds."""

    __tablename__ = "api_wallets"

    address: str = Field(primary_key=True, max_length=42)
    """In EIP-55 form."""
    user: str = Field(max_length=_ID, foreign_key="api_users.id", index=True)
    chain_id: int = Field(sa_type=sa.BigInteger)
    created_ns: int = Field(sa_type=sa.BigInteger)


class ChallengeRow(SQLModel, table=True):
    """Something that is good once and soon over: challenges, nonces, tickets, confirmations. Using it deletes it."""

    __tablename__ = "api_challenges"

    digest: str = Field(primary_key=True, max_length=64)
    """Of its kind and the word its holder shows."""
    user: str | None = Field(default=None, max_length=_ID)
    content: str = Field(sa_type=sa.Text)
    expires_ns: int = Field(sa_type=sa.BigInteger, index=True)


class OAuthClientRow(SQLModel, table=True):
    """A program that acts for people who let it, or for itself."""

    __tablename__ = "api_oauth_clients"

    id: str = Field(primary_key=True, max_length=_ID)
    organisation: str = Field(max_length=_ID, foreign_key="api_organisations.id", index=True)
    user: str = Field(max_length=_ID, foreign_key="api_users.id")
    name: str = Field(max_length=80)
    secret: str | None = Field(default=None, max_length=64)
    """Its hash; None for a public client, which proves itself by PKCE alone."""
    redirects: str = Field(sa_type=sa.Text)
    scopes: str = Field(sa_type=sa.Text)
    portfolios: str | None = Field(default=None, sa_type=sa.Text)
    acts_alone: bool
    """Whether it may ask for tokens of its own (client credentials)."""
    created_ns: int = Field(sa_type=sa.BigInteger)
    revoked_ns: int | None = Field(default=None, sa_type=sa.BigInteger)


class OAuthCodeRow(SQLModel, table=True):
    """An authorization code. It stays after its use, so that a second use ends what the first one began."""

    __tablename__ = "api_oauth_codes"

    digest: str = Field(primary_key=True, max_length=64)
    client: str = Field(max_length=_ID, foreign_key="api_oauth_clients.id")
    user: str = Field(max_length=_ID, foreign_key="api_users.id")
    redirect: str = Field(sa_type=sa.Text)
    scopes: str = Field(sa_type=sa.Text)
    methods: str = Field(max_length=80)
    challenge: str = Field(max_length=43)
    """PKCE, S256."""
    session: str | None = Field(default=None, max_length=_ID)
    """What it was used for."""
    expires_ns: int = Field(sa_type=sa.BigInteger, index=True)
