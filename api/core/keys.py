"""The server's own key: 32 bytes from which the keys for cursors, tickets and tokens are derived, one a purpose."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain import InputError

_BYTES = 32


class ServerKey:
    """Does not show itself. All processes of an installation use the same."""

    __slots__ = ("__key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != _BYTES:
            raise InputError(f"the server's key has {len(key)} bytes, it must have {_BYTES}")
        self.__key = key

    @classmethod
    def at(cls, path: Path) -> ServerKey:
        """Read the key file, made with mode 0600 if there is none.

        Raises:
            InputError: It cannot be read, others may read it, or it is no key of 64 hex digits.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        if not path.exists():
            # Linked, not renamed: of two processes that start at once, the first one's key stays.
            temporary.unlink(missing_ok=True)
            descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(os.urandom(_BYTES).hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(temporary, path)
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        try:
            if path.stat().st_mode & 0o077:
                raise InputError(f"{path} can be read by others", hint=f"chmod 600 {path}")
            return cls(bytes.fromhex(path.read_text().strip()))
        except (OSError, ValueError) as exc:
            raise InputError(f"{path} is no key: 64 hex digits were expected") from exc

    def derive(self, purpose: str) -> bytes:
        """Give the 32-byte key of one purpose (HKDF-SHA256, RFC 5869)."""
        return HKDF(SHA256(), _BYTES, salt=None, info=f"capstan/{purpose}".encode()).derive(self.__key)

    def __repr__(self) -> str:
        return "ServerKey(***)"
