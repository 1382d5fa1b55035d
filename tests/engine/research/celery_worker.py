"""A Celery worker of research, in a process of its own: `python -m tests.engine.research.celery_worker BROKER NAME`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from engine.research.executors import make_research_app
from runtime.task_settings import TaskSettings

if __name__ == "__main__":
    broker, name = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        app = (
            make_research_app(TaskSettings(broker=broker, namespace=name), Path(folder))
            if "://" in broker
            else make_research_app(TaskSettings(namespace=name), Path(broker))
        )
        app.worker_main(
            ["--quiet", "worker", "--loglevel", "ERROR", "--pool", "solo", "--without-gossip", "--without-mingle"]
        )
