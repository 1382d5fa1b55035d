"""The anvil process: found in node_modules, started on a free port, never outliving us."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from functools import partial
from pathlib import Path
from typing import Final

from chain.devnet.accounts import GENESIS_TIME_S, TEST_MNEMONIC
from domain.errors import InputError, VenueUnavailable
from runtime.processes import die_with_parent

REPOSITORY: Final = Path(__file__).resolve().parents[2]
_ANVIL: Final = "node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
_STOP_TIMEOUT_S: Final = 5.0
_STATES_PREFIX: Final = "capstan-anvil-"


def node_modules(root: Path = REPOSITORY) -> Path:
    """Give the folder of npm packages.

    Raises:
        InputError: They are not installed.
    """
    folder = root / "node_modules"
    if not folder.is_dir():
        raise InputError(f"the npm packages are not installed in {root}", hint="Run `make install`.")
    return folder


def anvil_path(root: Path = REPOSITORY) -> Path:
    """Give the anvil binary.

    Raises:
        InputError: It is not installed.
    """
    path = root / _ANVIL
    if not path.is_file():
        raise InputError("the anvil node is not installed", hint="Run `make install` (it takes anvil from npm).")
    return path


def ensure_free(host: str, port: int) -> None:
    """Check that we may listen.

    Raises:
        InputError: Somebody does already, or the host is not ours.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as exc:
            raise InputError(
                f"cannot listen on {host}:{port}: {exc.strerror}", hint="Choose another port with --port."
            ) from exc


class AnvilNode:
    """A running anvil. Start it from the main thread: it is killed when the thread that started it ends."""

    def __init__(
        self,
        host: str,
        port: int,
        chain_id: int,
        *,
        genesis_time_s: int = GENESIS_TIME_S,
        order: str = "fees",
        epoch_blocks: int = 32,
    ) -> None:
        self.host = host
        self.port = port
        self.chain_id = chain_id
        self._genesis_time_s = genesis_time_s
        self._order = order
        self._epoch_blocks = epoch_blocks
        self._process: subprocess.Popen[bytes] | None = None
        self._states: Path | None = None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def process_id(self) -> int:
        if self._process is None:
            raise InputError("the node was not started")
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def launch(self) -> None:
        """Start the process; it may take a moment until it answers (`wait_until_listening`)."""
        ensure_free(self.host, self.port)
        ours = os.getpid()
        self._states = _make_states_folder(ours)
        self._process = subprocess.Popen(
            [
                *(str(anvil_path()), "--silent", "--hardfork", "prague", "--no-request-size-limit"),
                *("--order", self._order, "--slots-in-an-epoch", str(self._epoch_blocks)),
                *("--host", self.host, "--port", str(self.port)),
                *("--chain-id", str(self.chain_id), "--timestamp", str(self._genesis_time_s)),
                *("--mnemonic", TEST_MNEMONIC, "--cache-path", str(self._states)),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            # A terminal's Ctrl-C must reach us alone, so that we end the node in order.
            start_new_session=True,
            preexec_fn=partial(die_with_parent, ours),  # noqa: PLW1509 - two system calls
        )

    async def wait_until_listening(self, timeout_s: float = 10.0) -> None:
        """Wait for the port.

        Raises:
            VenueUnavailable: The process ended, or did not listen in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    if not self.is_running:
                        raise VenueUnavailable("anvil ended while starting")
                    with contextlib.suppress(OSError):
                        _, writer = await asyncio.open_connection(self.host, self.port)
                        writer.close()
                        return
                    await asyncio.sleep(0.02)
        except TimeoutError as exc:
            raise VenueUnavailable(f"anvil did not listen on {self.host}:{self.port} in {timeout_s} s") from exc

    async def wait_until_ended(self) -> int:
        """Wait for the process to end of itself; give its exit status."""
        while self._process is not None:
            status = self._process.poll()
            if status is not None:
                return status
            await asyncio.sleep(0.2)
        return 0

    def stop(self) -> None:
        """End the process; kill it when it does not obey. Safe to repeat."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        states, self._states = self._states, None
        if states is not None:
            shutil.rmtree(states, ignore_errors=True)


def _make_states_folder(ours: int) -> Path:
    """Make the folder where anvil keeps the states of old blocks, and remove those of processes that were killed.

    anvil removes its own only when it ends in order: by default they gather in the home directory, 150 MB each.
    """
    parent = Path(tempfile.gettempdir())
    for left in parent.glob(f"{_STATES_PREFIX}*"):
        owner = left.name.removeprefix(_STATES_PREFIX).partition("-")[0]
        if left.is_dir() and not left.is_symlink() and owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_STATES_PREFIX}{ours}-"))
