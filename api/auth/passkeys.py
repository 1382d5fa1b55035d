"""Passkeys: WebAuthn credentials of people, as a way to log in and to confirm a request.

A challenge is a random word (or, for a confirmation, a digest bound to one); the authenticator signs it together with
the site's name, so a page of another site can ask for nothing. The person must have proved itself to the authenticator
(user verification). A counter that goes backwards is a copied authenticator: refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog
import webauthn
from sqlmodel import Session, select
from webauthn.helpers import options_to_json_dict
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from api.auth.challenges import Challenges
from api.auth.settings import ApiSettings
from api.auth.tables import PasskeyRow, UserRow
from api.core.errors import Conflict, Unauthenticated
from domain import InputError
from runtime.base64url import decode64, encode64

log = structlog.get_logger(__name__)

LIFETIME_S: Final = 300
_MAKE: Final = "passkey-make"
_LOGIN: Final = "passkey-login"
_ID_CHARS_MAX: Final = 1_400
_EACH_MAX: Final = 20

Credential = Mapping[str, Any]
# What the library raises for bytes that are not what they should be, beside its own.
_MALFORMED: Final = (WebAuthnException, ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Asserted:
    """A passkey was used."""

    user: str
    passkey: str


class Passkeys:
    """Works in its callers' transactions."""

    def __init__(self, challenges: Challenges, now_ns: Callable[[], int], settings: ApiSettings) -> None:
        self._challenges = challenges
        self._now_ns = now_ns
        self._settings = settings

    def registration(self, session: Session, user: UserRow) -> dict[str, Any]:
        """Options for `navigator.credentials.create`, as JSON of WebAuthn Level 3."""
        known = session.exec(select(PasskeyRow.id).where(PasskeyRow.user == user.id)).all()
        options = webauthn.generate_registration_options(
            rp_id=self._settings.host,
            rp_name=self._settings.name,
            user_name=user.email,
            user_display_name=user.name,
            user_id=hashlib.sha256(user.id.encode()).digest(),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=UserVerificationRequirement.REQUIRED
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(decode64(name)) for name in known],
        )
        self._keep(session, f"{_MAKE}/{user.id}", options.challenge, user.id)
        return options_to_json_dict(options)

    def register(self, session: Session, user: str, name: str, credential: Credential) -> PasskeyRow:
        """Store what the authenticator has made.

        Raises:
            Unauthenticated: Code `invalid_passkey`: it does not verify, or answers no challenge of this person's.
            Conflict: It is known already, or the person has many.
        """
        challenge = self._answered(session, f"{_MAKE}/{user}", credential)
        try:
            made = webauthn.verify_registration_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=self._settings.host,
                expected_origin=list(self._settings.all_origins),
                require_user_verification=True,
            )
        except _MALFORMED as exc:
            raise _invalid(str(exc)) from exc
        identifier = encode64(made.credential_id)
        if len(identifier) > _ID_CHARS_MAX:
            raise _invalid("its id is too long")
        if session.get(PasskeyRow, identifier) is not None:
            raise Conflict("this passkey is known already")
        if len(session.exec(select(PasskeyRow.id).where(PasskeyRow.user == user)).all()) >= _EACH_MAX:
            raise Conflict(f"a person has at most {_EACH_MAX} passkeys")
        row = PasskeyRow(
            id=identifier, user=user, name=name, public=encode64(made.credential_public_key), counter=made.sign_count,
            created_ns=self._now_ns(),
        )  # fmt: skip
        session.add(row)
        return row

    def login(self, session: Session) -> dict[str, Any]:
        """Options for `navigator.credentials.get`: whichever passkey of this site the person chooses."""
        options = webauthn.generate_authentication_options(
            rp_id=self._settings.host, user_verification=UserVerificationRequirement.REQUIRED
        )
        self._keep(session, _LOGIN, options.challenge, None)
        return options_to_json_dict(options)

    def logged_in(self, session: Session, credential: Credential) -> Asserted:
        """Check the answer to `login`.

        Raises:
            Unauthenticated: Code `invalid_passkey`.
        """
        return self._assert(session, credential, self._answered(session, _LOGIN, credential))

    def confirmation(self, session: Session, user: str, digest: str, word: str) -> dict[str, Any]:
        """Options by which a person confirms what has this digest; `word` makes the challenge single-use."""
        known = session.exec(select(PasskeyRow.id).where(PasskeyRow.user == user)).all()
        options = webauthn.generate_authentication_options(
            rp_id=self._settings.host,
            challenge=bound_challenge(digest, word),
            allow_credentials=[PublicKeyCredentialDescriptor(decode64(name)) for name in known],
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        return options_to_json_dict(options)

    def confirmed(self, session: Session, credential: Credential, digest: str, word: str) -> Asserted:
        """Check the answer to `confirmation`.

        Raises:
            Unauthenticated: Code `invalid_passkey`.
        """
        _client_data(credential)
        return self._assert(session, credential, bound_challenge(digest, word))

    def _assert(self, session: Session, credential: Credential, challenge: bytes) -> Asserted:
        row = session.get(PasskeyRow, str(credential.get("id"))[:_ID_CHARS_MAX], with_for_update=True)
        if row is None:
            raise _invalid("it is not known here")
        try:
            proved = webauthn.verify_authentication_response(
                credential=dict(credential),
                expected_challenge=challenge,
                expected_rp_id=self._settings.host,
                expected_origin=list(self._settings.all_origins),
                credential_public_key=decode64(row.public),
                credential_current_sign_count=row.counter,
                require_user_verification=True,
            )
        except _MALFORMED as exc:
            log.warning("auth.refused", code="invalid_passkey", user=row.user)
            raise _invalid(str(exc)) from exc
        row.counter, row.used_ns = proved.new_sign_count, self._now_ns()
        return Asserted(row.user, row.id)

    def _keep(self, session: Session, kind: str, challenge: bytes, user: str | None) -> None:
        self._challenges.issue(session, kind, {}, ttl_s=LIFETIME_S, user=user, word=encode64(challenge))

    def _answered(self, session: Session, kind: str, credential: Credential) -> bytes:
        """Find the challenge that an answer says it answers, and use it up."""
        challenge = str(_client_data(credential).get("challenge"))[:200]
        try:
            raw = decode64(challenge)
        except InputError as exc:
            raise _invalid("its challenge cannot be read") from exc
        if self._challenges.take(session, kind, challenge) is None:
            raise _invalid("it answers no challenge of ours")
        return raw


def bound_challenge(digest: str, word: str) -> bytes:
    """The WebAuthn challenge by which a passkey confirms a digest."""
    return hashlib.sha256(f"capstan step-up\n{digest}\n{word}".encode()).digest()


def _client_data(credential: Credential) -> dict[str, Any]:
    """Read what the browser says of the page, and refuse one that stood in another site's (the library does not look).

    Raises:
        Unauthenticated: Code `invalid_passkey`.
    """
    try:
        found = json.loads(decode64(credential["response"]["clientDataJSON"]))
    except (*_MALFORMED, InputError, RecursionError) as exc:
        raise _invalid("its client data cannot be read") from exc
    if not isinstance(found, dict):
        raise _invalid("its client data is not an object")
    if found.get("crossOrigin", False) is not False or "topOrigin" in found:
        raise _invalid("it was used from within another site's page")
    return found


def _invalid(why: str) -> Unauthenticated:
    return Unauthenticated(f"this passkey's answer does not hold: {why[:200]}", code="invalid_passkey")
