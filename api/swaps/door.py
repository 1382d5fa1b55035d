"""The process that quotes and swaps on the installation's chain (`capstan dex serve`), as the API asks it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from domain import VenueUnavailable
from runtime.control import ask_control


class DexDoor:
    """Asks; for what it raises see `runtime.control.ask_control`."""

    def __init__(self, control: Path) -> None:
        self._control = control

    async def ask(self, command: str, *, timeout_s: float = 25.0, **request: Any) -> dict[str, Any]:
        if not self._control.exists():
            # The path is nobody's business who asks from outside.
            raise VenueUnavailable(
                "nothing quotes on a chain here", hint="it runs with `capstan up` where the settings have a [chain]"
            )
        return await ask_control(self._control, {"command": command, **request}, timeout_s=timeout_s)
