"""Runs the same case here and in other people's engines, by turns, and compares.

`with Peer.open("hftbacktest") as peer:` installs it on first use (`uv sync --locked` in its folder), starts
`bench.peers.<name>.peer` in its environment and talks JSON with it, a line each way (`bench/peers/child.py`). What
cannot be had here (no network, no interpreter of its version) is `Unavailable`, with the reason.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from bench.market import Market, market
from bench.rows import Row, figure_row, ratio_row

_ROOT = Path(__file__).parent.parent
_PEERS = _ROOT / "bench/peers"
_INSTALL_S, _ANSWER_S = 600, 300
PEERS = ("hftbacktest", "nautilus", "nautilus2")

TERMS = {"latency_ns": 1_000_000, "maker_fee": 0.0002, "taker_fee": 0.0005, "size": 20, "position_max": 200}
"""What every side is told: 1 ms each way, fees, and in lots the size of an order and where quoting one way ends."""

Answer = dict[str, Any]


class Unavailable(Exception):
    """The peer cannot be installed here; the text says why."""


class Peer:
    """A process that runs one case once each time it is asked."""

    def __init__(self, name: str, command: list[str]) -> None:
        self.name = name
        self.versions: dict[str, str] = {}
        self.cases: list[str] = []
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

    def load(self, traded: Market, path: Path) -> None:
        """Give the peer its market, from a file of records already written."""
        answer = self.ask(
            "market",
            path=str(path),
            layout=traded.events.dtype.descr,
            tick=float(traded.tick),
            lot=float(traded.lot),
            price_decimals=-traded.tick.as_tuple().exponent,
            size_decimals=-traded.lot.as_tuple().exponent,
        )
        self.versions, self.cases = answer["versions"], answer["cases"]

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

    @property
    def pid(self) -> int:
        return self._process.pid

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


class Arena:
    """Our process and the peers' that can be had, over one market."""

    def __init__(self, names: tuple[str, ...] = PEERS) -> None:
        self.market = market()
        self.missing: dict[str, str] = {}
        self.sides = {"capstan": Peer.ours()}
        for name in names:
            try:
                self.sides[name] = Peer.open(name)
            except Unavailable as error:
                self.missing[name] = str(error)
        self._loaded = on(self.market, list(self.sides.values()))

    def __enter__(self) -> Arena:
        self._loaded.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._loaded.__exit__(*error)

    def compare(self, case: str, *, rounds: int = 7, **parameters: Any) -> dict[str, Answer]:
        """Run a case on every side that has it, by turns."""
        runs = {
            name: partial(side.ask, case, **TERMS, **parameters)
            for name, side in self.sides.items()
            if case in side.cases
        }
        return interleave(runs, rounds=rounds)

    def profile(self, case: str, *, rounds: int = 10, **parameters: Any) -> str:
        """Say where our side's time goes, by sampling with `perf` where that is installed."""
        ours = self.sides["capstan"]
        if shutil.which("perf") is None:
            return "no profile: `perf` is not installed (Debian: linux-perf)"
        with tempfile.TemporaryDirectory() as folder:
            data = f"{folder}/perf.data"
            command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", "4000", "-o", data, "-p", str(ours.pid)]
            sampler = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                for _ in range(rounds):
                    ours.ask(case, **TERMS, **parameters)
            finally:
                sampler.send_signal(signal.SIGINT)
                sampler.wait(30)
            command = ["perf", "report", "--stdio", "-q", "--no-children", "--percent-limit", "1.5", "-i", data]
            told = subprocess.run([*command, "-s", "symbol"], capture_output=True, text=True, check=False)
        lines = [line.rstrip() for line in told.stdout.splitlines() if line.strip() and not line.startswith("#")]
        return "\n".join(lines[:25]) or f"no profile: {told.stderr.strip()[-200:]}"

    def sides_told(self, answers: dict[str, Answer]) -> str:
        """Set the sides' rates and outcomes beside one another."""
        lines = []
        for name, answer in answers.items():
            cpu, outcome = answer["cpu_seconds"], []
            for key in ("wakes", "actions", "fills", "position"):
                if key in answer:
                    outcome.append(f"{key} {answer[key]:,}")
            versions = " ".join(f"{what} {which}" for what, which in self.sides[name].versions.items())
            rate = f"{answer['rows'] / cpu / 1e6:7.2f} M rows/s"
            seconds = f"cpu {cpu * 1e3:8.1f} ms, wall {answer['seconds'] * 1e3:8.1f} ms"
            warm = f", first {answer['warm_seconds']:.1f} s more" if answer["warm_seconds"] >= 0.1 else ""
            lines.append(f"  {versions:<48} {rate}  {seconds}{warm}  {', '.join(outcome)}".rstrip())
        lines += [f"  {name}: {why}" for name, why in self.missing.items()]
        return "\n".join(lines)


def against(
    answers: dict[str, Answer], missing: dict[str, str], targets: dict[str, float | None], *, name: str
) -> list[Row]:
    """Make a row for each peer: our rows a processor second over its own; without a target it is told, not judged."""
    ours, rows = answers["capstan"], list[Row]()
    rate = ours["rows"] / ours["cpu_seconds"] / 1e6
    for peer, target in targets.items():
        if peer not in answers:
            why = missing.get(peer, "no such case there")
            rows.append(figure_row(topic="engine", name=name, ours=rate, unit="M rows/s", peer_name=f"{peer}: {why}"))
            continue
        ratio = answers[peer]["cpu_seconds"] / ours["cpu_seconds"]
        make = figure_row if target is None else partial(ratio_row, target=target)
        rows.append(make(topic="engine", name=name, ours=rate, unit="M rows/s", peer_name=peer, ratio=ratio))
    return rows


@contextmanager
def on(traded: Market, peers: list[Peer]) -> Iterator[None]:
    """Give every process the same market; close them all afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "market.events"
        traded.events.tofile(path)
        try:
            for peer in peers:
                peer.load(traded, path)
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


@contextmanager
def live_peer(count: int = 3_000) -> Iterator[Callable[[], Answer]]:
    """Give a function that measures NautilusTrader's live engines once: a quote in, the order at its adapter out.

    Its answer has `min_ns`, `p50_ns`, `p90_ns` and `p99_ns`; neither decoding nor signing is in it, see
    bench/peers/nautilus/live.py. Ask it by turns with what it is compared with.

    Raises:
        Unavailable: It cannot be installed here.
    """
    peer = Peer.open("nautilus")
    with on(market(), [peer]):
        yield partial(peer.ask, "live", count=count, **TERMS)


def started(peer: Callable[[], Peer], traded: Market, case: str) -> float:
    """Give the seconds from starting a fresh process to the end of a case on a market of a few rows."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "first.events"
        traded.events.tofile(path)
        began = time.perf_counter()
        with peer() as process:
            process.load(traded, path)
            process.ask(case, **TERMS)
            return time.perf_counter() - began
