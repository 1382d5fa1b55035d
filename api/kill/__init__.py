"""The kill switch: pressed by one, at once; released by two."""

from api.kill.switch import KillSwitch, Mode, Press, Target, TargetKind

__all__ = ["KillSwitch", "Mode", "Press", "Target", "TargetKind"]
