"""Event records as Parquet: one column a field (`aux` is two), for tools that read nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from domain import InputError
from engine.data.captures import Events
from engine.records import EVENT

_PLAIN: Final = tuple(name for name in EVENT.names or () if name != "aux")


def export_parquet(events: Events, path: Path) -> None:
    """Write records; the columns are those of the dtype."""
    columns = {name: np.ascontiguousarray(events[name]) for name in _PLAIN}
    columns |= {f"aux{place}": np.ascontiguousarray(events["aux"][:, place]) for place in (0, 1)}
    pl.DataFrame(columns).write_parquet(path)


def import_parquet(path: Path) -> Events:
    """Read records that `export_parquet` wrote.

    Raises:
        InputError: Not such a file: a column is missing, has gaps, or is too wide for its field.
    """
    try:
        frame = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError) as exc:
        raise InputError(f"cannot read {path}: {exc}") from exc
    events = np.zeros(frame.height, EVENT)
    for name in (*_PLAIN, "aux0", "aux1"):
        if name not in frame.columns:
            raise InputError(f"{path}: column {name} is missing")
        column = frame[name]
        if column.null_count():
            raise InputError(f"{path}: column {name} has gaps")
        target = events["aux"][:, int(name[-1])] if name.startswith("aux") else events[name]
        values = column.to_numpy()
        if not np.can_cast(values.dtype, target.dtype, "same_kind") or (values != values.astype(target.dtype)).any():
            raise InputError(f"{path}: column {name} does not fit {target.dtype}")
        target[:] = values
    return events
