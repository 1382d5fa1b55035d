"""Organisations, people, keys, sessions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _id(name: str, to: str = "", *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(40), *([sa.ForeignKey(to)] if to else []), nullable=nullable)


def _text(name: str, length: int = 0, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(length) if length else sa.Text(), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "api_organisations",
        _id("id"), _text("slug", 40), _text("name", 120), _text("branding"), _text("fees"), _text("networks"),
        sa.Column("rate_limit", sa.Integer(), nullable=False),
        _time("created_ns"), _time("closed_ns", nullable=True),
        sa.PrimaryKeyConstraint("id"), sa.UniqueConstraint("slug"),
    )  # fmt: skip
    op.create_table(
        "api_users",
        _id("id"), _text("email", 254), _text("name", 120), _text("password", 255, nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False), _time("locked_until_ns"), _time("created_ns"),
        _time("disabled_ns", nullable=True),
        sa.PrimaryKeyConstraint("id"), sa.UniqueConstraint("email"),
    )  # fmt: skip
    op.create_table(
        "api_memberships",
        _id("organisation", "api_organisations.id"), _id("user", "api_users.id"), _text("roles", 120),
        _text("portfolios", nullable=True), _time("created_ns"),
        sa.PrimaryKeyConstraint("organisation", "user"),
    )  # fmt: skip
    op.create_index("ix_api_memberships_user", "api_memberships", ["user"])
    op.create_table(
        "api_invitations",
        _text("digest", 64), _id("organisation", "api_organisations.id"), _id("user", "api_users.id"),
        _time("expires_ns"),
        sa.PrimaryKeyConstraint("digest"),
    )  # fmt: skip
    op.create_index("ix_api_invitations_user", "api_invitations", ["user"])
    op.create_table(
        "api_keys",
        _id("id"), _id("organisation", "api_organisations.id"), _id("user", "api_users.id"), _text("name", 80),
        _text("algorithm", 16), _text("material", 255), _text("scopes"), _text("portfolios", nullable=True),
        _text("networks"), _time("created_ns"), _time("expires_ns", nullable=True), _time("revoked_ns", nullable=True),
        _time("used_ns", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )  # fmt: skip
    op.create_index("ix_api_keys_organisation", "api_keys", ["organisation"])
    op.create_table(
        "api_signing_keys",
        _id("id"), _text("public", 64), _text("private", 255), _time("created_ns"), _time("signs_until_ns"),
        _time("published_until_ns"),
        sa.PrimaryKeyConstraint("id"),
    )  # fmt: skip
    op.create_table(
        "api_sessions",
        _id("id"), _id("organisation", "api_organisations.id"), _id("user", "api_users.id"),
        _id("client", nullable=True), _text("scopes"), _text("methods", 80),
        sa.Column("counter", sa.Integer(), nullable=False), _text("address", 45), _text("agent", 200),
        _time("created_ns"), _time("refreshed_ns"), _time("expires_ns"), _time("revoked_ns", nullable=True),
        _text("revoked_why", 40),
        sa.PrimaryKeyConstraint("id"),
    )  # fmt: skip
    op.create_index("ix_api_sessions_user", "api_sessions", ["user"])
    op.create_table(
        "api_passkeys",
        _text("id", 1400), _id("user", "api_users.id"), _text("name", 80), _text("public"), _time("counter"),
        _time("created_ns"), _time("used_ns", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )  # fmt: skip
    op.create_index("ix_api_passkeys_user", "api_passkeys", ["user"])
    op.create_table(
        "api_totp",
        _id("user", "api_users.id"), _text("seed", 255), _time("last_step"), _time("created_ns"),
        _time("confirmed_ns", nullable=True),
        sa.PrimaryKeyConstraint("user"),
    )  # fmt: skip
    op.create_table(
        "api_recovery_codes",
        _id("user", "api_users.id"), _text("digest", 64),
        sa.PrimaryKeyConstraint("user", "digest"),
    )  # fmt: skip
    op.create_table(
        "api_wallets",
        _text("address", 42), _id("user", "api_users.id"), _time("chain_id"), _time("created_ns"),
        sa.PrimaryKeyConstraint("address"),
    )  # fmt: skip
    op.create_index("ix_api_wallets_user", "api_wallets", ["user"])
    op.create_table(
        "api_challenges",
        _text("digest", 64), _id("user", nullable=True), _text("content"), _time("expires_ns"),
        sa.PrimaryKeyConstraint("digest"),
    )  # fmt: skip
    op.create_index("ix_api_challenges_expires_ns", "api_challenges", ["expires_ns"])
    op.create_table(
        "api_oauth_clients",
        _id("id"), _id("organisation", "api_organisations.id"), _id("user", "api_users.id"), _text("name", 80),
        _text("secret", 64, nullable=True), _text("redirects"), _text("scopes"), _text("portfolios", nullable=True),
        sa.Column("acts_alone", sa.Boolean(), nullable=False), _time("created_ns"), _time("revoked_ns", nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )  # fmt: skip
    op.create_index("ix_api_oauth_clients_organisation", "api_oauth_clients", ["organisation"])
    op.create_table(
        "api_oauth_codes",
        _text("digest", 64), _id("client", "api_oauth_clients.id"), _id("user", "api_users.id"), _text("redirect"),
        _text("scopes"), _text("methods", 80), _text("challenge", 43), _id("session", nullable=True),
        _time("expires_ns"),
        sa.PrimaryKeyConstraint("digest"),
    )  # fmt: skip
    op.create_index("ix_api_oauth_codes_expires_ns", "api_oauth_codes", ["expires_ns"])


def downgrade() -> None:
    raise NotImplementedError("people and keys only move forward; restore a backup instead")
