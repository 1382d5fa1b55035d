"""The embedded broker: messages as files of a folder, put and taken whole.

kombu's filesystem transport opens a message's file, then writes it: a reader in between takes an empty one, and so
does everyone after a writer was killed there. Either ends the worker. Here a file has its name only once it is written,
and one that cannot be read (a broken disk, an older version) is dropped with a line in the log: a task is only a nudge.
Messages stay within the folder, which only its owner reads; kombu moves what it takes through the machine's /tmp.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from queue import Empty
from typing import Any, Final

import structlog
from kombu.exceptions import ChannelError
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport.filesystem import Channel as FilesystemChannel
from kombu.transport.filesystem import Transport as FilesystemTransport
from kombu.transport.filesystem import exchange_queue_t
from kombu.transport.virtual import BrokerState
from kombu.utils.json import dumps, loads

log = structlog.get_logger(__name__)

SCHEME: Final = "folder"
"""`folder://` is a broker address once this module is imported."""


def put_whole(path: Path, content: str) -> None:
    """Write a file that nobody sees half of. It is not synced: a nudge lost with the power comes again."""
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    unfinished.write_text(content, encoding="utf-8")
    unfinished.replace(path)


class Channel(FilesystemChannel):
    """See the module. Options: as of kombu's filesystem transport, without `processed_folder`."""

    def _put(self, queue: str, payload: Any, **_kwargs: Any) -> None:  # type: ignore[override]
        # Names sort by age: that is the order in which they are taken.
        name = f"{time.time_ns():020d}_{uuid.uuid4()}.{queue}.msg"
        try:
            put_whole(Path(self.data_folder_out) / name, dumps(payload))
        except OSError as error:
            raise ChannelError(f"cannot write to {self.data_folder_out}: {error}") from error

    def _get(self, queue: str, timeout: float | None = None) -> Any:
        folder = Path(self.data_folder_in)
        for name in sorted(path.name for path in folder.iterdir()):
            if name.startswith(".") or name.partition(".")[2] != f"{queue}.msg":
                continue
            taken = folder / f".taken_{name}"
            try:
                (folder / name).rename(taken)
            except FileNotFoundError:
                continue  # Another worker was first.
            try:
                return loads(taken.read_text(encoding="utf-8"))
            except ValueError:
                log.warning("tasks.unreadable", message=name)
            finally:
                taken.unlink(missing_ok=True)
        raise Empty

    def get_table(self, exchange: str) -> list[exchange_queue_t]:
        """Which queues an exchange has; none where its file is missing or cannot be read."""
        try:
            return [exchange_queue_t(*row) for row in loads(self._exchange_file(exchange).read_text(encoding="utf-8"))]
        except (FileNotFoundError, ValueError):
            return []

    def _queue_bind(self, exchange: str, routing_key: str, pattern: str, queue: str) -> None:
        table, row = self.get_table(exchange), exchange_queue_t(routing_key or "", pattern or "", queue or "")
        if row not in table:
            self.control_folder.mkdir(exist_ok=True)
            put_whole(self._exchange_file(exchange), dumps([row, *table]))


class Transport(FilesystemTransport):
    """`folder://`."""

    Channel = Channel
    driver_type = driver_name = SCHEME

    def __init__(self, client: Any, **options: Any) -> None:
        super().__init__(client, **options)
        # kombu remembers bindings for the whole process; another installation's folder does not have them.
        self.state = BrokerState()


TRANSPORT_ALIASES[SCHEME] = f"{__name__}:Transport"
