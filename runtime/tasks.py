"""Background work on Celery: what runs now and then, in a process of its own, on a broker or without one.

A task is only a nudge. What there is to do stands in the database, and the task finds it there: so a lost message loses
nothing (the next one does its work), one delivered twice does nothing twice, and a worker may be killed anywhere. Tasks
take ids, never objects; one of a kind and id runs at a time, by a lock that the operating system or the database server
frees when the worker dies; and only what the error tree calls safe (`VenueUnavailable`) is tried again.

The embedded broker is a folder (`runtime.folder_queue`): no server, for one machine. `redis://…` is for several.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import structlog
from celery import Celery, signals
from kombu.exceptions import OperationalError

from domain import InputError, VenueUnavailable
from runtime import folder_queue
from runtime.database import Database
from runtime.task_settings import TaskSettings

log = structlog.get_logger(__name__)

_RETRIES_MAX: Final = 3
_VISIBILITY_S: Final = 3600

Work = Callable[..., Any]
"""What a task does; its arguments are ids. Idempotent: all it knows is in the database."""


def make_app(settings: TaskSettings, folder: Path) -> Celery:
    """Make the Celery application of an installation.

    Args:
        settings: Which broker.
        folder: For the embedded broker's queue and the schedule's memory; made when it is missing.

    Raises:
        InputError: The broker is neither Redis nor embedded.
    """
    folder.mkdir(parents=True, exist_ok=True)
    signals.beat_embedded_init.connect(_bound_to(os.getpid()), weak=False, dispatch_uid="capstan.bound")
    signals.worker_process_init.connect(_end_orphans_of(os.getpid()), weak=False, dispatch_uid="capstan.orphan")
    app = Celery("capstan", set_as_current=False)
    app.conf.update(
        task_default_queue=settings.namespace,
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        # A message is done with when its work is: a worker that dies gives it back (Redis), or the next nudge comes.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.concurrency,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        broker_connection_retry_on_startup=True,
        beat_schedule_filename=str(folder / "beat"),
        # Every task is one of a kind: a nudge that waited longer than the next one is of no use.
        beat_max_loop_interval=1,
        enable_utc=True,
        timezone="UTC",
        **_broker(settings, folder),
    )
    return app


def _bound_to(worker: int) -> Callable[..., None]:
    """For the processes of a worker, which do not all notice when it is killed. Not by the kernel's signal: that comes
    when the thread ends that forked them, also in an orderly shutdown."""

    def end_with_it() -> None:
        while os.getppid() == worker:
            time.sleep(0.5)
        os._exit(1)

    def watch(**_signal: Any) -> None:
        threading.Thread(target=end_with_it, name="tasks.bound", daemon=True).start()

    return watch


def _end_orphans_of(worker: int) -> Callable[..., None]:
    """For the processes that do the tasks: Celery has the kernel end them with their worker, but only from here on. One
    whose worker was killed just before would wait for ever where a brother died with the queue's lock."""

    def look(**_signal: Any) -> None:
        if os.getpid() != worker and os.getppid() != worker:  # A pool without processes says so in the worker itself.
            os._exit(1)

    return look


def _broker(settings: TaskSettings, folder: Path) -> dict[str, Any]:
    url = settings.broker
    if url.startswith(("redis://", "rediss://")):
        options = {"visibility_timeout": _VISIBILITY_S, "global_keyprefix": f"{settings.namespace}:"}
        return {"broker_url": url, "broker_transport_options": options}
    if url:
        raise InputError(f"tasks.broker: {url.partition(':')[0]} is not supported", hint="write redis://host:port/0")
    queue, control = folder / "queue", folder / "control"
    for path in (queue, control):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return {
        "broker_url": f"{folder_queue.SCHEME}://",
        "broker_transport_options": {
            "data_folder_in": str(queue),
            "data_folder_out": str(queue),
            "control_folder": str(control),
        },
        # Remote control broadcasts to queues per worker, which nobody would empty in a folder.
        "worker_enable_remote_control": False,
    }


def add_task(app: Celery, name: str, work: Work, *, lock: Callable[[], Database]) -> None:
    """Register a task of one's own kind.

    Args:
        app: Made by `make_app`.
        name: `deposits.scan`.
        work: See `Work`.
        lock: Opens the database whose locks let one run of a name and its ids at a time; closed after each run.
    """

    def run(*ids: Any) -> None:
        run_alone(lock, name, work, ids)

    app.task(
        run,
        name=name,
        shared=False,  # Of this application alone: another may have a task of the same name.
        autoretry_for=(VenueUnavailable,),
        max_retries=_RETRIES_MAX,
        retry_backoff=True,
        retry_backoff_max=30,
        retry_jitter=True,
    )


def run_alone(lock: Callable[[], Database], name: str, work: Work, ids: tuple[Any, ...] = ()) -> bool:
    """Do a task's work unless it is being done; give whether it was.

    Raises:
        VenueUnavailable: Somebody did not answer: it may be tried again.
        PlatformError: What the work raised.
    """
    topic = "/".join(("task", name, *map(str, ids)))
    database = lock()
    try:
        with ExitStack() as held:
            try:
                held.enter_context(database.writer_lock(topic))
            except InputError:  # Another process holds it: the work is being done.
                log.debug("tasks.busy", task=name, ids=ids)
                return False
            work(*ids)
            return True
    finally:
        database.dispose()


@dataclass(frozen=True, slots=True)
class Job:
    """A task for certain ids, and how often it is nudged."""

    name: str
    ids: tuple[Any, ...]
    every_s: float


def schedule(app: Celery, jobs: Sequence[Job]) -> None:
    """Say how often tasks are nudged. A nudge that nobody took until the next one is dropped."""
    app.conf.beat_schedule = {
        "/".join((job.name, *map(str, job.ids))): {
            "task": job.name,
            "schedule": job.every_s,
            "args": job.ids,
            "options": {"expires": max(job.every_s, 1.0)},
        }
        for job in jobs
    }


def nudge(app: Celery, name: str, *ids: Any) -> None:
    """Ask for a task now.

    Raises:
        VenueUnavailable: The broker does not answer.
    """
    try:
        app.send_task(name, args=ids, ignore_result=True, retry=False)
    except (OperationalError, OSError) as exc:
        raise VenueUnavailable(f"the task broker does not answer: {exc}") from exc
