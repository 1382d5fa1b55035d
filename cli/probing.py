"""The components of an installation: what its settings name, and how each is asked. One list for API and worker."""

from __future__ import annotations

import time
from collections.abc import Callable

from api.engine_door import EngineDoor
from api.health.board import Check, Component, State, look_at
from api.health.checks import basic_components, redis_check, socket_check
from chain import ChainClient
from cli.data_dir import DataDir
from cli.settings import ChainSettings, Settings
from domain import ChainId
from runtime.database import Database

ENGINE_S = 2.5


def components_of(
    settings: Settings, data: DataDir, database: Database, now_ns: Callable[[], int]
) -> tuple[Component, ...]:
    """Every component that this installation has."""
    door = EngineDoor(data.control)
    basic = basic_components(database, lambda command: door.ask(command, timeout_s=ENGINE_S), now_ns)
    return (*basic, *further_components(settings, data))


def further_components(settings: Settings, data: DataDir) -> tuple[Component, ...]:
    """What the settings name, besides what every installation has."""
    found = []
    if settings.api.redis:
        # Nonces and rates stand there: without it nobody can be admitted.
        found.append(Component("redis", redis_check(settings.api.redis), is_required=True))
    if settings.tasks.broker:
        found.append(Component("broker", redis_check(settings.tasks.broker)))
    if settings.chain is not None:
        found.append(Component("chain", _chain_check(settings.chain)))
    if settings.custody is not None and settings.mode == "live":
        found.append(Component("signer", socket_check(data.root / settings.custody.signer_socket)))
    return tuple(found)


async def probe(settings: Settings, data: DataDir) -> dict[str, str]:
    """Give what is wrong with each component that is configured; empty text is nothing. A worker looks, so that
    somebody is told; the engine and the database it meets by itself."""
    found = await look_at(further_components(settings, data), time.time_ns)
    return {one.name: one.detail[:200] if one.state is State.DOWN else "" for one in found}


def _chain_check(settings: ChainSettings) -> Check:
    async def check() -> str:
        async with ChainClient(list(settings.endpoints), ChainId(settings.chain_id)) as client:
            return f"block {(await client.head()).number}"

    return check
