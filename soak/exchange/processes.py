"""The exchange and the trader as processes, which die with this one."""

from __future__ import annotations

import json
import multiprocessing
import multiprocessing.process
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from runtime.processes import free_port, spawn, terminate
from soak.exchange.trader import API_KEY, SECRET, SYMBOLS, run_trader

READY_S = 30.0
END_S = 90.0
_POLL_S = 0.02


class RunFailed(Exception):
    """A process did something that no fault excuses: ended early, hung, or left no result."""


class ExchangeProcess:
    """`capstan sandbox serve` with faults on call; with a `journal` it may be killed and started again."""

    def __init__(self, folder: Path, seed: int, *, journal: bool) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder
        self._seed = seed
        self._journal = journal
        self._process: subprocess.Popen[bytes] | None = None
        account = {
            "name": "ours",
            "api_key": API_KEY,
            "secret": SECRET,
            "balances": {"ETH": "10000", "BTC": "1000", "USDC": "50000000"},
        }
        folder.joinpath("accounts.json").write_text(json.dumps({"accounts": [account]}))

    def start(self) -> None:
        arguments = [sys.executable, "-m", "cli", "sandbox", "serve", "--port", str(self.port), "--faults", "--json"]
        arguments += ["--symbols", ",".join(SYMBOLS), "--seed", str(self._seed)]
        arguments += ["--accounts", str(self._folder / "accounts.json")]
        if self._journal:
            arguments += ["--journal", str(self._folder / "exchange")]
        self._process = spawn(arguments, log=self._folder / "exchange.log")
        deadline = time.monotonic() + READY_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RunFailed(f"the exchange did not start: see {self._folder / 'exchange.log'}")
            time.sleep(_POLL_S)

    def fault(self, **order: Any) -> None:
        self._post("/_sandbox/faults", order)

    def struck(self) -> dict[str, int]:
        found: dict[str, int] = self._get("/_sandbox/faults")["struck"]
        return found

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        if self._process is not None:
            terminate(self._process)

    def _answers(self) -> bool:
        try:
            self._get("/_sandbox/health")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self.url + path, timeout=10) as reply:
            found: dict[str, Any] = json.loads(reply.read())
            return found

    def _post(self, path: str, value: dict[str, Any]) -> None:
        body = json.dumps(value).encode()
        request = urllib.request.Request(self.url + path, data=body, headers={"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=10) as reply:
            reply.read()


class TraderProcess:
    """Our side on one folder. It may be killed and started again there.

    Forked off a server that has imported everything, which takes seconds; a process of its own it is.
    """

    def __init__(self, folder: Path, url: str, seed: int, *, feed: str) -> None:
        self._folder = folder
        self._arguments = (url, folder, seed, feed)
        self._processes = multiprocessing.get_context("forkserver")
        self._processes.set_forkserver_preload([*(["ccxt.pro"] if feed == "ccxt" else []), "soak.exchange.trader"])
        self._process: multiprocessing.process.BaseProcess | None = None
        self.starts = 0

    def start(self) -> None:
        self._process = self._processes.Process(target=run_trader, args=self._arguments, daemon=True)
        self._process.start()
        self.starts += 1

    def status(self) -> dict[str, Any]:
        """What the process that runs now last said of itself; nothing until it has."""
        try:
            found: dict[str, Any] = json.loads((self._folder / "status.json").read_text())
        except (OSError, ValueError):
            return {}
        return found if self._process is not None and found.get("pid") == self._process.pid else {}

    @property
    def has_ended(self) -> bool:
        return self._process is None or not self._process.is_alive()

    def kill(self) -> None:
        if self._process is not None and self._process.is_alive():
            self._process.kill()
            self._process.join()

    def stop(self) -> dict[str, Any]:
        """Ask it to end, and read what it says in the end.

        Raises:
            RunFailed: It does not end in time, or not well.
        """
        if self._process is None:
            raise RunFailed("the trader was not started")
        self._process.terminate()
        self._process.join(END_S)
        if self._process.is_alive():
            self.kill()
            raise RunFailed("the trader did not stop")
        if self._process.exitcode:
            raise RunFailed(f"the trader ended with {self._process.exitcode}: see {self._folder / 'trader.out'}")
        result: dict[str, Any] = json.loads((self._folder / "result.json").read_text())
        return result
