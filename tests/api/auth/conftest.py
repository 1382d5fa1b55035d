"""The application over a database of its own, its owner with a key, and the owner as a person who has logged in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.services import Services
from tests.api.callers import Caller, Person
from tests.api.lab import Client, api_services, application


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    with api_services(tmp_path) as found:
        yield found


@pytest.fixture
def client(services: Services) -> Client:
    return Client(application(services))


@pytest.fixture
def owner(client: Client, services: Services) -> Caller:
    return Caller.owner(client, services)


@pytest.fixture
async def ann(owner: Caller) -> Person:
    """The owner, logged in."""
    return await Person.owner(owner).log_in()
