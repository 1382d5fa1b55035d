"""Strategies in words: YAML or a table that somebody sends, checked before anything else sees them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from domain import InputError
from engine.strategies.base import CatalogSettings
from engine.strategies.catalog import CATALOG, CatalogUnion
from engine.strategies.changes import problems

_SETTINGS: Final[TypeAdapter[CatalogSettings]] = TypeAdapter(CatalogUnion)
RESERVED: Final = frozenset({"kinds"})
"""Names that a route has."""


def read_yaml(text: str) -> dict[str, Any]:
    """Read one strategy.

    Raises:
        InputError: It is no YAML, no table, or refers to parts of itself: a few lines of that become gigabytes.
    """
    try:
        # libyaml's, which bounds depth: the loader in Python takes half a minute for ten thousand brackets.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.CSafeLoader)):
            raise InputError("YAML: no aliases (*name)", hint="write it out")
        found = yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as exc:
        raise InputError(f"YAML: {' '.join(str(exc).split())[:300]}") from exc
    except (RecursionError, ValueError) as exc:  # A date that there is not is a ValueError.
        raise InputError(f"YAML: {str(exc)[:200]}") from exc
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise InputError("YAML: expected a table of keys", hint="`kind: …`, `id: …` and what the kind takes")
    return found


def settings_of(table: Mapping[str, Any]) -> CatalogSettings:
    """Check a table against its kind.

    Raises:
        InputError: No kind of the catalog, keys or values that cannot be, an id that a route has, or a file outside
            the data directory.
    """
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in CATALOG:
        raise InputError(f"no kind of strategy is called {str(kind)[:40]!r}", hint="GET /v1/strategies/kinds")
    if not isinstance(table.get("id"), str):
        raise InputError("a strategy has an `id`", hint="1 to 16 of a-z, 0-9 and -")
    try:
        settings = _SETTINGS.validate_python(dict(table))
    except ValidationError as exc:
        raise InputError(f"{kind}: {problems(exc)[:1_000]}", hint="GET /v1/strategies/kinds has its schema") from exc
    except RecursionError as exc:
        raise InputError(f"{kind}: too deep") from exc
    if settings.id in RESERVED:
        raise InputError(f"no strategy can be called {settings.id!r}")
    for path in _paths(settings):
        if path.is_absolute() or ".." in path.parts:
            raise InputError(f"{path}: a file is named by its path in the data directory")
    return settings


def _paths(value: Any) -> Iterator[Path]:
    match value:
        case Path():
            yield value
        case BaseModel():
            for name in type(value).model_fields:
                yield from _paths(getattr(value, name))
        case Mapping():
            for item in value.values():
                yield from _paths(item)
        case list() | tuple():
            for item in value:
                yield from _paths(item)
