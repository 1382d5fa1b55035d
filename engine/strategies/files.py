"""Tables from files: TOML, YAML or JSON by their ending; and the strategies in them."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from domain import InputError


def read_table(path: Path) -> dict[str, Any]:
    """Read a file as a table of keys.

    Raises:
        InputError: Unreadable, not what its ending says, or no table; in one line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}", hint="examples/ has some to begin with") from exc
    except UnicodeDecodeError as exc:
        raise InputError(f"{path} is no text") from exc
    return parse_table(text, path)


def parse_table(text: str, path: Path) -> dict[str, Any]:
    """Read text as a table of keys, in the form that the ending of `path` says; errors as `read_table`."""
    try:
        data: Any
        match path.suffix:
            case ".yaml" | ".yml":
                data = yaml.safe_load(text)
            case ".json":
                data = json.loads(text)
            case _:
                data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, yaml.YAMLError, json.JSONDecodeError) as exc:
        raise InputError(f"{path}: {' '.join(str(exc).split())}") from exc
    except RecursionError as exc:
        raise InputError(f"{path}: nested too deeply") from exc
    if not isinstance(data, dict):
        raise InputError(f"{path}: expected a table of keys")
    return data


def strategy_tables(data: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Find the strategies of a file: under `strategies`, under `engine.strategies`, or the whole is one.

    Returns:
        Nothing where there are none: the file is something else.
    """
    engine = data.get("engine")
    for table in (data, engine if isinstance(engine, Mapping) else {}):
        found = table.get("strategies")
        if isinstance(found, list) and all(isinstance(item, Mapping) for item in found):
            return list(found)
    return [data] if "kind" in data else None
