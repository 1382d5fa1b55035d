"""The journal: every event, in the order the kernel saw it, written before the kernel acts on it.

    file   = magic "CAPJ0001" · record*
    record = u32 length · u32 crc32(payload) · payload       little endian

The first record is the header (JSON: what the run was configured with), the rest are MessagePack events. A record is
handed to the operating system before `append` returns, so `kill -9` loses nothing; the runner forces it to the disk
several times a second, so a power cut can lose that much. Client order ids carry an epoch that is raised at every
start, hence even then no id is used twice.

A torn last record (the process died inside `write`) is cut off on opening. A damaged record anywhere else is an error:
nothing is guessed.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import msgspec

from domain import InputError, InvariantError
from domain.events import Event

MAGIC = b"CAPJ0001"
_FRAME = struct.Struct("<II")
_RECORD_MAX = 16 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Event)


class Journal:
    """An open journal: `events` first gives what an earlier process wrote, `append` continues it."""

    def __init__(self, fd: int, path: Path, header: dict[str, Any], events: list[Event]) -> None:
        self._fd = fd
        self.path = path
        self.header = header
        self.recovered = events
        self.count = len(events)

    @classmethod
    def open(cls, path: Path, header: dict[str, Any]) -> Self:
        """Create a journal with `header`, or open the existing one and read it back; nobody else may have it open.

        Raises:
            InputError: It exists and was written under another header: its events would mean something else; or
                another process writes it.
            InvariantError: A record before the last is damaged.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            # Held until the descriptor closes, also by `kill -9`: two engines on one account would be a disaster.
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data = path.read_bytes()
            payloads, good = _split(data, path)
            if not payloads:
                os.ftruncate(fd, 0)
                os.write(fd, MAGIC + _frame(msgspec.json.encode(header)))
                os.fsync(fd)
                return cls(fd, path, header, [])
            if good < len(data):
                os.ftruncate(fd, good)
            found = msgspec.json.decode(payloads[0])
            if found != msgspec.json.decode(msgspec.json.encode(header)):
                changed = sorted(k for k in {*found, *header} if found.get(k) != header.get(k))
                raise InputError(
                    f"journal {path} was written with other settings: {', '.join(changed)} differ",
                    hint="use the settings it was started with, or another --data-dir",
                )
            return cls(fd, path, found, [_decoder.decode(p) for p in payloads[1:]])
        except BlockingIOError as exc:
            os.close(fd)
            raise InputError(
                f"journal {path} is in use by another engine", hint="one engine runs on a data directory at a time"
            ) from exc
        except BaseException:
            os.close(fd)
            raise

    def append(self, event: Event) -> None:
        """Write one event; it survives `kill -9` from here on."""
        record = _frame(_encoder.encode(event))
        written = os.write(self._fd, record)
        if written != len(record):
            raise InvariantError(f"journal {self.path}: short write ({written} of {len(record)} bytes)")
        self.count += 1

    def sync(self) -> None:
        """Force what was appended to the disk."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        if self._fd >= 0:
            os.fdatasync(self._fd)
            os.close(self._fd)
            self._fd = -1


def read_journal(path: Path) -> tuple[dict[str, Any], Iterator[Event]]:
    """Read a journal without opening it for writing: its header and its events.

    Raises:
        InputError: Missing, or not a journal.
    """
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise InputError(
            f"cannot read journal {path}: {exc.strerror}", hint="a run keeps it as DATA_DIR/journal.bin"
        ) from exc
    payloads, _ = _split(data, path)
    if not payloads:
        raise InputError(f"{path} is not a journal")
    return msgspec.json.decode(payloads[0]), (_decoder.decode(p) for p in payloads[1:])


def _frame(payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _split(data: bytes, path: Path) -> tuple[list[bytes], int]:
    """Cut the file into payloads; also say how many bytes of it are whole records."""
    if not data.startswith(MAGIC):
        if data and not MAGIC.startswith(data):
            raise InputError(f"{path} is not a journal")
        return [], 0
    payloads: list[bytes] = []
    at = len(MAGIC)
    while at < len(data):
        body = at + _FRAME.size
        if body > len(data):
            break
        length, crc = _FRAME.unpack_from(data, at)
        payload = data[body : body + length]
        if length > _RECORD_MAX or zlib.crc32(payload) != crc:
            if body + length < len(data) or length > _RECORD_MAX:
                raise InvariantError(f"journal {path}: record {len(payloads)} at byte {at} is damaged")
            break
        payloads.append(payload)
        at = body + length
    return payloads, at
