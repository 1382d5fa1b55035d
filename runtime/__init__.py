"""What every process needs: settings, secrets, clock, database, logging, metrics, processes and tasks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.clock import Clock, ManualClock, SystemClock
    from runtime.logging import configure_logging
    from runtime.metrics import LatencyRecorder
    from runtime.secrets import Secret, SecretRef
    from runtime.settings import SettingsBase, SettingsPart
else:
    from runtime.fronts import lazily

    _HOMES = {
        "runtime.clock": "Clock ManualClock SystemClock",
        "runtime.logging": "configure_logging",
        "runtime.metrics": "LatencyRecorder",
        "runtime.secrets": "Secret SecretRef",
        "runtime.settings": "SettingsBase SettingsPart",
    }
    __getattr__ = lazily(__name__, _HOMES)


__all__ = [
    "Clock",
    "LatencyRecorder",
    "ManualClock",
    "Secret",
    "SecretRef",
    "SettingsBase",
    "SettingsPart",
    "SystemClock",
    "configure_logging",
]
