"""One session with a PKCS#11 token: keys that are made in it, sign in it and never leave it readable.

The module is the vendor's shared library (`libsofthsm2.so` for tests and development). python-pkcs11 releases the GIL
around calls of a library that it has initialised as single-threaded, so two threads crash it: a token belongs to one
thread of one process. What serves requests is `HsmPool`, whose workers are processes.

A key's CKA_ID says what it is for: `capstan/devnet` signs on devnets and nowhere else, `capstan/key` everywhere else.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import pkcs11
from coincurve import PublicKey
from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
from pkcs11.constants import DEFAULT
from pkcs11.util.ec import encode_named_curve_parameters

from domain import Address, InputError, InvariantError, VenueUnavailable
from runtime import Secret
from wallets.hsm.ecdsa import complete
from wallets.payloads import Signature
from wallets.transactions import address_of

RECOVERY_S: Final = 5.0
"""How long a request waits for a token that went away."""
_SECP256K1: Final = encode_named_curve_parameters("secp256k1")
_ID_KEY: Final = b"capstan/key"
_ID_DEVNET: Final = b"capstan/devnet"
_OPEN_ATTEMPTS: Final = 8
# What a token says when it is gone, came back, or is being opened by many processes at once (measured on SoftHSM2).
_TRANSIENT: Final = (
    pkcs11.exceptions.GeneralError,
    pkcs11.exceptions.NoSuchToken,
    pkcs11.exceptions.TokenNotPresent,
    pkcs11.exceptions.TokenNotRecognised,
    pkcs11.exceptions.DeviceError,
    pkcs11.exceptions.DeviceRemoved,
    pkcs11.exceptions.FunctionFailed,
)


class WrongPin(InputError):
    """The token does not take the PIN. Not tried again by itself: tokens lock after a few wrong tries."""


@dataclass(frozen=True, slots=True)
class HsmKey:
    """A key's public side, as the token tells it."""

    label: str
    public_key: bytes
    """65 bytes, uncompressed."""
    is_test_key: bool
    is_wrappable: bool
    """Whether a trusted backup key may wrap it into another token."""
    is_born_here: bool
    """Whether the token made it itself and it was never readable or wrappable: false for a restored key."""

    @property
    def address(self) -> Address:
        return address_of(PublicKey(self.public_key))


