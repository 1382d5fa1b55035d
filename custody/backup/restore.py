"""Opening archives: checking them, and putting them back into an empty folder, made safe before anybody uses it."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
from contextlib import closing
from pathlib import Path
from typing import Final

from custody.audit import AuditLog
from custody.backup.manifest import FILES, NAME, Manifest, Member, Role, Zone
from custody.backup.sealed import SealedReader
from custody.freeze import ALL, Freezes
from custody.tables import open_books
from domain import InputError
from runtime import Secret
from runtime.database import Database
from wallets import mark_restored

FREEZE_SOURCE: Final = "restore"
_MANIFEST_MAX: Final = 64 * 1024 * 1024
_COPY: Final = 1024 * 1024


def verify_archive(archive: Path, unlock: Secret, *, is_passphrase: bool, signer: str) -> Manifest:
    """Read an archive to its end and check every digest; nothing is written.

    Raises:
        InputError: It does not open, is another signer's, was altered or cut, or holds what its manifest does not name.
    """
    with archive.open("rb") as source:
        return _read(source, unlock, is_passphrase, signer, into=None)


def restore_archive(
    archive: Path,
    target: Path,
    unlock: Secret,
    *,
    is_passphrase: bool,
    signer: str,
    now_ns: int,
    without_shares: bool = False,
) -> Manifest:
    """Put an archive back into a new or empty folder. The folder is filled in one step, or not at all.

    What comes back is not what was there when the archive was made plus what happened since, so before anybody can use
    it: signing journals are closed until the chain was asked (`wallets.restored`), shares on their way are destroyed,
    and custody's database is frozen until two people have looked.

    Args:
        archive: From `create_archive`.
        target: Must not exist, or be empty.
        unlock: The recipient's identity, or the passphrase.
        is_passphrase: Which of the two.
        signer: Who must have made it, `ed25519:…`.
        now_ns: UTC nanoseconds.
        without_shares: Of a cosigner, leave the shares out: they will be rebuilt by the others.

    Raises:
        InputError: As `verify_archive`; or the target is not empty.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise InputError(f"{target} is not empty: nothing is restored over it", hint="name a new folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(mode=0o700)
    try:
        with archive.open("rb") as source:
            manifest = _read(source, unlock, is_passphrase, signer, into=partial)
        for member in manifest.members:
            _make_safe(partial / member.path, member, manifest, now_ns, without_shares=without_shares)
        _sync(partial)
        partial.rename(target)  # an empty folder is replaced, one that was filled meanwhile is not
    except OSError as exc:
        raise InputError(f"{target} cannot be filled: {exc.strerror}") from exc
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def freeze_restored(database: Database, manifest_ns: int, now_ns: int) -> None:
    """Freeze everything in a database that was put back, until two people have looked."""
    audit = AuditLog(database, lambda: now_ns)
    reason = f"restored from a backup made at {manifest_ns // 10**9} (Unix seconds): reconcile with the chains first"
    Freezes(database, audit, lambda: now_ns).impose(ALL, source=FREEZE_SOURCE, reason=reason)


def _read(source: io.BufferedReader, unlock: Secret, is_passphrase: bool, signer: str, into: Path | None) -> Manifest:
    reader = io.BufferedReader(SealedReader(source, unlock, is_passphrase=is_passphrase), _COPY)
    try:
        with tarfile.open(fileobj=reader, mode="r|") as archive:
            entries = iter(archive)
            first = next(entries, None)
            if first is None or first.name != NAME or first.size > _MANIFEST_MAX:
                raise InputError("the archive does not begin with its manifest")
            manifest = Manifest.decode(_content(archive, first), signer=signer)
            wanted = {FILES + member.path: member for member in manifest.members}
            for entry in entries:
                member = wanted.pop(entry.name, None)
                if member is None or not entry.isreg() or entry.size != member.size:
                    raise InputError(f"the archive holds {entry.name}, which its manifest does not name so")
                _take(archive, entry, member, into)
        while reader.read(_COPY):
            pass  # to the end of the file: a cut one is noticed there
    except tarfile.TarError as exc:
        raise InputError(f"the archive is damaged: {exc}") from exc
    if wanted:
        raise InputError(f"the archive lacks {next(iter(wanted))}")
    return manifest


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry)
    if file is None:
        raise InputError("the archive's manifest is no file")
    return file.read()


def _take(archive: tarfile.TarFile, entry: tarfile.TarInfo, member: Member, into: Path | None) -> None:

    file = archive.extractfile(entry)
    if file is None:
        raise InputError(f"{entry.name} is no file")
    hasher = hashlib.sha256()
    sink = None
    try:
        if into is not None:
            path = into / member.path
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            sink = path.open("xb")
            os.fchmod(sink.fileno(), member.mode)
        while chunk := file.read(_COPY):
            hasher.update(chunk)
            if sink is not None:
                sink.write(chunk)
    finally:
        if sink is not None:
            sink.close()
    if hasher.hexdigest() != member.sha256:
        raise InputError(f"{member.path} is not what its manifest says")


def _make_safe(path: Path, member: Member, manifest: Manifest, now_ns: int, *, without_shares: bool) -> None:
    if member.role is Role.JOURNAL:
        mark_restored(path, backup_ns=manifest.created_ns, now_ns=now_ns)
    elif member.role is Role.PARTY:
        if without_shares:
            path.unlink()
        else:
            _purge_party(path)
    elif member.role is Role.DATABASE and manifest.zone is Zone.INSTALLATION:
        database = open_books(Database.at(path))
        try:
            freeze_restored(database, manifest.created_ns, now_ns)
        finally:
            database.dispose()


def _purge_party(path: Path) -> None:
    """Destroy shares of an epoch that was never activated. Presignatures live in memory only, and are in no file."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as store:
            store.execute("PRAGMA secure_delete=ON")
            store.execute("DELETE FROM shares WHERE NOT is_active")
            store.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    except sqlite3.Error as exc:
        raise InputError(f"{path} cannot be purged: {exc}") from exc


def _sync(folder: Path) -> None:
    for base, _, names in os.walk(folder):
        for name in (*names, "."):
            handle = os.open(Path(base) / name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
