"""The custody drill, whole: real processes, a real chain, everything lost and brought back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.drill.stage import Report, StepFailed, perform
from domain import InvariantError
from runtime.processes import is_alive
from tests.cli.demo_run import ROOT
from tests.wallets.hsm.soft_token import softhsm_module

STEPS = [
    "devnet",
    "ceremony: root key, shares, transcript",
    "HSM key",
    "three cosigners, 2-of-3 MPC key",
    "policy signed by two administrators",
    "installation and its processes",
    "cosigners backed up",
    "deposit credited",
    "sweep signed by the HSM key",
    "withdrawal approved by two, signed by MPC",
    "withdrawal final and booked",
    "ledger and audit verified",
    "cosigner destroyed, its share restored",
    "whole installation backed up",
    "everything destroyed",
    "restored into empty folders",
    "reconciled with the chain, unfrozen by two",
    "balances verified in the restored installation",
    "another withdrawal signed there",
]


@pytest.mark.demo
@pytest.mark.anvil
@pytest.mark.timeout(240)
def test_the_drill_brings_everything_back_and_pays_once_more(tmp_path: Path) -> None:
    softhsm_module()
    folder = tmp_path / "d"
    done = drill("--keep", str(folder), "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)  # and nothing else on standard output
    assert report["ok"] is True
    assert [step["step"] for step in report["steps"]] == STEPS
    assert all(step["ok"] and step["seconds"] >= 0 for step in report["steps"])
    found = {step["step"]: step for step in report["steps"]}
    assert found["deposit credited"]["raw"] == found["sweep signed by the HSM key"]["vault_raw"] == "1000000000"
    assert found["withdrawal final and booked"]["arrived_raw"] == "250000000"
    assert found["balances verified in the restored installation"]["vault_raw"] == "750000000"
    assert found["another withdrawal signed there"]["arrived_raw"] == "125500000"
    assert found["reconciled with the chain, unfrozen by two"]["floors"] == 4
    print(f"the drill took {report['seconds']} s")
    assert no_process_of(folder)
    # No secret of the first installation is left beside the archives that hold them.
    assert not (folder / "house").exists()
    assert not (folder / "committee").exists()


def test_a_drill_wants_a_folder_of_its_own(tmp_path: Path) -> None:
    done = drill("--keep", str(tmp_path), "--json")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "folder of its own" in done.stderr


def test_without_softhsm_it_says_so(tmp_path: Path) -> None:
    done = drill("--keep", str(tmp_path / "d"), path=str(tmp_path))
    assert done.returncode == 1
    assert "SoftHSM2" in done.stderr
    assert not (tmp_path / "d").exists()


def test_the_first_step_that_fails_is_named_and_ends_it() -> None:
    report, done = Report(), []

    def fail() -> dict[str, str]:
        raise InvariantError("the books say 1, the chain says 2")

    steps = [("good", lambda: {"n": 1}), ("bad", fail), ("never", lambda: done.append(1) or {})]
    with pytest.raises(StepFailed, match="'bad' failed: the books say 1") as failed:
        perform(steps, report, quiet=True)  # type: ignore[arg-type]
    assert failed.value.step == report.failed == "bad"
    assert report.view()["ok"] is False
    assert [(step["step"], step["ok"]) for step in report.steps] == [("good", True), ("bad", False)]
    assert not done


def drill(*arguments: str, path: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"PATH": path} if path else {})}
    return subprocess.run(
        [sys.executable, "-m", "cli", "custody", "drill", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
        env=environment,
    )


def no_process_of(folder: Path) -> bool:
    """Whether nothing that was started in a folder still runs."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in words and is_alive(int(entry.name)):
                return False
    return True
