"""Front doors that open when somebody knocks: a package's public names, fetched from their modules when asked for.

A package's `__init__.py` says what is public. If it imports all of that at once, whoever reads one file behind it waits
for every other: a command that reads settings would load tables, numpy and pool maths, a second of processor time in
each process of an installation.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` (PEP 562) of a package whose names live in `homes`: the names of each module, with
    spaces between them.

    Type checkers read the same from imports under `TYPE_CHECKING`; tests/test_layout.py holds the two together. No name
    may also be that of a file of the package, which would take its place as soon as anybody imported it.
    """
    home_of = {name: home for home, names in homes.items() for name in names.split()}

    def fetch(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(home_of[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    return fetch
