"""Backtests of people who do not run this machine: what they may ask for, checked before anything is loaded.

They bring a configuration and nothing else: no code, no path but into one folder of recordings, no service. A kind of
strategy that is not named here is refused, so one that is added to the catalog is nobody else's until it was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from domain import InputError, Refused
from engine.backtest.chain_settings import SyntheticPoolData
from engine.backtest.config import BacktestConfig, CaptureData, StrategySettings, SyntheticData, check_config
from engine.strategies.files import parse_table
from engine.strategies.netted import NettedSettings

TEXT_MAX: Final = 48_000
_LINE_MAX: Final = 2_000
"""Of TOML: a key of thousands of dotted parts takes a parser minutes."""
_DEPTH_MAX: Final = 32
FORMS: Final = ("toml", "yaml", "json")

KINDS: Final = frozenset(
    {
        "quoting", "avellaneda-stoikov", "breakout", "composite-order", "copy-trading", "cross-exchange-market-making",
        "cross-venue-arbitrage", "exchange-arbitrage", "execute", "funding-arbitrage", "glft", "grid", "macd",
        "moving-average", "netted", "order-book-imbalance", "portfolio-rebalancing", "pure-market-making",
        "routed-order", "rsi", "statistical-arbitrage",
    }
)  # fmt: skip
REFUSED_KINDS: Final = {
    "python": "it runs code",
    "model-signal": "it reads files beside the recordings",
    "client-orders": "it trades on requests alone",
}
"""Why the other kinds are not for everybody."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a backtest may be."""

    market_s_max: float
    """Seconds of made-up market, all of them together."""
    bytes_max: int
    """Of the recordings that it reads."""


def read_config(text: str, form: str) -> BacktestConfig:
    """Read a configuration from text that anybody may have written, and check all of it.

    Raises:
        InputError: Too long, not of this form, an unknown key, or a value that cannot be; in one line.
    """
    path = Path(f"config.{form}")
    if form not in FORMS or len(text) > TEXT_MAX:
        raise InputError(f"a configuration has at most {TEXT_MAX} characters and is one of {', '.join(FORMS)}")
    if form == "toml" and any(len(line) > _LINE_MAX for line in text.splitlines()):
        raise InputError(f"{path}: a line of more than {_LINE_MAX} characters")
    if form == "yaml":
        _check_yaml(text, path)
    return check_config(parse_table(text, path), path)


def admit(config: BacktestConfig, folder: Path, bounds: Bounds) -> None:
    """Stop here unless a configuration stays within what everybody may do.

    Args:
        config: Checked.
        folder: Where the recordings are; nothing outside of it is read, through no link either.
        bounds: How large it may be.

    Raises:
        Refused: Rule `backtest-strategy`, `backtest-data` or `backtest-size`.
    """
    for item in config.strategies:
        for kind in _kinds(item):
            if kind not in KINDS:
                why = REFUSED_KINDS.get(kind, "it was not looked at yet")
                raise Refused(
                    f"strategies of kind {kind} are not run for everybody: {why}",
                    rule="backtest-strategy",
                    hint=f"there are {', '.join(sorted(KINDS))}",
                )
    seconds, size = 0.0, 0
    for place, data in enumerate(config.data):
        if isinstance(data, SyntheticData):
            seconds += data.seconds
        elif not isinstance(data, SyntheticPoolData):
            paths = data.path if isinstance(data, CaptureData) else (data.path,)
            size += sum(_size(path, folder, f"data.{place}") for path in paths)
    if seconds > bounds.market_s_max or size > bounds.bytes_max:
        raise Refused(
            f"this backtest is of {seconds:.0f} s of made-up market and {size} bytes of recordings",
            rule="backtest-size",
            hint=f"at most {bounds.market_s_max:.0f} s and {bounds.bytes_max} bytes",
        )


def _kinds(item: StrategySettings) -> Iterator[str]:
    yield str(item.kind)
    if isinstance(item, NettedSettings):
        for part in item.parts():
            yield from _kinds(part)


def _size(path: Path, folder: Path, place: str) -> int:
    """Bytes of a recording in the folder.

    Raises:
        Refused: It leads out, or there is none; the answer is the same.
    """
    try:
        root = folder.resolve()
        found = (root / path).resolve()
        if not (path.is_absolute() or "$" in str(path)) and found.is_relative_to(root) and found.exists():
            parts = [found, *found.rglob("*")] if found.is_dir() else [found]
            if all(part.resolve().is_relative_to(root) for part in parts):
                return sum(part.stat().st_size for part in parts if part.is_file())
    except (OSError, ValueError, RuntimeError):  # A name that cannot be, a loop of links.
        pass
    raise Refused(
        f"{place}: no recording {str(path)[:120]!r}",
        rule="backtest-data",
        hint="paths begin in the folder of recordings; GET /v1/backtest-data lists them",
    )


def _check_yaml(text: str, path: Path) -> None:
    """Refuse aliases, by which a short text becomes a huge table, and what is nested too deeply.

    Raises:
        InputError: There is one, or it is no YAML.
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=_EVENTS):
            if isinstance(event, yaml.AliasEvent):
                raise InputError(f"{path}: aliases are not read here", hint="write it out")
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEPTH_MAX:
                raise InputError(f"{path}: nested too deeply")
    except yaml.YAMLError as exc:
        raise InputError(f"{path}: {' '.join(str(exc).split())}") from exc
    except RecursionError as exc:
        raise InputError(f"{path}: nested too deeply") from exc


_EVENTS: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
