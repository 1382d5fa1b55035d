"""A devnet on disk: its state as anvil writes it, and what stands on it."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from chain.devnet.world import DevnetWorld
from domain.errors import InputError

_FORMAT: Final = "capstan-devnet-1"


class SavedDevnet(msgspec.Struct, frozen=True):
    """Everything a devnet was when it was dumped, blocks included."""

    world: DevnetWorld
    state: str
    """anvil's own dump: compressed, as 0x text."""
    format: str = _FORMAT

    @classmethod
    def read(cls, path: Path) -> SavedDevnet:
        """Read a dump.

        Raises:
            InputError: Unreadable, or no dump of ours.
        """
        try:
            saved = msgspec.json.decode(path.read_bytes(), type=cls)
        except OSError as exc:
            raise InputError(f"cannot read {path}: {exc.strerror}") from exc
        except msgspec.MsgspecError as exc:
            raise InputError(f"{path} is no dump of a devnet: {exc}", hint="Make one with --dump.") from exc
        if saved.format != _FORMAT:
            raise InputError(f"{path} is a dump of format {saved.format!r}, expected {_FORMAT!r}")
        return saved

    def write(self, path: Path) -> None:
        """Write a dump in one step, so that nobody reads half of it.

        Raises:
            InputError: The file cannot be written.
        """
        partial = path.with_name(path.name + ".partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(msgspec.json.encode(self))
            partial.replace(path)
        except OSError as exc:
            raise InputError(f"cannot write {path}: {exc.strerror}") from exc