class HsmToken:
    """An open, logged-in session. Use it from one thread only, as a context manager.

    Errors of every method:
        InputError: A label is taken or unknown, the PIN is wrong, or the token refuses the operation.
        VenueUnavailable: The token is not there; `reopen` when it may be back.
    """

    def __init__(self, module: str, token: str, pin: Secret) -> None:
        self._module = module
        self._token = token
        self._pin = pin
        self._keys: dict[str, tuple[Any, HsmKey]] = {}
        self._session: Any = None
        try:
            self._library = pkcs11.lib(module)
        except (RuntimeError, OSError) as exc:
            raise InputError(f"cannot load the PKCS#11 module {module}: {type(exc).__name__}") from exc
        # A library loaded earlier in this process keeps the slots it saw then.
        self._open(fresh=True)

    def reopen(self) -> None:
        """Start over after the token was away: every session and handle of before is dead.

        One attempt; raises `VenueUnavailable` while the token is still away.
        """
        self._keys.clear()
        self._session = None
        self._open(fresh=True, attempts=1)

    def close(self) -> None:
        """Log out."""
        self._keys.clear()
        if self._session is not None:
            session, self._session = self._session, None
            with _translated(self._token):
                session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def create_key(self, label: str, *, is_test_key: bool = False, is_wrappable: bool = False) -> HsmKey:
        """Make a secp256k1 key in the token.

        Sensitive and not extractable. With `is_wrappable` it can be extracted under one condition: wrapped by a key
        that the security officer marked as trusted (`create_backup_key`).
        """
        self._ensure_free(label)
        with _translated(self._token):
            parameters = self._session.create_domain_parameters(
                KeyType.EC, {Attribute.EC_PARAMS: _SECP256K1}, local=True
            )
            parameters.generate_keypair(
                label=label,
                id=_ID_DEVNET if is_test_key else _ID_KEY,
                store=True,
                capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
                private_template={
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: is_wrappable,
                    Attribute.WRAP_WITH_TRUSTED: True,
                },
            )
        return self.key(label)

    def key(self, label: str) -> HsmKey:
        """Find a key; refuses one whose private half could be read out in the clear."""
        return self._find(label)[1]

    def list_keys(self) -> list[HsmKey]:
        """List the secp256k1 keys, by label."""
        with _translated(self._token):
            found = self._session.get_objects(
                {Attribute.CLASS: ObjectClass.PRIVATE_KEY, Attribute.KEY_TYPE: KeyType.EC}
            )
            labels = sorted({str(private.label) for private in found})
        return [self.key(label) for label in labels]

    def sign_digest_unchecked(self, label: str, digest: bytes) -> Signature:
        """Sign 32 bytes that the caller has computed from a payload it has read. Low s, recovered to the key.

        Raises:
            InvariantError: The digest has another length, or the token's answer does not verify.
        """
        return complete(self.sign_raw_unchecked(label, digest), digest, self.key(label).public_key)

    def sign_raw_unchecked(self, label: str, digest: bytes) -> bytes:
        """Do as `sign_digest_unchecked`, and give r and s as the token does: for a caller who completes and recovers.

        Raises:
            InvariantError: The digest has another length: tokens sign anything.
        """
        if len(digest) != 32:
            raise InvariantError(f"a digest has 32 bytes, found {len(digest)}")
        private, _ = self._find(label)
        with _translated(self._token):
            return bytes(private.sign(digest, mechanism=Mechanism.ECDSA))

    def random_bytes(self, length: int) -> bytes:
        """Ask the token's own random generator."""
        with _translated(self._token):
            return bytes(self._session.generate_random(8 * length))

    def create_secret_key(self, label: str) -> None:
        """Make an AES-256 key that encrypts and decrypts in the token and never leaves it: an envelope's KEK."""
        if self._has(label, ObjectClass.SECRET_KEY):
            raise InputError(f"token {self._token} already has a secret key {label!r}")
        with _translated(self._token):
            self._session.generate_key(
                KeyType.AES,
                256,
                label=label,
                store=True,
                capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
                template={Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
            )

    def seal(self, label: str, plain: bytes, *, nonce: bytes, associated: bytes) -> bytes:
        """Encrypt in the token with AES-GCM; gives the ciphertext with its 16-byte tag."""
        with _translated(self._token):
            key = self._session.get_key(label=label, object_class=ObjectClass.SECRET_KEY)
            parameters = pkcs11.GCMParams(nonce, associated, 128)
            return bytes(key.encrypt(plain, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))

    def unseal(self, label: str, sealed: bytes, *, nonce: bytes, associated: bytes) -> bytes:
        """Decrypt what `seal` made.

        Raises:
            InputError: The ciphertext, the nonce or the associated data is not what was sealed.
        """
        with _translated(self._token):
            key = self._session.get_key(label=label, object_class=ObjectClass.SECRET_KEY)
            parameters = pkcs11.GCMParams(nonce, associated, 128)
            try:
                return bytes(key.decrypt(sealed, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))
            except (pkcs11.exceptions.GeneralError, pkcs11.exceptions.EncryptedDataInvalid) as exc:
                raise InputError("the envelope was altered, or belongs to another row") from exc

    def back_up(self, label: str, *, backup_key: str) -> bytes:
        """Wrap a wrappable key with a trusted key (AES key wrap, RFC 3394): 72 bytes for `restore`."""
        private, _ = self._find(label)
        with _translated(self._token):
            wrapping = self._session.get_key(label=backup_key, object_class=ObjectClass.SECRET_KEY)
            return bytes(wrapping.wrap_key(private, mechanism=Mechanism.AES_KEY_WRAP))

    def restore(self, wrapped: bytes, key: HsmKey, *, backup_key: str) -> HsmKey:
        """Unwrap a backed-up key into this token, where it can not be extracted again.

        `key` is what the first token told of it; a signature proves that both halves belong together.
        """
        self._ensure_free(key.label)
        identifier = _ID_DEVNET if key.is_test_key else _ID_KEY
        with _translated(self._token):
            wrapping = self._session.get_key(label=backup_key, object_class=ObjectClass.SECRET_KEY)
            # The library's template asks a private key for ENCRYPT, WRAP and VERIFY, which tokens refuse: drop them.
            dropped = {Attribute.ENCRYPT: DEFAULT, Attribute.WRAP: DEFAULT, Attribute.VERIFY: DEFAULT}
            try:
                private = wrapping.unwrap_key(
                    ObjectClass.PRIVATE_KEY,
                    KeyType.EC,
                    wrapped,
                    label=key.label,
                    id=identifier,
                    mechanism=Mechanism.AES_KEY_WRAP,
                    store=True,
                    capabilities=MechanismFlag.SIGN,
                    template={**dropped, Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False},
                )
            except (pkcs11.exceptions.GeneralError, pkcs11.exceptions.WrappedKeyInvalid) as exc:
                raise InputError("the backup was altered, or is not wrapped by this backup key") from exc
            public = self._session.create_object(
                {
                    Attribute.CLASS: ObjectClass.PUBLIC_KEY,
                    Attribute.KEY_TYPE: KeyType.EC,
                    Attribute.EC_PARAMS: _SECP256K1,
                    Attribute.EC_POINT: b"\x04\x41" + key.public_key,
                    Attribute.LABEL: key.label,
                    Attribute.ID: identifier,
                    Attribute.TOKEN: True,
                    Attribute.PRIVATE: False,
                    Attribute.VERIFY: True,
                }
            )
        try:
            self.sign_digest_unchecked(key.label, b"\x01" * 32)
        except InvariantError as exc:
            self._keys.clear()
            with _translated(self._token):
                private.destroy()
                public.destroy()
            raise InputError(f"the backup is not the key of {key.address}") from exc
        return self.key(key.label)

    def _open(self, *, fresh: bool = False, attempts: int = _OPEN_ATTEMPTS) -> None:
        wait_s = 0.02
        for attempt in range(1, attempts + 1):
            try:
                with _translated(self._token):
                    if fresh:
                        self._library.reinitialize()
                    self._session = self._library.get_token(token_label=self._token).open(
                        rw=True, user_pin=self._pin.reveal()
                    )
                return
            except VenueUnavailable:
                if attempt == attempts:
                    raise
                # Several processes that open a token at the same moment fail now and then (2 of 40, SoftHSM2).
                time.sleep(wait_s * random.uniform(0.5, 1.5))
                wait_s = min(2 * wait_s, 0.5)

    def _find(self, label: str) -> tuple[Any, HsmKey]:
        # Looking a key up costs milliseconds in a full token, signing half of one: handles are kept.
        if (known := self._keys.get(label)) is not None:
            return known
        with _translated(self._token):
            private = self._session.get_key(label=label, object_class=ObjectClass.PRIVATE_KEY)
            public = self._session.get_key(label=label, object_class=ObjectClass.PUBLIC_KEY)
            if bytes(public[Attribute.EC_PARAMS]) != _SECP256K1:
                raise InputError(f"{label!r} is not a secp256k1 key")
            extractable = bool(private[Attribute.EXTRACTABLE])
            if not private[Attribute.SENSITIVE] or (extractable and not private[Attribute.WRAP_WITH_TRUSTED]):
                raise InputError(f"{label!r} could be read out of token {self._token}: it does not sign here")
            identifier = bytes(private[Attribute.ID])
            if identifier not in (_ID_KEY, _ID_DEVNET):
                raise InputError(
                    f"{label!r} was not made by this platform", hint="make it with `capstan signer hsm create-key`"
                )
            key = HsmKey(
                label,
                _point(bytes(public[Attribute.EC_POINT])),
                is_test_key=identifier == _ID_DEVNET,
                is_wrappable=extractable,
                is_born_here=bool(private[Attribute.LOCAL]) and bool(private[Attribute.NEVER_EXTRACTABLE]),
            )
        self._keys[label] = (private, key)
        return private, key

    def _has(self, label: str, kind: Any) -> bool:
        with _translated(self._token):
            return any(True for _ in self._session.get_objects({Attribute.CLASS: kind, Attribute.LABEL: label}))

    def _ensure_free(self, label: str) -> None:
        if self._has(label, ObjectClass.PRIVATE_KEY):
            raise InputError(f"token {self._token} already has a key {label!r}")


def create_backup_key(module: str, token: str, officer_pin: Secret, *, label: str, key: bytes) -> None:
    """Put a trusted AES-256 wrapping key into a token, as its security officer. The same bytes go into both tokens.

    The bytes are the backup's whole secret: they come from the ceremony and are kept by no file of this process.

    Raises:
        InputError: Not 32 bytes, the label is taken, or the token says no.
        VenueUnavailable: The token is not there.
    """
    if len(key) != 32:
        raise InputError(f"a backup key has 32 bytes, found {len(key)}")
    with _translated(token):
        library = pkcs11.lib(module)
        library.reinitialize()
        with library.get_token(token_label=token).open(rw=True, so_pin=officer_pin.reveal()) as session:
            wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: label}
            if any(True for _ in session.get_objects(wanted)):
                raise InputError(f"token {token} already has a secret key {label!r}")
            session.create_object(
                {
                    **wanted,
                    Attribute.KEY_TYPE: KeyType.AES,
                    Attribute.VALUE: key,
                    Attribute.TOKEN: True,
                    # An officer sees no private objects; what the key may wrap still needs the user's login.
                    Attribute.PRIVATE: False,
                    Attribute.SENSITIVE: True,
                    Attribute.EXTRACTABLE: False,
                    Attribute.TRUSTED: True,
                    Attribute.WRAP: True,
                    Attribute.UNWRAP: True,
                    Attribute.ENCRYPT: False,
                    Attribute.DECRYPT: False,
                }
            )


