"""Who may ask for what: per client certificate, the keys and the purposes it may use them for."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Protocol

from eth_utils.address import is_address, to_checksum_address
from pydantic import AfterValidator, Field, ValidationError

from domain import Address, InputError, Refused
from runtime import SettingsPart


class Purpose(StrEnum):
    """What a signature is for."""

    TRANSACTION = "transaction"
    MESSAGE = "message"
    TYPED_DATA = "typed-data"


class Access(Protocol):
    """What one connection may do."""

    @property
    def name(self) -> str:
        """For the log."""
        ...

    def may_see(self, address: Address) -> bool: ...

    def check(self, address: str, purpose: Purpose) -> None:
        """Raises `Refused`, rule `client`."""
        ...


@dataclass(frozen=True, slots=True)
class _Everything:
    """Access of a connection that the operating system vouches for: the same user's, or the developer's own machine."""

    name: str = "local"

    def may_see(self, address: Address) -> bool:
        return True

    def check(self, address: str, purpose: Purpose) -> None:
        return None


EVERYTHING: Access = _Everything()


def _fingerprint(text: str) -> str:
    plain = text.replace(":", "").lower()
    if len(plain) != 64 or any(letter not in "0123456789abcdef" for letter in plain):
        raise ValueError("expected a certificate's SHA-256 fingerprint: 64 hexadecimal digits")
    return plain


def _address(text: str) -> Address:
    if not is_address(text):
        raise ValueError(f"not an address: {text!r}")
    return Address(to_checksum_address(text))


class ClientGrant(SettingsPart):
    """One client of the mutual TLS listener."""

    name: str
    fingerprint: Annotated[str, AfterValidator(_fingerprint)]
    """SHA-256 over the certificate (DER); `openssl x509 -fingerprint -sha256` prints it."""
    keys: Annotated[tuple[Annotated[Address, AfterValidator(_address)], ...], Field(min_length=1)]
    purposes: Annotated[frozenset[Purpose], Field(min_length=1)]

    def may_see(self, address: Address) -> bool:
        return address in self.keys

    def check(self, address: str, purpose: Purpose) -> None:
        if address not in self.keys:
            raise Refused(f"client {self.name} may not use {address}", rule="client")
        if purpose not in self.purposes:
            raise Refused(f"client {self.name} may not use {address} for a {purpose}", rule="client")


class ClientList(SettingsPart):
    """Every client that is let in; others are not, whoever signed their certificate."""

    client: tuple[ClientGrant, ...] = ()

    @classmethod
    def load(cls, path: Path) -> ClientList:
        """Read a TOML file of `[[client]]` tables.

        Raises:
            InputError: Unreadable, malformed, or one certificate is listed twice.
        """
        try:
            found = cls.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError) as exc:
            reason = exc.errors()[0]["msg"] if isinstance(exc, ValidationError) else str(exc)
            raise InputError(f"{path} is not a list of clients: {reason}") from exc
        if len({grant.fingerprint for grant in found.client}) != len(found.client):
            raise InputError(f"{path} lists a certificate twice", hint="one client has one certificate of its own")
        return found

    def find(self, certificate: bytes) -> ClientGrant | None:
        """Look up a certificate (DER)."""
        fingerprint = hashlib.sha256(certificate).hexdigest()
        return next((grant for grant in self.client if grant.fingerprint == fingerprint), None)
