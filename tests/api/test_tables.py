"""The API's tables are what its migrations build, beside custody's."""

from __future__ import annotations

import alembic.autogenerate
import alembic.migration
import sqlalchemy as sa
from sqlmodel import SQLModel, select

from api.kill.tables import KillRow
from api.tables import MIGRATIONS, PREFIX, open_tables
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


def test_presses_of_before_they_said_so_are_of_the_whole_run_where_the_house_stopped_everything(
    empty_database_url: str,
) -> None:
    database = Database(empty_database_url)
    database.migrate(MIGRATIONS, "0015")
    presses = [
        ("whole", "house", "all", "[]"), ("part", "house", "venue", '["mm"]'), ("nothing", "acme", "all", "[]"),
        ("own", "acme", "all", '["mm"]'),
    ]  # fmt: skip
    with database.transaction() as session:
        for name, has_rest in (("house", True), ("acme", False)):
            about = {"id": f"pf_{name}", "organisation": name, "name": "main", "has_rest": has_rest, "created_ns": 1}
            session.execute(sa.insert(SQLModel.metadata.tables["api_portfolios"]), about)
        for name, organisation, target, strategies in presses:
            session.execute(
                sa.text(
                    "INSERT INTO api_kills"
                    " (id, organisation, actor, target, name, mode, reason, strategies, created_ns)"
                    " VALUES (:id, :organisation, 'key:k', :target, '', 'cancel', 'drill', :strategies, 1)"
                ),
                {"id": name, "organisation": organisation, "target": target, "strategies": strategies},
            )
    open_tables(database)
    with database.snapshot() as session:
        assert {row.id: row.is_whole for row in session.exec(select(KillRow))} == {
            "whole": True, "part": False, "nothing": False, "own": False,
        }  # fmt: skip
    database.dispose()
