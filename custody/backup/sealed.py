"""Archives that only their recipient opens, written and read as streams.

    header   one line of JSON: the format, how the key is found, the size of a chunk
    chunks   AES-256-GCM each; the nonce is the chunk's number (11 bytes) and whether it is the last (1 byte); the
             header's SHA-256 is the associated data of every chunk

So chunks cannot be left out, swapped or appended, and a cut file is noticed at its end. The key comes from X25519 with
a fresh ephemeral key and HKDF-SHA256 (an offline recipient: whoever makes backups cannot read them), or from a
passphrase by scrypt.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass
from typing import IO, Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from domain import InputError
from runtime import Secret

_FORMAT: Final = "capstan-backup/1"
_CHUNK: Final = 256 * 1024
_TAG: Final = 16
_HEADER_MAX: Final = 4096
_SCRYPT_LOG_N: Final = 17
_RECIPIENT: Final = "x25519:"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whoever may open an archive: the public half of a key that is kept elsewhere."""

    public_key: bytes

    @classmethod
    def parse(cls, text: str) -> Recipient:
        """Read `x25519:<64 hex digits>`.

        Raises:
            InputError: Another form.
        """
        try:
            key = bytes.fromhex(text.removeprefix(_RECIPIENT))
            if not text.startswith(_RECIPIENT) or len(key) != 32:
                raise ValueError
        except ValueError as exc:
            raise InputError("a recipient is written x25519:<64 hex digits>", hint="`capstan backup keygen`") from exc
        return cls(key)

    def __str__(self) -> str:
        return _RECIPIENT + self.public_key.hex()


Lock = Recipient | Secret
"""What closes an archive: a recipient, or a passphrase."""


def generate_identity() -> tuple[Secret, Recipient]:
    """Make a recipient and the secret that opens what is sealed to it."""
    private = X25519PrivateKey.generate()
    return Secret(private.private_bytes_raw().hex()), Recipient(private.public_key().public_bytes_raw())


class SealedWriter(io.RawIOBase):
    """Encrypts what is written to it; complete only when closed."""

    def __init__(self, sink: IO[bytes], lock: Lock) -> None:
        header, key = _new_header(lock)
        self._sink = sink
        self._cipher = AESGCM(key)
        self._bound = hashlib.sha256(header).digest()
        self._number = 0
        self._buffer = bytearray()
        sink.write(header)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._buffer += data
        while len(self._buffer) > _CHUNK:
            self._put(bytes(self._buffer[:_CHUNK]), is_last=False)
            del self._buffer[:_CHUNK]
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._put(bytes(self._buffer), is_last=True)
            self._sink.flush()
        super().close()

    def _put(self, plain: bytes, *, is_last: bool) -> None:
        self._sink.write(self._cipher.encrypt(_nonce(self._number, is_last), plain, self._bound))
        self._number += 1


class SealedReader(io.RawIOBase):
    """Decrypts an archive; what it gives has been authenticated, chunk by chunk.

    Raises:
        InputError: No archive, altered, cut, or closed with another lock. Reading raises it too.
    """

    def __init__(self, source: IO[bytes], unlock: Secret, *, is_passphrase: bool) -> None:
        header = source.readline(_HEADER_MAX)
        self._cipher = AESGCM(_key_of(header, unlock, is_passphrase=is_passphrase))
        self._bound = hashlib.sha256(header).digest()
        self._source = source
        self._number = 0
        self._next = source.read(_CHUNK + _TAG)
        self._buffer = b""
        self._is_done = False

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        while not self._buffer and not self._is_done:
            self._take()
        given = self._buffer[: len(target)]
        target[: len(given)] = given
        self._buffer = self._buffer[len(given) :]
        return len(given)

    def _take(self) -> None:
        sealed, self._next = self._next, self._source.read(_CHUNK + _TAG)
        self._is_done = not self._next
        try:
            self._buffer = self._cipher.decrypt(_nonce(self._number, self._is_done), sealed, self._bound)
        except InvalidTag as exc:
            raise InputError(
                f"the archive does not open at chunk {self._number}: altered, cut, or another key's"
            ) from exc
        self._number += 1


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _new_header(lock: Lock) -> tuple[bytes, bytes]:
    fields: dict[str, Any] = {"format": _FORMAT, "chunk": _CHUNK}
    if isinstance(lock, Recipient):
        ephemeral = X25519PrivateKey.generate()
        public = ephemeral.public_key().public_bytes_raw()
        fields |= {"kind": "x25519", "ephemeral": public.hex(), "recipient": lock.public_key.hex()}
        key = _agreed(ephemeral, lock.public_key, public + lock.public_key)
    else:
        salt = os.urandom(16)
        fields |= {"kind": "scrypt", "salt": salt.hex(), "log_n": _SCRYPT_LOG_N}
        key = _stretched(lock, salt)
    return json.dumps(fields, sort_keys=True).encode() + b"\n", key


def _key_of(header: bytes, unlock: Secret, *, is_passphrase: bool) -> bytes:
    try:
        fields = json.loads(header)
        if fields["format"] != _FORMAT or fields["chunk"] != _CHUNK:
            raise KeyError("format")
        if (fields["kind"] == "scrypt") != is_passphrase:
            wanted = "a passphrase" if fields["kind"] == "scrypt" else f"the identity of x25519:{fields['recipient']}"
            raise InputError(f"this archive is opened by {wanted}")
        if is_passphrase:
            if fields["log_n"] != _SCRYPT_LOG_N:
                raise KeyError("log_n")
            return _stretched(unlock, bytes.fromhex(fields["salt"]))
        private = X25519PrivateKey.from_private_bytes(bytes.fromhex(unlock.reveal()))
        ephemeral, recipient = bytes.fromhex(fields["ephemeral"]), private.public_key().public_bytes_raw()
        if recipient.hex() != fields["recipient"]:
            raise InputError(f"this archive is opened by the identity of x25519:{fields['recipient']}")
        return _agreed(private, ephemeral, ephemeral + recipient)
    except (KeyError, TypeError, ValueError) as exc:
        raise InputError("not a backup of this release, or not its identity") from exc


def _agreed(private: X25519PrivateKey, public: bytes, salt: bytes) -> bytes:
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    return HKDF(hashes.SHA256(), 32, salt, _FORMAT.encode()).derive(shared)


def _stretched(passphrase: Secret, salt: bytes) -> bytes:
    return Scrypt(salt, 32, 1 << _SCRYPT_LOG_N, 8, 1).derive(passphrase.reveal().encode())
