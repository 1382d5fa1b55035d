"""What every process needs: settings, secrets, clock, database, logging, metrics, processes and tasks."""

from runtime.clock import Clock, ManualClock, SystemClock
from runtime.logging import configure_logging
from runtime.metrics import LatencyRecorder
from runtime.secrets import Secret, SecretRef
from runtime.settings import SettingsBase, SettingsPart

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
