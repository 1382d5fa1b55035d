"""`capstan worker`: background work, on Redis or on a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from domain import InputError

if TYPE_CHECKING:
    from celery import Celery

    from cli.data_dir import DataDir
    from cli.jobs import Jobs
    from cli.settings import Settings
    from runtime.tasks import Job

app = typer.Typer()


@app.command()
def worker(
    data_dir: Annotated[Path, typer.Option(help="The installation.")] = Path(),
    beat: Annotated[bool, typer.Option("--beat", help="Also say when what is due; in one worker only.")] = False,
    once: Annotated[
        list[str] | None, typer.Option(help="Do this task now, here, and end; may be given several times.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Run an installation's background tasks until SIGTERM or SIGINT: webhooks, backtests, deposits, audit.

    A task only looks what there is to do in the database: workers may be killed, started and doubled as you like. With
    `tasks.broker` empty the queue is a folder of the installation and needs no server.
    """
    from cli.data_dir import DataDir
    from cli.jobs import Jobs
    from cli.settings import load_settings
    from runtime import configure_logging
    from runtime.processes import spare_the_collector

    data = DataDir(data_dir.resolve())
    settings = load_settings(data.settings)
    configure_logging(level=settings.log.level)
    jobs = Jobs(settings, data)
    due = jobs_due(settings)
    jobs.check_installation()
    if once:
        for name in once:
            _run_now(jobs, due, name)
        return
    celery = make_worker_app(settings, data, jobs, due)
    jobs.stopping.watch()
    if as_json:
        output.emit({"ready": True, "tasks": sorted({job.name for job in due})})
    else:
        output.say(f"working on {', '.join(sorted({job.name for job in due}))}")
    spare_the_collector()  # In the processes that are forked from this one, too.
    arguments = ["worker", "--loglevel", "WARNING", "--without-gossip", "--without-mingle"]
    celery.worker_main([*arguments, *(["--beat"] if beat else [])])


def jobs_due(settings: Settings) -> list[Job]:
    """What an installation needs done, and how often."""
    from api.health.checks import PULSE_S
    from cli.backtest_jobs import BACKTESTS_S, backtest_slots
    from runtime.tasks import Job

    custody, every = settings.custody, settings.tasks
    found = [
        Job("webhooks.deliver", (), every.webhooks_s),
        Job("webhooks.forget", (), every.forget_s),
        Job("effects.forget", (), every.forget_s),
        Job("alerts.watch", (), every.alerts_s),
        Job("health.pulse", (), PULSE_S),
    ]
    found += [Job("backtests.run", (slot,), BACKTESTS_S) for slot in range(backtest_slots(settings))]
    if custody is None or settings.mode != "live":
        return found
    if (deposits := custody.deposits) is not None:
        ids = (deposits.chain_id,)
        found += [
            Job("deposits.scan", ids, every.deposits_s),
            Job("deposits.confirm", ids, every.deposits_s),
            Job("deposits.sweep", ids, every.sweeps_s),
            Job("deposits.gas", ids, every.sweeps_s),
        ]
    found += [Job(name, (), every.reconcile_s) for name in ("ledger.reconcile", "ledger.solvency")]
    if custody.audit.key:
        found.append(Job("audit.checkpoint", (), every.checkpoint_s))
    found += [Job("mpc.refresh", (wallet,), every.refresh_s) for wallet in custody.mpc_wallets]
    return found


def make_worker_app(settings: Settings, data: DataDir, jobs: Jobs, due: list[Job]) -> Celery:
    """Make the Celery application with every task registered and scheduled."""
    from runtime.tasks import add_task, make_app, schedule

    celery = make_app(settings.tasks, data.root / "tasks")
    for name, work in _bodies(jobs).items():
        add_task(celery, name, work, lock=jobs.open_database)
    schedule(celery, due)
    return celery


def _run_now(jobs: Jobs, due: list[Job], name: str) -> None:
    from runtime.tasks import run_alone

    wanted = [job for job in due if job.name == name]
    if not wanted:
        raise InputError(f"no task {name} is due here", hint=f"there are {', '.join(sorted({j.name for j in due}))}")
    for job in wanted:
        done = run_alone(jobs.open_database, name, _bodies(jobs)[name], job.ids)
        output.say(f"{name} {' '.join(map(str, job.ids))}: {'done' if done else 'another process is at it'}")


def _bodies(jobs: Jobs) -> dict[str, Callable[..., None]]:
    return {
        "webhooks.deliver": jobs.deliver_webhooks,
        "webhooks.forget": jobs.forget_webhooks,
        "effects.forget": jobs.forget_keys,
        "alerts.watch": jobs.watch_alerts,
        "health.pulse": jobs.pulse,
        "backtests.run": jobs.run_backtest,
        "deposits.scan": jobs.scan,
        "deposits.confirm": jobs.confirm,
        "deposits.sweep": jobs.sweep,
        "deposits.gas": jobs.give_gas,
        "ledger.reconcile": jobs.reconcile,
        "ledger.solvency": jobs.check_solvency,
        "audit.checkpoint": jobs.checkpoint_audit,
        "mpc.refresh": jobs.refresh_shares,
    }
