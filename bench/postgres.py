"""A PostgreSQL server of the bench's own: in a temporary folder, on a free port, and it syncs the disk."""

from __future__ import annotations

import getpass
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runtime.processes import free_port


class NoServer(Exception):
    """PostgreSQL is not installed here."""


@contextmanager
def server(*, syncs: bool = True) -> Iterator[str]:
    """Start a server that syncs the disk at every commit, or (for comparison) never; yield its URL, and end it.

    Raises:
        NoServer: There is no PostgreSQL, or no user to run it as.
    """
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not binaries:
        raise NoServer("PostgreSQL is not installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="capstan-bench-"))
    data, control = folder / "data", binaries[-1] / "pg_ctl"
    try:
        if getpass.getuser() == "root":  # PostgreSQL refuses to run as root.
            shutil.chown(folder, "postgres")
        port, sync = free_port(), "on" if syncs else "off"
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync={sync} -c synchronous_commit={sync}"
        _run(f"{binaries[-1] / 'initdb'} -D {data} -U capstan --auth=trust -E UTF8")
        _run(f"{control} -D {data} -w -t 30 -l {folder / 'log'} -o {shlex.quote(options)} start")
        try:
            yield f"postgresql+psycopg://capstan@127.0.0.1:{port}/postgres"
        finally:
            _run(f"{control} -D {data} -m fast stop")
    except LookupError as exc:
        raise NoServer("root needs a user `postgres` to run the server as") from exc
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(command: str) -> None:
    line = ["su", "postgres", "-s", "/bin/bash", "-c", command] if getpass.getuser() == "root" else shlex.split(command)
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, cwd="/")
