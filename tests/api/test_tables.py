"""The API's tables are what its migrations build, beside custody's."""

from __future__ import annotations

import alembic.autogenerate
import alembic.migration
from sqlmodel import SQLModel

from api.tables import PREFIX, open_tables
from custody import open_books
from runtime.database import Database


def test_migrations_build_exactly_the_declared_tables_and_leave_the_books_alone(empty_database_url: str) -> None:
    database = open_tables(Database(empty_database_url))
    open_books(database)  # in either order
    with database.snapshot() as session:
        opts = {
            "compare_type": True,
            "include_name": lambda name, kind, _parents: kind != "table" or name.startswith(PREFIX),
            "include_object": lambda _thing, name, kind, _reflected, _other: kind != "table" or name.startswith(PREFIX),
        }
        context = alembic.migration.MigrationContext.configure(session.connection(), opts=opts)
        assert alembic.autogenerate.compare_metadata(context, SQLModel.metadata) == []
    open_tables(database)  # a second time changes nothing
    database.dispose()
