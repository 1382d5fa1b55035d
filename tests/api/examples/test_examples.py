"""The examples of docs/api against one `capstan up --demo`: a devnet, the sandbox exchange, all real processes."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from cli.data_dir import DataDir
from cli.demo.tryout import tryout
from domain import InputError
from runtime.processes import die_with_parent

ROOT = Path(__file__).resolve().parents[3]
pytestmark = [pytest.mark.anvil, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a running world. What runs in it ends with settled books."""
    folder = tmp_path_factory.mktemp("world")
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "up", "--demo", "--port", "0", "--json", "--data-dir", str(folder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=die_with_parent,  # noqa: PLW1509 - one prctl call
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        assert json.loads(line)["ready"]
        yield folder
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        ledger = json.loads((folder / "result.json").read_text())["ledger"]
        assert (ledger["balanced"], ledger["matches_venues"]) == (True, True)
    finally:
        process.kill()


def run(name: str, world: Path) -> list[str]:
    """Run an example as a reader would; give what it said."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/api" / name), str(world)],
        cwd=world,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_desk_trades_by_key(world: Path) -> None:
    said = run("desk.py", world)
    assert said[0] == "portfolio main with the strategies desk"
    assert re.fullmatch(r"placed ord_[0-9a-f]{24}: accepted", said[2])
    assert said[3].startswith("on the stream: buy 0.5 at ")
    assert said[4] == "cancelled: canceled"
    bought = re.fullmatch(r"bought (0\.[0-9]+): (filled|canceled|expired)", said[5])  # Canceled is what nobody offered.
    assert bought is not None, said
    holds = re.fullmatch(r"holds (0\.[0-9]+) at [0-9.]+, result -?[0-9.]+", said[6])
    assert holds is not None, said
    assert Decimal(holds[1]) == Decimal(bought[1])


def test_an_exchange_makes_its_own_market_and_two_people_let_go_of_a_kill(world: Path) -> None:
    said = run("exchange.py", world)
    assert said[0] == "Example Exchange charges 8 bps to take"
    assert said[1] == "made: avellaneda-stoikov on sandbox:BTCUSDC"
    assert re.fullmatch(r"it quotes [0-9.]+ / [0-9.]+", said[2])
    assert said[3] == "changed: {'risk_aversion': ['0.004', '0.008']}"
    assert said[4] == "it ran with 2 versions: calm market, our own market"
    assert said[5:7] == ["killed: done", "no quotes any more"]
    assert re.fullmatch(r"released by usr_\w{16} and usr_\w{16}", said[7])
    assert re.fullmatch(r"it quotes again: [0-9.]+ / [0-9.]+", said[8])
    assert said[9] == "stopped: flatten"


def test_a_treasurer_pays_and_two_people_sign(world: Path) -> None:
    said = run("treasurer.py", world)
    assert said[0] == "ulla is owed 50000 USDC"
    assert re.fullmatch(r"w-[0-9a-f]{24} asked by tom@exchange\.example: 47499 USDC are left", said[1]), said[1]
    assert "Recipient:     Partner Ltd (0xa0Ee7A142d267C1f36714E4a8F75612F20a79720)" in said
    assert said[-5:-2] == [
        "tom may not: missing_scope", "ada@exchange.example signs: pending", "alf@exchange.example signs: met",
    ]  # fmt: skip
    # Two who sign at once are sooner than the desk that was going to write down that it waits for them.
    steps = "requested, screened, (?:approval-asked, )?approved, sent, finalized, booked"
    assert re.fullmatch(rf"booked in 0x[0-9a-f]{{64}}: {steps}", said[-2]), said[-2]
    assert said[-1] == "ulla is owed 47499 USDC"


def test_an_installation_is_not_taken_for_a_world(tmp_path: Path) -> None:
    (tmp_path / "capstan.toml").write_text('mode = "live"\n')
    with pytest.raises(InputError, match="is an installation already"), tryout(DataDir(tmp_path), 8460):
        raise AssertionError("it was taken")
    assert [path.name for path in tmp_path.iterdir()] == ["capstan.toml"]
