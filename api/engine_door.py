"""The engine's process, as the API asks it: over its control socket, which only the installation's user may open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runtime import tracing
from runtime.control_client import ControlClient


class EngineDoor:
    """Asks, over one connection for all requests; see `runtime.control.ask_control` for what it raises."""

    def __init__(self, control: Path) -> None:
        self.control = control
        self._client = ControlClient(control)

    async def ask(self, command: str, *, timeout_s: float = 10.0, **request: Any) -> dict[str, Any]:
        with tracing.span("engine.ask", command=command):
            if parent := tracing.traceparent():
                request["trace"] = parent
            return await self._client.ask({"command": command, **request}, timeout_s=timeout_s)
