"""How background work is configured; apart from `runtime.tasks`, which loads Celery."""

from __future__ import annotations

from pydantic import Field

from runtime.settings import SettingsPart


class TaskSettings(SettingsPart):
    """Background work."""

    broker: str = ""
    """`redis://host:port/db`; empty for the folder `tasks` of the installation, which needs no server."""
    namespace: str = Field(default="capstan", pattern=r"^[a-z0-9\-]{1,64}$")
    """Tells installations that share a Redis apart."""
    concurrency: int = Field(default=2, ge=1, le=64)
    """Tasks a worker runs at a time."""
    deposits_s: float = Field(default=2.0, gt=0)
    """How often deposits are looked for, and confirmed."""
    webhooks_s: float = Field(default=1.0, gt=0)
    """How often webhooks that are due are sent, and alerts told."""
    alerts_s: float = Field(default=5.0, gt=0)
    """How often it is looked how things stand: what is wrong becomes an alert."""
    forget_s: float = Field(default=3600.0, gt=0)
    """How often deliveries and Idempotency-Keys of long ago are forgotten."""
    webhooks_kept_days: int = Field(default=30, ge=1, le=3650)
    """How long a delivery is kept after its event."""
    alerts_kept_days: int = Field(default=400, ge=1, le=3650)
    """How long an alert is kept after it was over."""
    sweeps_s: float = Field(default=60.0, gt=0)
    """How often final deposits are swept, and gas is given for it."""
    checkpoint_s: float = Field(default=60.0, gt=0)
    """How often the audit log gets a signed checkpoint."""
    refresh_s: float = Field(default=24 * 3600.0, gt=0)
    """How often MPC shares are refreshed."""
    reconcile_s: float = Field(default=60.0, gt=0)
    """How often the books are compared with chain and exchanges, and what is held with what is owed."""
