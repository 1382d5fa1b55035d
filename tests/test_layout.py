"""The folders, the build list, the import contract and the dependencies agree on who owns which name."""

from __future__ import annotations

import tomllib
from importlib.metadata import distributions
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOT_SHIPPED = {"tests", "bench", "examples", "soak"}


def settings():
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages():
    return {path.parent.name for path in ROOT.glob("*/__init__.py")} - NOT_SHIPPED


def test_every_package_is_listed_everywhere():
    tool = settings()["tool"]
    layers = {name.strip() for line in tool["importlinter"]["contracts"][0]["layers"] for name in line.split("|")}
    assert set(tool["hatch"]["build"]["targets"]["wheel"]["packages"]) == packages()
    assert set(tool["importlinter"]["root_packages"]) == packages()
    assert layers == packages()
    assert set(tool["mypy"]["packages"]) == packages()
    listed = next(line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("PACKAGES := "))
    assert set(listed.removeprefix("PACKAGES := ").split()) == packages()


def test_every_package_has_tests_and_a_front_door():
    for name in packages():
        assert (ROOT / "tests" / name / "__init__.py").exists(), f"tests/{name} is missing"
        text = (ROOT / name / "__init__.py").read_text()
        assert text.startswith('"""'), f"{name}/__init__.py needs a docstring"
        assert len(text.splitlines()[0]) > 20


def test_no_dependency_claims_one_of_our_names():
    ours = packages() | {"tests", "bench", "soak"}
    for distribution in distributions():
        if distribution.metadata["Name"] in ("capstan", "capstan-native"):
            continue
        claimed = {file.parts[0] for file in distribution.files or () if len(file.parts) > 1}
        assert not claimed & ours, f"{distribution.metadata['Name']} claims {claimed & ours}"
