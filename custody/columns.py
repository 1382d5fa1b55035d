"""Kinds of columns that the tables of custody's packages share."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Column, Integer
from sqlmodel import Field

# SQLite numbers rows by itself only under the exact type INTEGER.
RowNumber = BigInteger().with_variant(Integer(), "sqlite")


def row_number(**options: Any) -> Any:
    """Declare a primary key that the database counts up."""
    return Field(default=None, sa_column=Column(RowNumber, primary_key=True, autoincrement=True, **options))
