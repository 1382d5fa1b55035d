"""How the demo's parts begin: side by side, one world per data directory, nothing half-written."""

from __future__ import annotations

import fcntl
import subprocess
import sys

import pytest

from chain.devnet import TEST_ADDRESSES
from cli.data_dir import DataDir
from cli.demo.installation import VAULT_INDEX, prepare_keys
from runtime import Secret
from tests.cli.demo_run import ROOT
from wallets import unlock_keystore


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_second_world_of_a_data_directory_leaves_the_first_alone(tmp_path):
    with (tmp_path / "world.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = run("cli.demo.world", str(tmp_path), "7")
    assert done.returncode == 0, done.stderr
    assert "world.another_is_here" in done.stdout + done.stderr
    assert not DataDir(tmp_path).world.exists()


def test_engine_that_waits_in_vain_for_its_settings_says_so(tmp_path):
    done = run("cli", "engine", "run", "--data-dir", str(tmp_path), "--await-settings", "0.1")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "capstan.toml" in done.stderr


@pytest.mark.parametrize("left_over", ["keystore.password", "keystore.new"])
def test_keys_are_whole_after_a_start_that_was_killed_while_writing_them(tmp_path, left_over):
    (tmp_path / left_over).write_text("half")
    prepare_keys(DataDir(tmp_path))
    before = (tmp_path / "keystore.json").read_bytes()
    password = Secret((tmp_path / "keystore.password").read_text())
    assert unlock_keystore(tmp_path / "keystore.json", password).address == TEST_ADDRESSES[VAULT_INDEX]
    prepare_keys(DataDir(tmp_path))
    assert (tmp_path / "keystore.json").read_bytes() == before
