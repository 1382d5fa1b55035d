"""`capstan settings`: every key of the settings file, from the models themselves; or a check of one file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, get_args

import typer
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from cli import output
from domain import InputError

app = typer.Typer()


class Key(NamedTuple):
    """One key: its dotted name (`[]` for a list of tables, `<name>` for a table of tables), default and meaning."""

    name: str
    default: str
    meaning: str


@app.command()
def settings(
    prefix: Annotated[str, typer.Argument(help="Show only keys that begin so: engine.risk")] = "",
    check: Annotated[Path | None, typer.Option(help="Read this file and say whether it is sound.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """List every key of capstan.toml with its default and meaning, or check a file.

    Environment variables lie above the file: CAPSTAN__CHAIN__CHAIN_ID=1 sets chain.chain_id.
    """
    from cli.settings import Settings

    if check is not None:
        Settings.load(check)
        output.emit({"sound": True}) if as_json else output.say(f"{check} is sound")
        return
    keys = [key for key in describe(Settings) if key.name.startswith(prefix)]
    if not keys:
        raise InputError(f"no key begins with {prefix!r}", hint="`capstan settings` lists all")
    if as_json:
        output.emit([key._asdict() for key in keys])
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("key", overflow="fold", min_width=max(len(key.name) for key in keys))
    table.add_column("default", overflow="fold")
    table.add_column("meaning")
    for key in keys:
        table.add_row(key.name, key.default, key.meaning)
    Console().print(table)


def describe(model: type[BaseModel], path: str = "") -> Iterator[Key]:
    """Walk a settings model; sections come before their keys."""
    for name, field in model.model_fields.items():
        full = f"{path}{name}"
        meaning = " ".join((field.description or "").split())
        nested, suffix = _models(field.annotation)
        if nested:
            yield Key(full + suffix, "", meaning or _summary(nested))
            seen: set[str] = set()
            for part in nested:
                for key in describe(part, f"{full}{suffix}."):
                    if key.name not in seen:
                        seen.add(key.name)
                        yield key
        else:
            yield Key(full, _default(field), meaning)


def _models(annotation: Any) -> tuple[list[type[BaseModel]], str]:
    """The settings models inside an annotation, and how their tables are written."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation], ""
    found: list[type[BaseModel]] = []
    suffix = ""
    for argument in get_args(annotation):
        nested, inner = _models(argument)
        found += [model for model in nested if model not in found]
        suffix = suffix or inner
    origin = getattr(annotation, "__origin__", None)
    if found and origin is tuple:
        suffix = "[]"
    elif found and origin in (dict, Mapping):
        suffix = ".<name>"
    return found, suffix


def _summary(models: list[type[BaseModel]]) -> str:
    return " / ".join((model.__doc__ or model.__name__).strip().splitlines()[0] for model in models)


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    return "" if value is PydanticUndefined or value is None else str(value)
