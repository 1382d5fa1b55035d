"""The code that the packages ship is what the sources in contracts/ compile to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from custody.deposits.contracts import contract_code
from dex.contracts import contract_code as trading_code
from dex.replicas.lens_code import lens_code
from domain import InputError

ROOT = Path(__file__).resolve().parents[2]
LENSES = sorted(path.stem for path in (ROOT / "contracts/src/lens").glob("*.sol"))
DEPLOYED = sorted(path.stem for path in (ROOT / "custody/bytecode").glob("*.hex"))
TRADING = sorted({path.stem for path in (ROOT / "dex/bytecode").glob("*.hex")} - set(LENSES))


@pytest.mark.parametrize(
    ("name", "shipped"),
    [
        *((name, lens_code) for name in LENSES),
        *((name, contract_code) for name in DEPLOYED),
        *((name, trading_code) for name in TRADING),
    ],
)
def test_the_shipped_code_is_the_compiled_one(name: str, shipped: Callable[[str], bytes]) -> None:
    artifact = ROOT / "contracts/out" / f"{name}.sol" / f"{name}.json"
    if not artifact.is_file():
        pytest.skip("the contracts are not built: run `make install`")
    # Metadata is left out of the code, so the same source gives the same bytes on every machine.
    built = json.loads(artifact.read_text()).get("bytecode", {}).get("object", "")
    assert "0x" + shipped(name).hex() == built, "run scripts/contract-bytecode and commit what it writes"


def test_everything_that_is_deployed_is_shipped() -> None:
    assert DEPLOYED == ["BatchSweeper", "DepositForwarder", "DepositForwarderFactory", "GuardedVault"]
    with pytest.raises(InputError, match="no contract NoSuchContract"):
        contract_code("NoSuchContract")
    assert "ArbExecutor" in TRADING
    with pytest.raises(InputError, match="no contract NoSuchContract"):
        trading_code("NoSuchContract")


def test_a_lens_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="no lens NoSuchLens"):
        lens_code("NoSuchLens")
