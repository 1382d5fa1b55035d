"""What of the audit log is configured."""

from __future__ import annotations

from pydantic import Field

from runtime import SettingsPart


class AuditSettings(SettingsPart):
    """Checkpoints of the audit log: who signs, how often, and where they go."""

    key: str = Field(default="", pattern="^((file|env):.+)?$")
    """The Ed25519 key that signs, by reference: `file:audit.key`. Without one there are no checkpoints."""
    every_records: int = Field(default=1000, ge=1)
    every_s: int = Field(default=60, ge=1)
    """A checkpoint is due after so many new records, or when there is any and the last is so old."""
    directory: str = ""
    """A folder, best mounted from another host, that gets a file for each checkpoint."""
    command: str = ""
    """A command that gets each checkpoint as a line of JSON on its standard input."""
