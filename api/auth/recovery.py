"""Letting a person in again who has lost password and phone: for whoever runs the installation, at its own console."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.auth.bootstrap import read_email
from api.auth.second_factor import new_seed
from api.auth.services import Auth
from api.auth.tables import PasskeyRow, RecoveryCodeRow, UserRow, WalletRow
from api.auth.totp import provisioning_uri, seed_text
from domain import InputError


@dataclass(frozen=True, slots=True)
class Recovered:
    """What the person is given anew. Neither can be read again."""

    user: str
    email: str
    password: str
    totp_seed: str
    totp_uri: str


def recover(auth: Auth, email: str) -> Recovered:
    """Give a person a new password and seed. Sessions, passkeys, wallets and recovery codes of before are over.

    API keys stay: they prove who a program is, and are revoked where they are listed.

    Raises:
        InputError: Nobody has this address.
    """
    email = read_email(email)
    password, now = secrets.token_urlsafe(18), auth.clock.now_ns()
    hashed = auth.passwords.hash_now(password)

    def write(session: Session) -> tuple[str, bytes]:
        user = session.exec(select(UserRow).where(UserRow.email == email)).first()
        if user is None:
            raise InputError(f"{email} is nobody here")
        user.password, user.failures, user.locked_until_ns = hashed, 0, 0
        for row in (PasskeyRow, WalletRow, RecoveryCodeRow):
            session.execute(delete(row).where(col(row.user) == user.id))
        seed = new_seed(session, auth.seal, user.id, now, is_in_force=True)
        auth.sessions.end_all(session, user.id, "recovered")
        auth.challenges.forget(session, user.id)
        auth.audit.append(session, "user.recovered", f"user/{user.id}", {"actor": "console"})
        return user.id, seed

    with auth.database.transaction() as session:
        name, seed = write(session)
    uri = provisioning_uri(seed, issuer=auth.settings.name, account=email)
    return Recovered(name, email, password, seed_text(seed), uri)
