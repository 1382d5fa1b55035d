"""Which parameters are tried: ranges and choices, drawn by a seed, laid out as a grid, or searched by Optuna."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np
from pydantic import Field, StrictInt, model_validator

from domain import InputError
from runtime import SettingsPart

Value: TypeAlias = bool | int | float | str
ParameterSet: TypeAlias = dict[str, Any]

_TRIES: Final = 1_000


class Whole(SettingsPart):
    """A whole number, both ends included. `0.0` is none: a range that begins so is one of fractions."""

    low: StrictInt
    high: StrictInt
    step: int = Field(default=1, ge=1)
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Whole:
        if self.high < self.low or (self.log and self.low < 1):
            raise ValueError("low must not exceed high; a logarithmic range begins at 1 or more")
        return self


class Real(SettingsPart):
    """A number with a fraction."""

    low: float
    high: float
    step: float | None = Field(default=None, gt=0)
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Real:
        if self.high < self.low or (self.log and self.low <= 0):
            raise ValueError("low must not exceed high; a logarithmic range begins above 0")
        return self


Choices = Annotated[tuple[Value, ...], Field(min_length=1)]
Axis = Annotated[Whole | Real | Choices, Field(union_mode="left_to_right")]


class Space(SettingsPart):
    """Names (dots reach into tables) and what each may be. `where` lists pairs that must be in order."""

    axes: dict[str, Axis] = Field(min_length=1)
    where: tuple[tuple[str, Literal["<", "<="], str], ...] = ()
    """`["fast", "<", "slow"]`."""

    @model_validator(mode="after")
    def _known(self) -> Space:
        for left, _, right in self.where:
            if missing := [name for name in (left, right) if name not in self.axes]:
                raise ValueError(f"where: no axis {missing[0]}")
        return self

    def holds(self, flat: Mapping[str, Any]) -> bool:
        """Whether a set keeps the order that `where` asks for."""
        return all(
            flat[left] < flat[right] or (sign == "<=" and flat[left] == flat[right]) for left, sign, right in self.where
        )


def nested(flat: Mapping[str, Any]) -> ParameterSet:
    """Open dotted names into tables."""
    made: ParameterSet = {}
    for name, value in flat.items():
        *tables, key = name.split(".")
        place = made
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = value
    return made


def draw(space: Space, count: int, seed: int) -> list[dict[str, Any]]:
    """Draw different sets, by PCG64: the same on every machine. Fewer when there are not so many.

    Raises:
        InputError: Next to nothing that is drawn keeps `where`.
    """
    random = np.random.Generator(np.random.PCG64(seed))
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    misses = 0
    while len(found) < count and misses < _TRIES:
        one = {name: _drawn(axis, random) for name, axis in space.axes.items()}
        key = tuple(one.values())
        if key in found or not space.holds(one):
            misses += 1
            continue
        misses = 0
        found[key] = one
    if not found:
        raise InputError(f"none of {_TRIES} sets that were drawn keeps {space.where}")
    return list(found.values())


def grid(space: Space, points: int) -> list[dict[str, Any]]:
    """Lay out all combinations, with up to `points` on each range without a step."""
    lines = [_points(axis, points) for axis in space.axes.values()]
    sets = (dict(zip(space.axes, values, strict=True)) for values in product(*lines))
    return [one for one in sets if space.holds(one)]


def suggest(space: Space, trial: Any) -> dict[str, Any]:
    """Ask an Optuna trial for a set."""
    made: dict[str, Any] = {}
    for name, axis in space.axes.items():
        match axis:
            case Whole():
                made[name] = trial.suggest_int(name, axis.low, axis.high, step=axis.step, log=axis.log)
            case Real():
                made[name] = trial.suggest_float(name, axis.low, axis.high, step=axis.step, log=axis.log)
            case _:
                made[name] = trial.suggest_categorical(name, list(axis))
    return made


def _drawn(axis: Any, random: np.random.Generator) -> Value:
    match axis:
        case Whole() if axis.log:
            drawn = math.exp(random.uniform(math.log(axis.low), math.log(axis.high + 1)))
            return min(axis.high, int(drawn))
        case Whole():
            return axis.low + axis.step * int(random.integers(0, (axis.high - axis.low) // axis.step + 1))
        case Real() if axis.step is not None:
            return axis.low + axis.step * int(random.integers(0, _steps(axis) + 1))
        case Real() if axis.log:
            return math.exp(random.uniform(math.log(axis.low), math.log(axis.high)))
        case Real():
            return float(random.uniform(axis.low, axis.high))
    choice: Value = axis[int(random.integers(0, len(axis)))]
    return choice


def _points(axis: Any, points: int) -> Sequence[Value]:
    match axis:
        case Whole() if axis.log:
            return sorted({round(value) for value in np.geomspace(axis.low, axis.high, points).tolist()})
        case Whole():
            every = range(axis.low, axis.high + 1, axis.step)
            return (
                every
                if len(every) <= points
                else sorted({every[round(at)] for at in np.linspace(0, len(every) - 1, points)})
            )
        case Real() if axis.step is not None:
            return [axis.low + axis.step * at for at in range(_steps(axis) + 1)]
        case Real():
            spaced = np.geomspace if axis.log else np.linspace
            values: list[Value] = spaced(axis.low, axis.high, points).tolist()
            return values
    chosen: Sequence[Value] = axis
    return chosen


def _steps(axis: Real) -> int:
    return int((axis.high - axis.low) / (axis.step or 1.0) + 1e-9)
