"""A client as docs/api/streams.md tells people to write one: by prev and seq, resuming where it stands."""

from __future__ import annotations

import json
from typing import Any


class Gap(Exception):
    """A delta does not follow what is known: subscribe anew."""


class View:
    """One channel as its reader knows it."""

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.seq: int | None = None
        self.state: dict[str, Any] = {}
        self.events: dict[str, Any] = {}
        """Every value ever told, of event channels."""

    def take(self, message: bytes) -> None:
        said = json.loads(message)
        if said["t"] == "snap":
            self.state = dict(said["d"])
        else:
            if said["epoch"] != self.epoch or said["prev"] != self.seq:
                raise Gap(f"{said['prev']} does not follow {self.seq}")
            for key, value in said["d"].items():
                if value is None:
                    self.state.pop(key, None)
                else:
                    self.state[key] = value
        self.events |= {key: value for key, value in said["d"].items() if value is not None}
        self.epoch, self.seq = said["epoch"], said["seq"]
