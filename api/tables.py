"""All tables of the API. They stand in the database of the books, so that an effect and its idempotency key are one
transaction; their history is in `api/migrations`, a test holds the two together."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import api.alerts.tables
import api.auth.tables
import api.backtests.tables
import api.candles.tables
import api.core.tables
import api.custody.tables
import api.health.tables
import api.history.tables
import api.kill.tables
import api.orders.tables
import api.portfolios.tables
import api.risk.tables
import api.strategies.tables
import api.swaps.tables
import api.webhooks.tables  # noqa: F401 - declares the tables, as do those before
from runtime.database import Database

MIGRATIONS: Final = Path(__file__).parent / "migrations"
PREFIX: Final = "api_"
"""The names of the API's tables begin so; all others are custody's."""


def open_tables(database: Database) -> Database:
    """Bring the API's tables up to date and hand the database back."""
    database.migrate(MIGRATIONS)
    return database
