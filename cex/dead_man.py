"""The dead-man's switch: a countdown at the venue that we keep from ending, and that cancels our orders when we cannot.

Renewed three times before it would strike, by a task beside the streams: a process that is killed, hangs or is cut off
renews nothing. Ended on a clean stop. Where a venue has no such switch, the engine's own kill is all there is, and that
needs a living engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from cex.venues.profile import Profile
from domain import InputError, PlatformError

log = structlog.get_logger(__name__)

USUAL_S: Final = 60
RENEWALS: Final = 3
"""How often it is renewed in the time it would take to strike."""
AGAIN_S: Final = 1.0


class DeadMan:
    """One account's switch. `arm` begins the countdown anew, with 0 ends it."""

    def __init__(
        self,
        venue: str,
        seconds: int,
        arm: Callable[[int], Awaitable[None]],
        *,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._venue = venue
        self._seconds = seconds
        self._arm = arm
        self._pause = pause

    async def begin(self, *, is_wanted: bool) -> bool:
        """Begin the countdown, before there is an order that it could cancel; return whether the venue does.

        Raises:
            PlatformError: It cannot be begun, and somebody asked for it (`is_wanted`).
        """
        try:
            await self._arm(self._seconds)
        except PlatformError as exc:
            if is_wanted:
                raise
            log.warning("dead_man.unavailable", venue=self._venue, error=str(exc))
            return False
        log.info("dead_man.armed", venue=self._venue, seconds=self._seconds)
        return True

    async def run(self) -> None:
        """Keep it from striking, until cancelled."""
        delay_s = self._seconds / RENEWALS
        while True:
            await self._pause(delay_s)
            try:
                await self._arm(self._seconds)
                delay_s = self._seconds / RENEWALS
            except PlatformError as exc:
                log.warning("dead_man.not_renewed", venue=self._venue, error=str(exc))
                delay_s = min(AGAIN_S, self._seconds / RENEWALS)

    async def end(self) -> None:
        """End the countdown: nothing is left for it to cancel. A failure is logged, it strikes at nothing then."""
        try:
            await self._arm(0)
        except PlatformError as exc:
            log.warning("dead_man.not_ended", venue=self._venue, error=str(exc))


def countdown_s(wanted: int | None, profile: Profile, *, is_possible: bool) -> int:
    """Decide how long the venue's countdown is; 0 is none.

    Args:
        wanted: The settings' word; None leaves it to the profile.
        is_possible: Whether the adapter has a call for it there, whatever the profile says.

    Raises:
        InputError: The venue has none, or none so short or long.
    """
    switch = profile.dead_man
    is_known = switch is not None and switch.kind == "countdown" and is_possible
    least, most = (switch.seconds_min, switch.seconds_max) if switch is not None else (0, 0)
    if wanted is None:
        return max(least, min(USUAL_S, most or USUAL_S)) if is_known else 0
    if wanted == 0:
        return 0
    if not is_possible:
        raise InputError(
            f"{profile.title} cancels nothing by itself when we fall silent: dead_man_s is {wanted}",
            hint="leave dead_man_s out: there the engine's own kill cancels",
        )
    if wanted < least or (most and wanted > most):
        raise InputError(f"dead_man_s is {wanted}, {profile.title} takes {least} to {most}")
    return wanted
