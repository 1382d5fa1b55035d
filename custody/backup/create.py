"""Making an archive of one trust zone."""

from __future__ import annotations

import io
import os
import tarfile
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from custody.backup.manifest import FILES, NAME, Manifest, Member, Role, Zone, digest_file
from custody.backup.sealed import Lock, SealedWriter
from custody.backup.snapshot import copy_consistent, dump_postgresql, files_of
from domain import InputError

DUMP_NAME: Final = "database.pgdump"


def create_archive(
    target: Path,
    *,
    zone: Zone,
    name: str,
    root: Path,
    files: Iterable[Path],
    lock: Lock,
    signing_key: Ed25519PrivateKey,
    now_ns: int,
    postgresql_url: str = "",
    extra: Mapping[str, tuple[Role, bytes]] | None = None,
) -> Manifest:
    """Copy files consistently, sign what they are, and seal all of it into one new file.

    The copies lie in a private temporary folder while the archive is written. An archive is there whole or not at all.

    Args:
        target: Must not exist.
        zone: Whose files these are.
        name: Told to whoever restores.
        root: Paths in the archive are relative to it.
        files: What to take, below `root`.
        lock: Who may open it.
        signing_key: Whose word the manifest is.
        now_ns: UTC nanoseconds.
        postgresql_url: Also dump this database.
        extra: Further content by path, for what is no file (wrapped keys of an HSM).

    Raises:
        InputError: The target exists, or there is nothing to back up.
        VenueUnavailable: A database could not be copied.
    """
    if target.exists():
        raise InputError(f"{target} exists and is not overwritten")
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(prefix="capstan-backup-", dir=target.parent) as folder:
        staged = Path(folder)
        members = []
        for path in files:
            relative = path.relative_to(root).as_posix()
            members.append(_member(staged, relative, copy_consistent(path, staged / relative)))
        if postgresql_url:
            dump_postgresql(postgresql_url, staged / DUMP_NAME)
            members.append(_member(staged, DUMP_NAME, Role.DUMP))
        for relative, (role, content) in (extra or {}).items():
            (staged / relative).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            (staged / relative).write_bytes(content)
            (staged / relative).chmod(0o600)
            members.append(_member(staged, relative, role))
        if not members:
            raise InputError(f"{root} has nothing to back up")
        manifest = Manifest(zone=zone, name=name, created_ns=now_ns, members=tuple(members))
        partial = staged / "archive.partial"
        _write(partial, staged, manifest, lock, signing_key)
        # A name appears only when its content is on the disk. A file that came meanwhile is not replaced.
        os.link(partial, target)
        _sync_folder(target.parent)
    return manifest


def zone_files(root: Path, zone: Zone, *, signer: Iterable[Path] = (), apart: Iterable[Path] = ()) -> list[Path]:
    """Choose the files of a zone in an installation's folder.

    Args:
        root: The installation, or a party's folder.
        zone: Which.
        signer: The signer's own files (keystore, its password, journal): they are not the installation's.
        apart: Folders that are zones of their own, cosigners' for instance.
    """
    signers = {path.resolve() for path in signer}
    others = [path.resolve() for path in apart]
    found = files_of(root)
    if zone is Zone.COSIGNER:
        return found
    if zone is Zone.SIGNER:
        return [path for path in found if path.resolve() in signers]
    return [
        path
        for path in found
        if path.resolve() not in signers and not any(path.resolve().is_relative_to(other) for other in others)
    ]


def _member(staged: Path, relative: str, role: Role) -> Member:
    path = staged / relative
    stat = path.stat()
    return Member(relative, role, stat.st_size, digest_file(path), stat.st_mode & 0o700)


def _write(partial: Path, staged: Path, manifest: Manifest, lock: Lock, signing_key: Ed25519PrivateKey) -> None:
    with partial.open("xb") as sink:
        os.fchmod(sink.fileno(), 0o600)
        with SealedWriter(sink, lock) as sealed, tarfile.open(fileobj=sealed, mode="w|") as archive:
            _add(archive, NAME, manifest.encode(signing_key))
            for member in manifest.members:
                info = tarfile.TarInfo(FILES + member.path)
                info.size = member.size
                with (staged / member.path).open("rb") as content:
                    archive.addfile(info, content)
        sink.flush()
        os.fsync(sink.fileno())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    archive.addfile(info, io.BytesIO(content))


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
