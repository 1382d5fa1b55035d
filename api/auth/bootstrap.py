"""The first people of an organisation: its owner, with a password, a seed for codes and a key, each shown once."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from typing import Final

from sqlmodel import Session, select

from api.auth.api_keys import NewKey, make_key
from api.auth.names import new_id
from api.auth.scopes import Role, Scope
from api.auth.second_factor import new_seed
from api.auth.services import Auth
from api.auth.signing import Algorithm
from api.auth.tables import MembershipRow, OrganisationRow, UserRow
from api.auth.totp import provisioning_uri, seed_text
from api.portfolios.directory import create
from domain import InputError

_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_EMAIL: Final = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[A-Za-z0-9.-]{1,189}")


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """What the owner is given. None of the secrets can be read again."""

    organisation: str
    portfolio: str
    """Its first, `main`. Of the first organisation it owns every strategy that is in no other portfolio."""
    user: str
    email: str
    password: str
    totp_seed: str
    totp_uri: str
    key: str
    key_algorithm: str
    key_secret: str | None
    """Of an HMAC key; with the owner's own Ed25519 key there is none."""


def bootstrap(auth: Auth, *, slug: str, name: str, email: str, public_key: str | None = None) -> Bootstrapped:
    """Make an organisation with its owner. All of it in one transaction.

    Args:
        auth: Of the installation; its clock and database are used.
        slug: The organisation's short name: lower-case letters, digits, hyphens.
        name: Its name for people.
        email: Of its owner, who must not be known yet.
        public_key: The owner's Ed25519 key; without one an HMAC secret is made.

    Raises:
        InputError: A name that is taken or malformed.
    """
    email = read_email(email)
    if not _SLUG.fullmatch(slug):
        raise InputError(f"not a short name: {slug[:64]!r}", hint="lower-case letters, digits and hyphens, at most 40")
    if not 1 <= len(name) <= 120:
        raise InputError("an organisation's name has 1 to 120 characters")
    password, now = secrets.token_urlsafe(18), auth.clock.now_ns()
    hashed = auth.passwords.hash_now(password)
    algorithm = Algorithm.HMAC if public_key is None else Algorithm.ED25519

    def write(session: Session) -> Bootstrapped:
        if session.exec(select(OrganisationRow).where(OrganisationRow.slug == slug)).first() is not None:
            raise InputError(f"there is an organisation {slug} already", hint="choose another --slug")
        if session.exec(select(UserRow).where(UserRow.email == email)).first() is not None:
            raise InputError(f"{email} is a user already")
        # What trades without anybody having said whose it is belongs to the installation's own organisation.
        is_first = session.exec(select(OrganisationRow).limit(1)).first() is None
        organisation = OrganisationRow(
            id=new_id("org"), slug=slug, name=name, rate_limit=auth.settings.rate_limit, created_ns=now
        )
        user = UserRow(id=new_id("usr"), email=email, name=email.partition("@")[0], password=hashed, created_ns=now)
        session.add_all([organisation, user])
        session.flush()
        session.add(MembershipRow(organisation=organisation.id, user=user.id, roles=Role.OWNER, created_ns=now))
        seed = new_seed(session, auth.seal, user.id, now, is_in_force=True)
        new = NewKey("bootstrap", algorithm, frozenset(Scope), public_key=public_key)
        key, secret = make_key(session, new, organisation=organisation.id, user=user.id, seal=auth.seal, now_ns=now)
        portfolio = create(session, organisation.id, "main", now, has_rest=is_first)
        auth.audit.append(
            session, "organisation.created", f"organisation/{organisation.id}",
            {"slug": slug, "owner": user.id, "key": key.id},
        )  # fmt: skip
        return Bootstrapped(
            organisation=organisation.id,
            portfolio=portfolio.id,
            user=user.id,
            email=email,
            password=password,
            totp_seed=seed_text(seed),
            totp_uri=provisioning_uri(seed, issuer=auth.settings.name, account=email),
            key=key.id,
            key_algorithm=algorithm,
            key_secret=secret,
        )

    with auth.database.transaction() as session:
        return write(session)


def read_email(text: str) -> str:
    """Read an e-mail address into the one form in which it is stored.

    Raises:
        InputError: It is none.
    """
    email = text.strip().lower()
    if not _EMAIL.fullmatch(email):
        raise InputError(f"not an e-mail address: {text[:64]!r}")
    return email