def _point(encoded: bytes) -> bytes:
    # CKA_EC_POINT is a DER octet string around the point; some devices return the point itself.
    point = encoded[2:] if len(encoded) == 67 and encoded[:2] == b"\x04\x41" else encoded
    if len(point) != 65 or point[0] != 4:
        raise InvariantError("the token's public key is not an uncompressed point")
    return point


@contextmanager
def _translated(token: str) -> Iterator[None]:
    """Raise the tree's errors instead of the library's. The PIN is in none of them."""
    try:
        yield
    except (pkcs11.exceptions.PinIncorrect, pkcs11.exceptions.PinLocked, pkcs11.exceptions.PinInvalid) as exc:
        raise WrongPin(
            f"token {token} does not take the PIN ({type(exc).__name__})", hint="tokens lock after a few wrong tries"
        ) from exc
    except pkcs11.exceptions.NoSuchKey as exc:
        raise InputError(f"token {token} has no such key") from exc
    except (pkcs11.exceptions.KeyUnextractable, pkcs11.exceptions.KeyNotWrappable) as exc:
        raise InputError(
            f"token {token} does not let this key out", hint="only keys made wrappable leave, under a trusted key"
        ) from exc
    except _TRANSIENT as exc:
        raise VenueUnavailable(f"token {token} is not available ({type(exc).__name__})") from exc
    except pkcs11.exceptions.PKCS11Error as exc:
        raise VenueUnavailable(f"token {token}: {type(exc).__name__}") from exc
