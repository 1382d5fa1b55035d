"""The folders, the build list, the import contract and the dependencies agree on who owns which name."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from importlib import import_module
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


def fronts():
    """Each package whose front is lazy: its syntax, and the homes that it says its names have."""
    for path in sorted(file for name in packages() for file in (ROOT / name).rglob("__init__.py")):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_HOMES":
                yield path, tree, {home: names.split() for home, names in ast.literal_eval(node.value).items()}


def test_a_lazy_front_gives_at_run_time_what_it_promises_to_type_checkers():
    seen = 0
    for path, tree, homes in fronts():
        package = ".".join(path.parent.relative_to(ROOT).parts)
        promised = {
            (node.module, name.name)
            for branch in tree.body
            if isinstance(branch, ast.If)
            for node in branch.body
            if isinstance(node, ast.ImportFrom)
            for name in node.names
        }
        assert {(home, name) for home, names in homes.items() for name in names} == promised, path
        front = import_module(package)
        assert sorted(name for _, name in promised) == sorted(front.__all__), path
        for home, name in promised:
            assert not (path.parent / f"{name}.py").exists(), f"{path}: the file {name}.py would take the name's place"
            assert getattr(front, name) is getattr(import_module(home), name)
        seen += 1
    assert seen > 5


def test_reading_settings_loads_no_tables_no_pools_and_no_servers():
    heavy = ("sqlalchemy", "sqlmodel", "eth_abi", "aiohttp", "fastapi", "starlette", "ccxt", "web3", "scipy", "dex")
    tried = "import sys, cli.settings; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", tried], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(run.stdout.split())
    assert "cli.settings" in loaded
    assert loaded.isdisjoint(heavy)
