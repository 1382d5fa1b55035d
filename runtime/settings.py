"""Settings: one frozen tree, TOML below environment, unknown keys are errors.

Environment variables are `CAPSTAN__SECTION__KEY`; both underscores are part of the separator, so that other variables
that begin with `CAPSTAN_` are never mistaken for settings. The tree itself is drawn in the composition root
(`cli/settings.py`), each package declaring its own part.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from domain import InputError

ENV_PREFIX = "CAPSTAN__"


class SettingsPart(BaseModel):
    """A section: frozen, strict about keys, and its errors never repeat the input (it might be a secret)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, use_attribute_docstrings=True)


class SettingsBase(SettingsPart):
    """The root of a tree; `load` is the only way in."""

    @classmethod
    def load(cls, path: Path | None, environ: Mapping[str, str] | None = None) -> Self:
        """Read a TOML file, lay the environment over it, and check everything.

        Raises:
            InputError: Unreadable file, bad TOML, unknown key, or a value of the wrong form; names every bad key.
        """
        data: dict[str, Any] = {}
        if path is not None:
            try:
                data = tomllib.loads(path.read_text(encoding="utf-8"))
            except OSError as exc:
                raise InputError(
                    f"cannot read settings {path}: {exc.strerror}",
                    hint="is --data-dir right? README shows one, `capstan settings` lists the keys",
                ) from exc
            except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
                raise InputError(f"{path} is not TOML: {exc}", hint="`capstan settings` lists the keys") from exc
        _overlay(data, os.environ if environ is None else environ)
        try:
            return cls.model_validate(data)
        except ValidationError as exc:
            problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'root'}: {e['msg']}" for e in exc.errors())
            raise InputError(
                f"settings{f' {path}' if path else ''}: {problems}", hint="`capstan settings` lists every key"
            ) from exc


def _overlay(data: dict[str, Any], environ: Mapping[str, str]) -> None:
    for name, value in sorted(environ.items()):
        if not name.startswith(ENV_PREFIX):
            continue
        *sections, key = name.removeprefix(ENV_PREFIX).lower().split("__")
        node = data
        for section in sections:
            node = node.setdefault(section, {})
            if not isinstance(node, dict):
                raise InputError(f"{name}: {section} is a value, not a section")
        node[key] = value
