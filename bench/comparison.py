"""Runs the same case here and in other people's engines, by turns, and compares.

`with Peer.open("hftbacktest") as peer:` installs it on first use (`uv sync --locked` in its folder), starts
`bench.peers.<name>.peer` in its environment and talks JSON with it, a line each way (`bench/peers/child.py`). What
cannot be had here (no network, no interpreter of its version) is `Unavailable`, with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bench.market import Market

_ROOT = Path(__file__).parent.parent
_PEERS = _ROOT / "bench/peers"
_INSTALL_S, _ANSWER_S = 600, 300
PEERS = ("hftbacktest", "nautilus", "nautilus2")

Answer = dict[str, Any]


class Unavailable(Exception):
    """The peer cannot be installed here; the text says why."""


class Peer:
    """A process that runs one case once each time it is asked."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.versions: dict[str, str] = {}
        self.outside_seconds: dict[str, float] = {}
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
        environment |= {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the process)
        self._process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        )

    @classmethod
    def open(cls, name: str) -> Peer:
        """Start a peer's process, installing it first where that is needed."""
        return cls(name, [str(install(name)), "-m", f"bench.peers.{name}.peer"])

    @classmethod
    def ours(cls) -> Peer:
        """Start Capstan's side, by the same protocol in the same kind of process."""
        return cls("capstan", [sys.executable, "-m", "bench.capstan"])

    def load(self, market: Market, path: Path) -> None:
        """Give the peer its market, from a file of records already written."""
        self.versions = self.ask(
            "market",
            path=str(path),
            layout=market.events.dtype.descr,
            tick=float(market.tick),
            lot=float(market.lot),
            price_decimals=-market.tick.as_tuple().exponent,
            size_decimals=-market.lot.as_tuple().exponent,
        )["versions"]

    def ask(self, case: str, **parameters: Any) -> Answer:
        """Have one round of a case run; the peer's death is our exception, with what it last said."""
        pipe_in, pipe_out = self._pipes()
        pipe_in.write(json.dumps({"case": case, **parameters}) + "\n")
        pipe_in.flush()
        line = pipe_out.readline()
        if not line:
            self._log.seek(0)
            raise RuntimeError(f"{self.name} died in {case!r}: {self._log.read()[-1500:]}")
        answer: Answer = json.loads(line)
        return answer

    def close(self) -> None:
        pipe_in, _ = self._pipes()
        pipe_in.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _pipes(self) -> tuple[IO[str], IO[str]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


def install(name: str) -> Path:
    """Bring a peer's environment to its lock and give its interpreter; seconds when it is there already."""
    folder = _PEERS / name
    wanted = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["requires-python"]
    python = folder / ".venv" / "bin" / "python"
    uv = shutil.which("uv") or str(_ROOT / ".tools/uv/bin/uv")
    environment = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "UV_PYTHON")}
    if not python.exists():
        print(f"installing bench/peers/{name} (once; 70-160 MB are downloaded) …", file=sys.stderr)
    command = [uv, "sync", "--locked", "--quiet", "--project", str(folder), "--python", _interpreter(uv, wanted)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"not available here: {error}") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["uv sync failed"]
        raise Unavailable(f"not available here: {said[-1].strip()}")
    return python


def _interpreter(uv: str, wanted: str) -> str:
    """Find a Python for `wanted`: one uv sees, else one pyenv keeps, else uv's own download (which needs a network)."""
    for minor in ("3.11", "3.12", "3.13"):
        if not _fits(minor, wanted):
            continue
        found = subprocess.run([uv, "python", "find", minor], capture_output=True, text=True, check=False)
        if found.returncode == 0:
            return found.stdout.strip()
        kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
        for python in sorted(kept.glob(f"{minor}.*/bin/python")):
            return str(python)
    return wanted.partition(",")[0].removeprefix(">=")


def _fits(minor: str, wanted: str) -> bool:
    low, _, high = wanted.partition(",")
    version = tuple(map(int, minor.split(".")))
    return tuple(map(int, low[2:].split("."))) <= version < tuple(map(int, high[1:].split(".")))


@contextmanager
def on(market: Market, peers: list[Peer]) -> Iterator[None]:
    """Give every process the same market; close them all afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.events"
        market.events.tofile(path)
        try:
            for peer in peers:
                peer.load(market, path)
            yield
        finally:
            for peer in peers:
                peer.close()


def interleave(runs: dict[str, Callable[[], Answer]], *, rounds: int) -> dict[str, Answer]:
    """Run all by turns, there and back again (A B C, C B A, …), after one round of each that warms up.

    Give for each its last answer with the medians of seconds and processor seconds, and the warming round's excess.
    """
    warm = {name: run() for name, run in runs.items()}
    answers: dict[str, list[Answer]] = {name: [] for name in runs}
    for number in range(rounds):
        for name in runs if number % 2 else reversed(runs):
            answers[name].append(runs[name]())
    out = {}
    for name, taken in answers.items():
        out[name] = dict(taken[-1])
        for key in ("seconds", "cpu_seconds"):
            out[name][key] = statistics.median(answer[key] for answer in taken)
        out[name]["warm_seconds"] = max(0.0, warm[name]["seconds"] - out[name]["seconds"])
    return out


def started(peer: Callable[[], Peer], market: Market, case: str, **parameters: Any) -> float:
    """Give the seconds from starting a fresh process to the end of a case on a market of a few rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "first.events"
        market.events.tofile(path)
        began = time.perf_counter()
        with peer() as process:
            process.load(market, path)
            process.ask(case, **parameters)
            return time.perf_counter() - began
