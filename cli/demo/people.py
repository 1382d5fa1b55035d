"""The people of a world to try the API in: two organisations, everybody with a key, a password and an app's seed.

TEST ONLY: all of it is written in the clear into one file of the data directory (mode 0600), for the examples to read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlmodel import Session

from api.auth.api_keys import NewKey, make_key
from api.auth.bootstrap import bootstrap
from api.auth.names import new_id
from api.auth.scopes import ROLE_SCOPES, Role
from api.auth.second_factor import new_seed
from api.auth.services import Auth
from api.auth.signing import Algorithm
from api.auth.tables import MembershipRow, UserRow
from api.auth.totp import seed_text
from api.portfolios.directory import assign
from cli.data_dir import DataDir
from runtime.base64url import encode64
from wallets import write_private_file

HOUSE: Final = "exchange"
DESK: Final = "desk"
DESK_STRATEGY: Final = "desk"
MEMBERS: Final = {"bea": Role.ADMIN, "tom": Role.TREASURER, "ada": Role.APPROVER, "alf": Role.APPROVER}
"""Of the house, beside its owner `ann`; the desk's owner is `dora`."""
PASSWORD: Final = "correct horse battery"


def email_of(name: str, organisation: str = HOUSE) -> str:
    return f"{name}@{organisation}.example"


@dataclass(frozen=True, slots=True)
class Person:
    """What the examples act with in a person's place."""

    email: str
    organisation: str
    portfolio: str
    password: str
    totp_seed: str
    key: str
    secret: str
    """Of the Ed25519 key that signs requests and, of an approver, approvals: 32 bytes in hex."""


def settle(auth: Auth, secrets: dict[str, Ed25519PrivateKey]) -> dict[str, Person]:
    """Make both organisations and everybody in them; `secrets` are their keys by name."""
    house = _owner(auth, HOUSE, "ann", secrets["ann"])
    desk = _owner(auth, DESK, "dora", secrets["dora"])
    people = {"ann": house, "dora": desk}
    with auth.database.transaction() as session:
        assign(session, DESK_STRATEGY, desk.portfolio)
        for name, role in MEMBERS.items():
            people[name] = _member(auth, session, house, name, role, secrets[name])
    return people


def write_people(data: DataDir, url: str, people: dict[str, Person]) -> None:
    """Leave them for the examples."""
    told: dict[str, Any] = {"url": url, "people": people}
    write_private_file(data.people, msgspec.json.format(msgspec.json.encode(told)).decode() + "\n")


def read_people(data: DataDir) -> dict[str, Person]:
    return msgspec.convert(msgspec.json.decode(data.people.read_bytes())["people"], dict[str, Person])


def names() -> tuple[str, ...]:
    return ("ann", *MEMBERS, "dora")


def _owner(auth: Auth, slug: str, name: str, key: Ed25519PrivateKey) -> Person:
    made = bootstrap(auth, slug=slug, name=slug.title(), email=email_of(name, slug), public_key=_public(key))
    return Person(
        email=made.email, organisation=made.organisation, portfolio=made.portfolio, password=made.password,
        totp_seed=made.totp_seed, key=made.key, secret=key.private_bytes_raw().hex(),
    )  # fmt: skip


def _member(auth: Auth, session: Session, house: Person, name: str, role: Role, key: Ed25519PrivateKey) -> Person:
    now, user = auth.clock.now_ns(), new_id("usr")
    hashed = auth.passwords.hash_now(PASSWORD)
    session.add(UserRow(id=user, email=email_of(name), name=name, password=hashed, created_ns=now))
    session.flush()
    session.add(MembershipRow(organisation=house.organisation, user=user, roles=role, created_ns=now))
    seed = new_seed(session, auth.seal, user, now, is_in_force=True)
    new = NewKey(name, Algorithm.ED25519, ROLE_SCOPES[role], public_key=_public(key))
    row, _ = make_key(session, new, organisation=house.organisation, user=user, seal=auth.seal, now_ns=now)
    return Person(
        email=email_of(name), organisation=house.organisation, portfolio=house.portfolio, password=PASSWORD,
        totp_seed=seed_text(seed), key=row.id, secret=key.private_bytes_raw().hex(),
    )  # fmt: skip


def _public(key: Ed25519PrivateKey) -> str:
    return encode64(key.public_key().public_bytes_raw())
