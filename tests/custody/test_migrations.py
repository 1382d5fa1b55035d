"""Databases of earlier releases come up to date with what they held."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from custody.tables import MIGRATIONS, open_books
from domain import InvariantError
from runtime.database import Database


def test_transactions_of_the_first_release_keep_their_states_and_their_events(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    database.migrate(MIGRATIONS, "0002")
    rows = [("a", "confirmed", "'0xaa'"), ("b", "failed", "'0xbb'"), ("c", "failed", "NULL"), ("d", "refused", "NULL")]
    with database.transaction() as session:
        for number, (name, state, tx_hash) in enumerate(rows, 1):
            session.execute(
                text(
                    "INSERT INTO transactions (id, intent_id, strategy, purpose, chain_id, sender, plan, state,"
                    f" tx_hash) VALUES ({number}, '{name}', 's', 'swap', 1337, '0x', '{{}}', '{state}', {tx_hash})"
                )
            )
            session.execute(
                text(
                    "INSERT INTO transaction_events (id, transaction_id, event, state, detail, time_ns)"
                    f" VALUES ({number}, {number}, 'x', '{state}', '', 0)"
                )
            )
    open_books(database)
    with database.snapshot() as session:
        found = session.execute(text("SELECT intent_id, state, outcome FROM transactions ORDER BY id")).all()
        assert [tuple(row) for row in found] == [
            ("a", "safe", "confirmed"),
            ("b", "safe", "reverted"),
            ("c", "lost", "lost"),
            ("d", "refused", "declined"),
        ]
        states = session.execute(text("SELECT state FROM transaction_events ORDER BY id")).scalars().all()
        assert list(states) == ["confirmed", "failed", "failed", "refused"]
    with pytest.raises(InvariantError), database.transaction() as session:
        session.execute(text("DELETE FROM transaction_events"))
    database.dispose()
