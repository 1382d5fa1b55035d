"""The lens code that the dex package ships is what the sources in contracts/ compile to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dex.lens import lens_code
from domain import InputError

ROOT = Path(__file__).resolve().parents[2]
LENSES = sorted(path.stem for path in (ROOT / "contracts/src/lens").glob("*.sol"))


@pytest.mark.parametrize("name", LENSES)
def test_the_shipped_code_is_the_compiled_one(name: str) -> None:
    artifact = ROOT / "contracts/out" / f"{name}.sol" / f"{name}.json"
    if not artifact.is_file():
        pytest.skip("the contracts are not built: run `make install`")
    # Metadata is left out of the code, so the same source gives the same bytes on every machine.
    built = json.loads(artifact.read_text()).get("bytecode", {}).get("object", "")
    assert "0x" + lens_code(name).hex() == built, "run scripts/lens-bytecode and commit what it writes"


def test_a_lens_that_does_not_exist_is_named() -> None:
    with pytest.raises(InputError, match="no lens NoSuchLens"):
        lens_code("NoSuchLens")
