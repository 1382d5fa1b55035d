"""What an archive holds, file by file, signed by whoever made it: an archive of a stranger is not restored."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain import InputError

_VERSION: Final = 1
_TAG: Final = b"capstan/backup-manifest/v1\n"
NAME: Final = "manifest.json"
"""The first member of an archive."""
FILES: Final = "files/"
"""Below it lie the files themselves."""


class Zone(StrEnum):
    """Who trusts whom: an archive never holds files of two zones."""

    INSTALLATION = "installation"
    """Settings, databases, audit checkpoints, policy: what an operator's machine has."""
    SIGNER = "signer"
    """Keystores with their passwords, the signer's journal, wrapped keys of its HSM."""
    COSIGNER = "cosigner"
    """One party's folder."""


class Role(StrEnum):
    """What has to be done to a file when it is put back."""

    FILE = "file"
    DATABASE = "database"
    """Custody's own, on SQLite."""
    DUMP = "dump"
    """Custody's own, as `pg_dump` wrote it."""
    JOURNAL = "journal"
    PARTY = "party"
    """A cosigner's shares, sessions and signatures."""
    HSM_KEY = "hsm-key"
    """A key of a token, wrapped by the backup key that another token has too."""


@dataclass(frozen=True, slots=True)
class Member:
    """One file: where it lies below the restored folder, and what it must be."""

    path: str
    role: Role
    size: int
    sha256: str
    mode: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    zone: Zone
    name: str
    """Of what: an installation's folder, a party's number."""
    created_ns: int
    members: tuple[Member, ...]

    def encode(self, key: Ed25519PrivateKey) -> bytes:
        """Write it with its signature."""
        content = self._content()
        document = {
            "content": content.decode(),
            "signer": signer_text(key.public_key()),
            "signature": key.sign(_TAG + content).hex(),
        }
        return json.dumps(document, sort_keys=True).encode()

    @classmethod
    def decode(cls, data: bytes, *, signer: str) -> Manifest:
        """Read one, of this signer and no other.

        Raises:
            InputError: Malformed, or not signed by `signer` (`ed25519:<64 hex digits>`).
        """
        try:
            document = json.loads(data)
            content = document["content"].encode()
            if document["signer"] != signer:
                raise InputError(f"this backup was made by {document['signer']}, expected {signer}")
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signer.removeprefix("ed25519:")))
            key.verify(bytes.fromhex(document["signature"]), _TAG + content)
            return cls._read(json.loads(content))
        except InvalidSignature as exc:
            raise InputError("the manifest's signature does not hold: the backup was altered") from exc
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            raise InputError(f"not a backup's manifest: {type(exc).__name__}") from exc

    def _content(self) -> bytes:
        fields = {
            "version": _VERSION,
            "zone": self.zone,
            "name": self.name,
            "created_ns": self.created_ns,
            "members": [[m.path, m.role, m.size, m.sha256, m.mode] for m in self.members],
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def _read(cls, fields: Mapping[str, Any]) -> Manifest:
        if fields["version"] != _VERSION:
            raise InputError(f"a manifest of version {fields['version']!r} cannot be read, {_VERSION} is expected")
        members = tuple(
            Member(_safe(path), Role(role), int(size), str(digest), int(mode) & 0o700)
            for path, role, size, digest, mode in fields["members"]
        )
        if len({member.path for member in members}) != len(members):
            raise InputError("a manifest names a file twice")
        return cls(
            zone=Zone(fields["zone"]), name=str(fields["name"]), created_ns=int(fields["created_ns"]), members=members
        )


def signer_text(key: Ed25519PublicKey) -> str:
    """Write who signs, as people pin it."""
    return f"ed25519:{key.public_bytes_raw().hex()}"


def digest_file(path: Path) -> str:
    """Hash a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _safe(path: Any) -> str:
    """Refuse names that would lead out of the folder."""
    parts = PurePosixPath(str(path)).parts
    if not parts or PurePosixPath(str(path)).is_absolute() or any(part in ("..", ".", "") for part in parts):
        raise InputError(f"a manifest names a file outside its folder: {path!r}")
    return str(path)
