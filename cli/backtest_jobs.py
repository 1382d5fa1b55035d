"""The worker's side of backtests over the API: how many at a time, from which folder, and when to let go."""

from __future__ import annotations

import multiprocessing
from typing import TYPE_CHECKING, Any, Final

from cli.data_dir import DataDir
from cli.settings import Settings

if TYPE_CHECKING:
    from runtime import Clock
    from runtime.database import Database

BACKTESTS_S: Final = 1.0
"""How often it is looked whether one waits."""


def backtest_slots(settings: Settings) -> int:
    """How many backtests run at a time: one task of the worker is always left for everything else."""
    return min(settings.backtests.slots, settings.tasks.concurrency - 1)


class Stopping:
    """Whether the worker is to end, as its pool's processes see it. Made before they are."""

    def __init__(self) -> None:
        self._event = multiprocessing.Event()

    def __call__(self) -> bool:
        return self._event.is_set()

    def watch(self) -> None:
        """Be set as soon as Celery is told to end: it waits for what runs, and a backtest may run for long."""
        from celery.signals import worker_shutting_down

        worker_shutting_down.connect(self._stop, weak=False)

    def _stop(self, **_about: Any) -> None:
        self._event.set()


def run_backtest(
    settings: Settings, data: DataDir, database: Database, clock: Clock, stopping: Stopping, slot: int
) -> bool:
    """Run the next backtest to its end in a slot that is ours; give whether there was one.

    Raises:
        VenueUnavailable: The database does not answer; it begins anew when it does.
    """
    from api.backtests.queue import Queue
    from api.backtests.runner import Runner

    queue = Queue(database, clock.now_ns, backtest_slots(settings))
    recordings = data.root / settings.backtests.recordings
    runner = Runner(queue, settings.backtests, recordings, data.root / "tasks" / "backtests", stopping)
    return runner.run(slot)
