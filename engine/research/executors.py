"""Where units of work are done: here, in processes of this machine, or by Celery workers anywhere.

Answers come in the order of the units, whoever was first: the same result on one process and on many.
"""

from __future__ import annotations

import multiprocessing
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from domain import InputError, PlatformError, VenueUnavailable
from engine.research.units import Answer, Unit, do_unit

if TYPE_CHECKING:
    from celery import Celery

    from runtime.task_settings import TaskSettings

TASK: Final = "research.unit"
_POLL_S: Final = 0.02
_SENT_MAX: Final = 3

Progress = Callable[[int, int], None]


def _quiet(done: int, total: int) -> None:
    pass


class Executor(Protocol):
    """Does units of work."""

    def run(self, units: Sequence[Unit], progress: Progress = _quiet) -> list[Answer]:
        """Do them all and return the answers in order.

        Raises:
            InputError: One cannot be done.
            VenueUnavailable: Nobody does them.
        """
        ...


class Here:
    """One after the other, in this process."""

    def run(self, units: Sequence[Unit], progress: Progress = _quiet) -> list[Answer]:
        answers = []
        for at, unit in enumerate(units):
            progress(at, len(units))
            answers.append(do_unit(unit))
        progress(len(units), len(units))
        return answers


class Processes:
    """Several processes of this machine, started anew and ended by `close`."""

    def __init__(self, count: int) -> None:
        # Spawned, not forked: native threads and open sockets do not survive a fork.
        self._pool = ProcessPoolExecutor(count, mp_context=multiprocessing.get_context("spawn"))

    def run(self, units: Sequence[Unit], progress: Progress = _quiet) -> list[Answer]:
        waiting = {self._pool.submit(do_unit, unit): at for at, unit in enumerate(units)}
        answers: list[Answer] = [{}] * len(units)
        done = 0
        try:
            while waiting:
                progress(done, len(units))
                finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
                for one in finished:
                    answers[waiting.pop(one)] = one.result()
                    done += 1
        except BrokenProcessPool as exc:
            raise VenueUnavailable(f"a process died before its work was done: {exc}") from exc
        finally:
            for one in waiting:
                one.cancel()
        progress(done, len(units))
        return answers

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown(cancel_futures=True)


def make_research_app(settings: TaskSettings, folder: Path) -> Celery:
    """Make the Celery application that workers and coordinators of research share.

    Whoever can write to its broker can have any backtest run, own classes included: it is for machines that trust one
    another.
    """
    from runtime.folder_results import results_in
    from runtime.tasks import make_app

    app = make_app(settings, folder)
    backend = settings.broker or results_in(folder / "results")
    app.conf.update(
        result_backend=backend,
        result_backend_transport_options={"global_keyprefix": f"{settings.namespace}:"},
        result_serializer="json",
        result_expires=86_400,
    )
    app.task(_answer, name=TASK, shared=False, ignore_result=False)
    return app


def _answer(unit: Unit) -> dict[str, Any]:
    """Do a unit; what cannot be done is an answer too, not a failure of the worker."""
    try:
        return {"answer": do_unit(unit)}
    except PlatformError as exc:
        return {"refused": str(exc)}


class Workers:
    """Celery workers. A unit that nobody answers is sent again: it may be done twice, with the same answer."""

    def __init__(self, app: Celery, *, patience_s: float = 300.0) -> None:
        """Use the workers of an application.

        Args:
            app: Of `make_research_app`.
            patience_s: How long no answer at all may come before what is open is sent again, and in the end given up.
        """
        self._app, self._patience_s = app, patience_s

    def run(self, units: Sequence[Unit], progress: Progress = _quiet) -> list[Answer]:
        from kombu.exceptions import OperationalError

        try:
            return self._run(units, progress)
        except (OperationalError, OSError) as exc:
            raise VenueUnavailable(f"the task broker does not answer: {exc}") from exc

    def _run(self, units: Sequence[Unit], progress: Progress) -> list[Answer]:
        answers: list[Answer] = [{}] * len(units)
        waiting = {at: self._send(unit) for at, unit in enumerate(units)}
        heard, sent = time.monotonic(), 1
        while waiting:
            progress(len(units) - len(waiting), len(units))
            ready = [at for at, result in waiting.items() if result.ready()]
            for at in ready:
                answers[at] = self._take(waiting.pop(at))
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > self._patience_s:
                if sent == _SENT_MAX:
                    raise VenueUnavailable(f"no worker answered for {self._patience_s:.0f} s, {sent} times")
                waiting = {at: self._send(units[at]) for at in waiting}
                heard, sent = time.monotonic(), sent + 1
            else:
                time.sleep(_POLL_S)
        progress(len(units), len(units))
        return answers

    def _send(self, unit: Unit) -> Any:
        return self._app.send_task(TASK, args=(unit,), task_id=uuid.uuid4().hex, retry=False)

    def _take(self, result: Any) -> Answer:
        if result.failed():
            raise InputError(f"a worker failed: {result.result!r}")
        found: dict[str, Any] = result.result
        result.forget()
        if "refused" in found:
            raise InputError(f"a worker refused: {found['refused']}")
        answer: Answer = found["answer"]
        return answer
