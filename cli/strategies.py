"""`capstan strategies`: which kinds ship, what settings they take, whether a file makes strategies."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output

app = typer.Typer(no_args_is_help=True, help="Strategies that ship: their kinds, settings, files.")

JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON.")]


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the kinds of the catalog: what each does, in a line."""
    from engine.strategies.catalog import ENTRIES

    kinds = {entry.kind: _about(entry.strategy.__module__) for entry in ENTRIES}
    if as_json:
        output.emit([{"kind": kind, "about": about} for kind, about in sorted(kinds.items())])
    else:
        output.table(dict(sorted(kinds.items())), as_json=False)


@app.command()
def schema(
    kind: Annotated[str | None, typer.Argument(help="One of `capstan strategies list`; without it, all.")] = None,
) -> None:
    """Print the JSON schema of a kind's settings: every key, its form, its default, what it means.

    Editors that know JSON schema complete and check YAML and JSON files with it.
    """
    from pydantic import TypeAdapter

    from engine.strategies.catalog import CatalogUnion

    output.emit(TypeAdapter(CatalogUnion).json_schema() if kind is None else _entry(kind).settings.model_json_schema())


@app.command()
def validate(
    config: Annotated[
        Path, typer.Argument(help="TOML, YAML or JSON: a backtest, a capstan.toml, or strategies alone.")
    ],
    as_json: JsonOption = False,
) -> None:
    """Check a file whole, without running anything. Exits with 0 only when it makes strategies."""
    from engine.strategies.files import read_table

    data = read_table(config)
    if "data" in data and "instruments" in data:
        found = _check_backtest(config)
    elif "engine" in data:
        found = _check_installation(config, data)
    else:
        found = _check_strategies(config, data)
    if as_json:
        output.emit({"file": str(config), "strategies": found})
    else:
        for item in found:
            output.say(f"{item['id']}: {item['kind']} on {', '.join(item['instruments']) or 'every instrument'}")


def _check_backtest(path: Path) -> list[dict[str, Any]]:
    from engine.backtest.config import load_config
    from engine.backtest.run import make_strategy

    config = load_config(path)
    for item in config.strategies:
        make_strategy(item, config, path.resolve().parent)
    return [_shown(item) for item in config.strategies]


def _check_installation(path: Path, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    from cli.settings import Settings
    from domain import InputError
    from engine.strategies.changes import problems

    from pydantic import ValidationError  # isort: skip

    try:
        settings = Settings.model_validate(data)
    except ValidationError as exc:
        raise InputError(f"{path}: {problems(exc)}", hint="`capstan settings` lists every key") from exc
    known = {f"{venue.id}:{symbol}" for venue in settings.venues for symbol in venue.instruments}
    made = [_shown(item) for item in settings.engine.strategies]
    for item in made:
        if missing := [name for name in item["instruments"] if name not in known]:
            hint = f"there are {', '.join(sorted(known))}"
            raise InputError(f"{path}: strategy {item['id']}: no instrument {', '.join(missing)}", hint=hint)
    return made


def _check_strategies(path: Path, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    from pydantic import ValidationError

    from domain import InputError
    from engine.strategies.catalog import make
    from engine.strategies.changes import problems
    from engine.strategies.files import strategy_tables

    tables = strategy_tables(data)
    if tables is None:
        raise InputError(f"{path}: no strategies", hint="expected `strategies = [...]`, or one table with its `kind`")
    found, wrong = [], []
    for at, table in enumerate(tables):
        try:
            settings = _entry(str(table.get("kind", ""))).settings.model_validate(table)
            make(settings)
            found.append(settings)
        except ValidationError as exc:
            wrong.append(f"strategies.{at}: {problems(exc)}")
        except InputError as exc:
            wrong.append(f"strategies.{at}: {exc}")
    ids = [item.id for item in found]
    if len(set(ids)) < len(ids):
        wrong.append("two have the same id")
    if wrong:
        raise InputError(f"{path}: {'; '.join(wrong)}", hint="capstan strategies schema KIND says what a kind takes")
    return [_shown(item) for item in found]


def _entry(kind: str) -> Any:
    import difflib

    from domain import InputError
    from engine.strategies.catalog import CATALOG

    if kind not in CATALOG:
        near = difflib.get_close_matches(kind, CATALOG, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(CATALOG))}"
        raise InputError(f"no kind of strategy is called {kind!r}", hint=hint)
    return CATALOG[kind]


def _shown(item: Any) -> dict[str, Any]:
    if hasattr(item, "instrument_names"):
        instruments = list(item.instrument_names())
    else:
        instruments = [item.instrument] if hasattr(item, "instrument") else []
    return {"id": item.id, "kind": str(item.kind), "instruments": instruments}


def _about(module: str) -> str:
    """The first sentence of a module's docstring."""
    from importlib import import_module

    text = import_module(module).__doc__ or ""
    return " ".join(text.split("\n\n")[0].split())
