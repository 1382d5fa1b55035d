"""Strategies of one's own: found by `module:Class` in a folder, made with the parameters of the settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from domain import InputError
from engine.sdk.strategy import Strategy


def load_strategy(strategy_id: str, reference: str, parameters: Mapping[str, Any], folder: Path | None) -> Strategy:
    """Make a strategy of a class in a file.

    Args:
        strategy_id: What it is called from here on, whatever its constructor says.
        reference: `module:Class`.
        parameters: Keyword arguments of the class.
        folder: Looked in before everything else that Python finds.

    Raises:
        InputError: No such module or class, no strategy, or the parameters do not make one.
    """
    module_name, _, class_name = reference.partition(":")
    try:
        with _importable(folder):
            kind = getattr(import_module(module_name), class_name, None)
    except ImportError as exc:
        raise InputError(
            f"strategy {strategy_id}: cannot import {module_name}: {exc}",
            hint=f"put {module_name}.py beside the settings" + (f", into {folder}" if folder else ""),
        ) from exc
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise InputError(f"strategy {strategy_id}: {reference} is no subclass of engine.sdk.Strategy")
    try:
        made = kind(**parameters)
    except (TypeError, ValueError) as exc:
        raise InputError(f"strategy {strategy_id}: {reference} is not made by these parameters: {exc}") from exc
    made.id = strategy_id
    return made


def load_function(reference: str, folder: Path | None) -> Callable[..., Any]:
    """Find a function in a file.

    Args:
        reference: `module:function`.
        folder: Looked in before everything else that Python finds.

    Raises:
        InputError: No such module or function.
    """
    module_name, _, name = reference.partition(":")
    try:
        with _importable(folder):
            found = getattr(import_module(module_name), name, None)
    except (ImportError, ValueError) as exc:
        raise InputError(f"cannot import {module_name}: {exc}", hint="module:function") from exc
    if not callable(found):
        raise InputError(f"{reference} is no function", hint="module:function")
    function: Callable[..., Any] = found
    return function


@contextmanager
def _importable(folder: Path | None) -> Iterator[None]:
    if folder is None:
        yield
        return
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
