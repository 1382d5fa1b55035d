"""A committee as it runs in production: every party a process of its own, reached over mutual TLS."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from runtime.processes import free_port, spawn, terminate
from wallets.mpc import Committee, PartyLink, read_coordinator


class Processes:
    """The three parties as processes; each may be killed and started again."""

    def __init__(self, root: Path, policy: str) -> None:
        self.root = root
        self._policy = root / "policy.toml"
        self._policy.write_text(policy)
        committee = Committee.from_json((root / "coordinator" / "committee.json").read_text())
        cards = tuple(replace(card, port=free_port()) for card in committee.cards)
        moved = replace(committee, cards=cards).to_json()
        for home in ("party-1", "party-2", "party-3", "coordinator"):
            (root / home / "committee.json").write_text(moved)
        self.committee, self.tls = read_coordinator(root / "coordinator")
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        for party in (1, 2, 3):
            self._spawn(party)
        for party in (1, 2, 3):
            self._await(party)

    def links(self) -> list[PartyLink]:
        return [PartyLink(card, self.tls) for card in self.committee.cards]

    def start(self, party: int) -> None:
        self._spawn(party)
        self._await(party)

    def kill(self, party: int) -> None:
        self._running[party].send_signal(signal.SIGKILL)
        self._running[party].wait()

    def stop(self) -> None:
        assert [terminate(process) for process in self._running.values() if process.poll() is None].count(0) >= 2

    def log(self, party: int) -> str:
        return (self.root / f"party-{party}.log").read_text()

    def _spawn(self, party: int) -> None:
        command = [sys.executable, "-m", "cli", "cosigner", "serve", str(self.root / f"party-{party}")]
        self._running[party] = spawn(
            [*command, "--policy", str(self._policy), "--json"],
            log=self.root / f"party-{party}.log",
            stdout=subprocess.PIPE,
        )

    def _await(self, party: int) -> None:
        out = self._running[party].stdout
        assert out is not None
        line = out.readline()
        assert line, self.log(party)
        assert json.loads(line)["party"] == party
