"""The files of a data directory, named in one place."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class DataDir:
    """Where one installation keeps everything that must survive it."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "capstan.toml"

    @property
    def address_book(self) -> Path:
        return self.root / "devnet.json"

    @property
    def world(self) -> Path:
        """Where the demo's world listens; there while the world lives."""
        return self.root / "world.json"

    @property
    def people(self) -> Path:
        """Who is in the world of `capstan up --demo`, with their keys."""
        return self.root / "people.json"

    @property
    def lease(self) -> Path:
        """Touched by the demo; the world ends when nobody has touched it for a while."""
        return self.root / "world.lease"

    @property
    def status(self) -> Path:
        """The engine's state, rewritten several times a second."""
        return self.root / "status.json"

    @property
    def result(self) -> Path:
        return self.root / "result.json"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def journal(self) -> Path:
        return self.root / "journal.bin"

    @property
    def signals(self) -> Path:
        """What strategies signal, as lines of JSON."""
        return self.root / "signals.jsonl"

    @property
    def control(self) -> Path:
        return self.root / "engine.sock"

    @property
    def dex_control(self) -> Path:
        """Where the process that quotes and swaps on the chain listens."""
        return self.root / "dex.sock"

    @property
    def api_key(self) -> Path:
        """The API server's own key, mode 0600."""
        return self.root / "api.key"

    @property
    def engine_pid(self) -> Path:
        return self.root / "engine.pid"

    @property
    def venues(self) -> Path:
        """What the exchange adapters keep: ids of orders that a venue knows by another name."""
        return self.root / "venues"

    @property
    def strategies(self) -> Path:
        """A file for each strategy that was made over the API."""
        return self.root / "strategies"

    @property
    def logs(self) -> Path:
        return self.root / "logs"


def write_json(path: Path, value: Any) -> None:
    """Replace a JSON file at once: a reader sees the old one or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(msgspec.json.encode(value))
    temporary.replace(path)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON file that `write_json` wrote; None when it is not there."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
