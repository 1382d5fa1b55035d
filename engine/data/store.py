"""One file of 64-byte event records that is mapped, never parsed.

```text
magic "CAPSTANE"  version u32  records' offset u32  count u64  SHA-256 of the records (32)   56 bytes
length of JSON u64, then JSON: what the instruments are, zeros up to a page
records: count x 64 bytes, the layout of engine/records.py
```

Little-endian. The file is written under another name and renamed, so a store is whole or absent.
"""

from __future__ import annotations

import hashlib
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from domain import InputError
from engine.data.captures import Events
from engine.records import EVENT

_MAGIC: Final = b"CAPSTANE"
_VERSION: Final = 1
_PAGE: Final = 4096
_FIXED: Final = struct.Struct("<8sIIQ32sQ")


class StoredInstrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an instrument index in the records means."""

    index: int
    venue: str
    symbol: str
    tick_size: str
    lot_size: str


@dataclass(frozen=True, slots=True)
class Store:
    """An open store. `events` is read-only memory of the file itself."""

    path: Path
    events: Events
    instruments: tuple[StoredInstrument, ...]
    digest: str

    def verify(self) -> None:
        """Compare the records with their digest.

        Raises:
            InputError: They are not what was written.
        """
        found = _digest(self.events).hex()
        if found != self.digest:
            raise InputError(f"{self.path}: expected records with digest {self.digest}, found {found}")


def write_store(path: Path, events: Events, instruments: tuple[StoredInstrument, ...]) -> Store:
    """Write records durably and open them.

    Raises:
        InputError: Records of an instrument that is not described, or of another layout.
    """
    if events.dtype != EVENT:
        raise InputError(f"expected records of {EVENT.itemsize} bytes as in engine.records.EVENT, found {events.dtype}")
    unknown = set(np.unique(events["instrument"]).tolist()) - {one.index for one in instruments}
    if unknown:
        raise InputError(f"records of instruments that are not described: {sorted(unknown)}")
    events = np.ascontiguousarray(events)
    told = msgspec.json.encode(instruments)
    offset = -(-(_FIXED.size + len(told)) // _PAGE) * _PAGE
    head = _FIXED.pack(_MAGIC, _VERSION, offset, len(events), _digest(events), len(told)) + told
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.write(head.ljust(offset, b"\0"))
        file.write(events.view(np.uint8).data)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return open_store(path)


def open_store(path: Path) -> Store:
    """Map a store. Reads its header only; `verify` reads the rest.

    Raises:
        InputError: Not a store, another version, or cut short.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_FIXED.size)
            if len(head) < _FIXED.size or not head.startswith(_MAGIC):
                raise InputError(f"{path} is not an event store", hint="capstan data import makes one of a recording")
            _, version, offset, count, digest, length = _FIXED.unpack(head)
            told = file.read(length) if length <= offset else b""
        if version != _VERSION:
            raise InputError(f"{path}: expected version {_VERSION}, found {version}")
        expected, found = offset + count * EVENT.itemsize, path.stat().st_size
        if found != expected or offset % EVENT.itemsize:
            raise InputError(f"{path}: expected {expected} bytes, found {found}")
        instruments = msgspec.json.decode(told, type=tuple[StoredInstrument, ...])
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc}") from exc
    except msgspec.DecodeError as exc:
        raise InputError(f"{path}: its instruments cannot be read: {exc}") from exc
    events: Events = np.empty(0, EVENT)
    if count:
        events = np.memmap(path, EVENT, mode="r", offset=offset, shape=(count,))
    return Store(path, events, instruments, digest.hex())


def _digest(events: Events) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(events).view(np.uint8).data).digest()
