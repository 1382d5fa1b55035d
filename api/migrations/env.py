"""Alembic's entry point for the API's own tables, beside those of custody and with a version of their own."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, create_engine
from sqlmodel import SQLModel

from api import tables


def is_ours(name: str | None, kind: str) -> bool:
    return kind != "table" or (name or "").startswith(tables.PREFIX)


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=SQLModel.metadata,
        transactional_ddl=True,
        compare_type=True,
        version_table="alembic_version_api",
        include_name=lambda name, kind, _parents: is_ours(name, kind),
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(context.get_x_argument(as_dictionary=True)["url"]).begin() as opened:
        run(opened)
