"""New parameters for a strategy of the catalog: which may change while it runs, and whether they make one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from domain import InputError
from engine.strategies.base import CatalogSettings
from engine.strategies.catalog import make

_ALWAYS_FIXED: Final = frozenset({"kind", "id"})


def changed(current: CatalogSettings, changes: Mapping[str, Any]) -> CatalogSettings:
    """Lay changes over settings and check the whole; nothing is told to anybody.

    Raises:
        InputError: A key that does not exist, a value that cannot be, or a key that is fixed while it runs: every one
            is named.
    """
    where = f"strategy {current.id}"
    known = type(current).model_fields
    if unknown := sorted(set(changes) - set(known)):
        near = [match for key in unknown for match in difflib.get_close_matches(key, known, n=1)]
        hint = f"did you mean {', '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"
        raise InputError(f"{where}: unknown keys {', '.join(unknown)}", hint=hint)
    try:
        new = type(current).model_validate(current.model_dump() | dict(changes))
    except ValidationError as exc:
        raise InputError(f"{where}: {problems(exc)}", hint=f"capstan strategies schema {kind_of(current)}") from exc
    if fixed := fixed_among(current, new):
        raise InputError(
            f"{where}: {', '.join(fixed)} cannot change while it runs",
            hint="begin a new run, with a data directory of its own",
        )
    try:
        make(new)
    except (ValueError, InputError) as exc:
        raise InputError(f"{where}: these settings make no strategy: {exc}") from exc
    return new


def differing(current: CatalogSettings, new: CatalogSettings) -> tuple[str, ...]:
    """The keys in which two settings of one kind differ."""
    return tuple(key for key in type(current).model_fields if getattr(current, key) != getattr(new, key))


def fixed_among(current: CatalogSettings, new: CatalogSettings) -> tuple[str, ...]:
    """The keys that differ and may not: what the kind fixes, and whatever names instruments or pools."""
    fixed = _ALWAYS_FIXED | set(current.fixed)
    return tuple(key for key in differing(current, new) if key in fixed or _names_something(current, new, key))


def problems(exc: ValidationError) -> str:
    """Everything that is wrong, in one line."""
    found = exc.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, p['loc'])) or 'settings'}: {p['msg']}" for p in found)


def kind_of(settings: CatalogSettings) -> str:
    return str(settings.kind)  # type: ignore[attr-defined]


def _names_something(current: CatalogSettings, new: CatalogSettings, key: str) -> bool:
    """Whether this key alone would change what is traded."""
    other = current.model_copy(update={key: getattr(new, key)})
    before, after = (
        (sorted(s.instrument_names()), sorted(s.pool_names())) for s in (current, other)
    )  # fmt: skip
    return before != after
