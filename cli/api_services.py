"""Puts together what the API works with, of an installation's data directory."""

from __future__ import annotations

from api.core.keys import ServerKey
from api.engine_door import EngineDoor
from api.services import Services
from api.tables import open_tables
from cli.data_dir import DataDir
from cli.settings import load_settings
from cli.wiring import open_ledger
from runtime import SystemClock


def open_services(data: DataDir) -> Services:
    """Open the database, the server's key and the door to the engine.

    Raises:
        InputError: Settings or key file that cannot be used.
        VenueUnavailable: The database does not answer.
    """
    settings = load_settings(data.settings)
    database, ledger = open_ledger(settings, data)
    return Services.over(
        clock=SystemClock(),
        database=open_tables(database),
        key=ServerKey.at(data.api_key),
        engine=EngineDoor(data.control),
        settings=settings.api,
        books=ledger,
    )
