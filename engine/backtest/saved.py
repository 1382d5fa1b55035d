"""A finished run in a folder, and back: what `capstan backtest run --save` writes and `report` and `compare` read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from pydantic import ValidationError

from domain import InputError
from engine.backtest.config import BacktestConfig
from engine.backtest.looks import LOOK
from engine.backtest.run import Finished, Settlement, market
from engine.records import COMMAND, EVENT
from engine.sdk import Signal
from engine.signal_log import plain

_ARRAYS: Final = {"fills": EVENT, "commands": COMMAND, "curve": np.dtype(np.int64), "looks": LOOK}
_PLAIN: Final = ("events", "began_ns", "ended_ns", "digest", "wall_s", "cpu_s")
_LISTS: Final = ("market_values", "market_lots")


def save_run(folder: Path, run: Finished, result: dict[str, Any]) -> None:
    """Write a run and its figures; files are replaced at once, never half-written."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {"fills": run.fills, "commands": run.commands, "curve": run.samples, "looks": run.looks}
    for name, array in arrays.items():
        temporary = folder / f".{name}.npy"
        np.save(temporary, array, allow_pickle=False)
        temporary.replace(folder / f"{name}.npy")
    about = {
        "config": run.config.model_dump(mode="json"),
        **{name: getattr(run, name) for name in (*_PLAIN, *_LISTS)},
        # Amounts of swaps and pools have more digits than JSON readers agree on.
        "settlements": [[str(value) for value in row] for row in run.settlements],
        "pools": [[str(value) for value in row] for row in run.pools],
        "balances": {name: str(value) for name, value in run.balances.items()},
    }
    encode = msgspec.json.Encoder(enc_hook=plain).encode
    write_whole(folder / "signals.jsonl", b"".join(encode(signal) + b"\n" for signal in run.signals))
    write_json(folder / "run.json", about)
    write_json(folder / "result.json", result)


def load_run(folder: Path) -> Finished:
    """Read a run that `save_run` wrote.

    Raises:
        InputError: No such folder, a file is missing, damaged or of another version.
    """
    try:
        about = msgspec.json.decode((folder / "run.json").read_bytes(), type=dict[str, Any])
        arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in _ARRAYS}
        config = BacktestConfig.model_validate(about["config"])
        kept = {name: about[name] for name in _PLAIN} | {name: tuple(about[name]) for name in _LISTS}
        for name, kind in _ARRAYS.items():
            if arrays[name].dtype != kind:
                raise InputError(f"{folder}: {name}.npy was written by another version", hint="run it again")
        return Finished(
            config=config,
            markets=tuple(market(name, terms) for name, terms in config.instruments.items()),
            fills=arrays["fills"],
            commands=arrays["commands"],
            samples=arrays["curve"],
            looks=arrays["looks"],
            settlements=tuple(_settlement(row) for row in about["settlements"]),
            pools=tuple(tuple(int(value) for value in row) for row in about["pools"]),
            balances={name: int(value) for name, value in about["balances"].items()},
            signals=_signals((folder / "signals.jsonl").read_bytes()),
            **kept,
        )
    except FileNotFoundError as exc:
        hint = "capstan backtest run CONFIG --save DIR writes one"
        raise InputError(f"{folder} holds no whole run: {Path(exc.filename).name} is missing", hint=hint) from exc
    except (OSError, KeyError, TypeError, ValueError, ValidationError, msgspec.DecodeError) as exc:
        raise InputError(f"{folder}: the saved run cannot be read: {' '.join(str(exc).split())}") from exc


def _signals(lines: bytes) -> tuple[Signal, ...]:
    return tuple(msgspec.json.Decoder(Signal).decode_lines(lines))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON at once."""
    write_whole(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file at once, never half-written."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(content)
    temporary.replace(path)


def _settlement(row: list[str]) -> Settlement:
    numbers: list[Callable[[str], Any]] = [int, lambda text: text == "True", int, int, int, int, str]
    return Settlement(*(read(text) for read, text in zip(numbers, row, strict=True)))
