"""What the declarations of custody's tables share: row numbers, and the mark of an append-only table."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import BigInteger, Column, Integer
from sqlmodel import Field, SQLModel

# SQLite numbers rows by itself only under the exact type INTEGER.
RowNumber: Final = BigInteger().with_variant(Integer(), "sqlite")

APPEND_ONLY: Final = {"info": {"append_only": True}}
"""The last of a table's `__table_args__` when triggers refuse to change its rows; `make_append_only` sets them."""


def row_number(**options: Any) -> Any:
    """A primary key that counts up by itself."""
    return Field(default=None, sa_column=Column(RowNumber, primary_key=True, autoincrement=True, **options))


def append_only_tables() -> tuple[str, ...]:
    """Every table of custody that is declared append-only, and what else the process declared so; sorted."""
    import custody.tables  # noqa: F401 - declares them all: whoever checks their triggers may have opened few of them

    return tuple(sorted(name for name, table in SQLModel.metadata.tables.items() if table.info.get("append_only")))
