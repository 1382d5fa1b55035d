"""Custodians and the witness: a signing key (Ed25519) and a sealing key (X25519) each, kept under a password.

A sealed share is encrypted to the custodian's X25519 key with a fresh key of its own (X25519, HKDF-SHA256,
ChaCha20-Poly1305), and bound to the ceremony and the custodian's name.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain import InputError
from runtime import Secret
from wallets.ceremony.canonical import canonical
from wallets.keystore import write_private_file

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
_SCRYPT: Final = {"n": 1 << 17, "r": 8, "p": 1}
_FILE_BYTES_MAX: Final = 16 * 1024
# A key is used for one message only: its nonce may be constant.
_NONCE: Final = bytes(12)


@dataclass(frozen=True, slots=True)
class Card:
    """A person's public side, to be compared over another channel (`fingerprint`)."""

    name: str
    signing_key: bytes
    sealing_key: bytes

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise InputError(f"a name has lower-case letters, digits and dashes, found {self.name[:40]!r}")
        if len(self.signing_key) != 32 or len(self.sealing_key) != 32:
            raise InputError(f"the keys of {self.name} have 32 bytes each")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over name and keys, for people to read to each other."""
        return hashlib.sha256(canonical(self.to_json())).hexdigest()

    def to_json(self) -> dict[str, str]:
        return {"name": self.name, "signing_key": self.signing_key.hex(), "sealing_key": self.sealing_key.hex()}

    @classmethod
    def from_json(cls, fields: Any) -> Self:
        """Read what `to_json` wrote.

        Raises:
            InputError: It is no card.
        """
        if not isinstance(fields, dict) or set(fields) != {"name", "signing_key", "sealing_key"}:
            raise InputError("a card has a name, a signing_key and a sealing_key")
        try:
            keys = [bytes.fromhex(fields[name]) for name in ("signing_key", "sealing_key")]
        except (TypeError, ValueError) as exc:
            raise InputError("a card's keys are hex") from exc
        return cls(str(fields["name"]), *keys)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a card's file."""
        return cls.from_json(_read_json(path))

    def check(self, signature: bytes, message: bytes) -> bool:
        """Whether this person signed it."""
        try:
            Ed25519PublicKey.from_public_bytes(self.signing_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def seal(self, plain: bytes, *, ceremony: str, random_bytes: Callable[[int], bytes] = os.urandom) -> str:
        """Encrypt something for this person and this ceremony; gives JSON."""
        ephemeral = X25519PrivateKey.from_private_bytes(random_bytes(32))
        public = ephemeral.public_key().public_bytes_raw()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(self.sealing_key))
        bound = {"ceremony": ceremony, "custodian": self.name}
        sealed = ChaCha20Poly1305(_key(shared, public + self.sealing_key)).encrypt(_NONCE, plain, canonical(bound))
        return canonical({**bound, "ephemeral": public.hex(), "sealed": sealed.hex(), "version": 1}).decode()


class Person:
    """A card with its private keys."""

    __slots__ = ("__sealing", "__signing", "card")

    def __init__(self, name: str, seeds: bytes) -> None:
        self.__signing = Ed25519PrivateKey.from_private_bytes(seeds[:32])
        self.__sealing = X25519PrivateKey.from_private_bytes(seeds[32:])
        self.card: Final = Card(
            name, self.__signing.public_key().public_bytes_raw(), self.__sealing.public_key().public_bytes_raw()
        )

    def sign(self, message: bytes) -> bytes:
        """Sign with the Ed25519 key."""
        return self.__signing.sign(message)

    def open(self, sealed: str, *, ceremony: str) -> bytes:
        """Decrypt what was sealed for this person in this ceremony.

        Raises:
            InputError: Altered, of another ceremony, or for somebody else.
        """
        try:
            fields = json.loads(sealed)
            public, content = bytes.fromhex(fields["ephemeral"]), bytes.fromhex(fields["sealed"])
            shared = self.__sealing.exchange(X25519PublicKey.from_public_bytes(public))
        except (ValueError, KeyError, TypeError) as exc:
            raise InputError("not a sealed share") from exc
        bound = {"ceremony": ceremony, "custodian": self.card.name}
        try:
            return ChaCha20Poly1305(_key(shared, public + self.card.sealing_key)).decrypt(
                _NONCE, content, canonical(bound)
            )
        except InvalidTag as exc:
            raise InputError(f"the share was altered, or is not sealed for {self.card.name} in this ceremony") from exc

    def __repr__(self) -> str:
        return f"Person({self.card.name!r}, '***')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a person's keys are not serialised")


def create_person(folder: Path, name: str, password: Secret) -> Person:
    """Make a person's keys: `card.json`, which is public, and `person.key` (mode 0600) under the password.

    Raises:
        InputError: The folder has one already, or the name or password is not acceptable.
    """
    if len(password.reveal()) < 8:
        raise InputError("a custodian's password has at least 8 letters")
    seeds, salt = os.urandom(64), os.urandom(16)
    person = Person(name, seeds)
    sealed = ChaCha20Poly1305(_stretched(password, salt)).encrypt(_NONCE, seeds, name.encode())
    stored = {"version": 1, "name": name, "scrypt": {**_SCRYPT, "salt": salt.hex()}, "sealed": sealed.hex()}
    write_private_file(folder / "person.key", json.dumps(stored, indent=2) + "\n")
    write_private_file(folder / "card.json", json.dumps(person.card.to_json(), indent=2) + "\n")
    return person


def open_person(folder: Path, password: Secret) -> Person:
    """Decrypt a person's keys.

    Raises:
        InputError: No such files, wrong password, or keys that are not the card's.
    """
    stored, card = _read_json(folder / "person.key"), Card.load(folder / "card.json")
    try:
        salt, sealed, name = bytes.fromhex(stored["scrypt"]["salt"]), bytes.fromhex(stored["sealed"]), stored["name"]
    except (KeyError, TypeError, ValueError) as exc:
        raise InputError(f"{folder / 'person.key'} is malformed") from exc
    try:
        seeds = ChaCha20Poly1305(_stretched(password, salt)).decrypt(_NONCE, sealed, str(name).encode())
    except InvalidTag as exc:
        raise InputError(f"{folder / 'person.key'}: wrong password, or the file is damaged") from exc
    person = Person(str(name), seeds)
    if person.card != card:
        raise InputError(f"{folder / 'card.json'} is not the card of the keys beside it")
    return person


def _key(shared: bytes, salt: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, b"capstan/ceremony/share/1").derive(shared)


def _stretched(password: Secret, salt: bytes) -> bytes:
    # The cost is ours and not the file's: a crafted file cannot starve the process. The salt makes the key one-time.
    return hashlib.scrypt(password.reveal().encode(), salt=salt, maxmem=1 << 28, dklen=32, **_SCRYPT)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _FILE_BYTES_MAX:
            raise InputError(f"{path} is too large")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}") from exc
    except ValueError as exc:
        raise InputError(f"{path} is not JSON") from exc
    if not isinstance(document, dict):
        raise InputError(f"{path} is not a JSON object")
    return document
