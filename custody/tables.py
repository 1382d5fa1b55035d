"""All tables of custody. Their history is in `custody/migrations`; a test holds the two together.

Each package declares its own in its `tables.py`; importing this module declares them all. Those marked append-only
have triggers in the database that refuse UPDATE and DELETE.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import custody.approvals.tables
import custody.audit.tables
import custody.deposits.tables
import custody.freeze
import custody.ledger.tables
import custody.policy.tables
import custody.ramp
import custody.session_keys.tables
import custody.transactions.tables
import custody.withdrawals.tables  # noqa: F401 - declares the tables, as do those before
from runtime.database import Database

MIGRATIONS: Final = Path(__file__).parent / "migrations"


def open_books(database: Database) -> Database:
    """Bring the database's schema up to date and hand it back."""
    database.migrate(MIGRATIONS)
    return database
