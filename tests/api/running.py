"""A running engine behind the API: real kernel, journal, runner and control socket; an exchange in memory."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from api.auth.principal import Principal
from api.core.errors import Forbidden
from api.portfolios.directory import assign, create
from api.services import Services
from cli.engine_changing import Changing
from cli.engine_join import with_created
from cli.engine_operator import Operator
from engine.journal import Journal, read_journal
from engine.native import NativeKernel
from engine.requests import Requests
from engine.runner import LiveRunner
from engine.setup import RunConfig, build_kernel, continued
from engine.wiring import Wiring
from runtime.control import serve_control
from tests.api.lab import ANYBODY, JSON, Client, OpenGate, application
from tests.engine.places import MemoryBooks, MemoryExchange
from tests.engine.strategies.test_reconfigure import run_config

HOUSE = replace(ANYBODY, organisation="org_house", user="usr_house", actor="key:key_house")
ACME = replace(ANYBODY, organisation="org_acme", user="usr_acme", actor="key:key_acme")


class AskingGate(OpenGate):
    """Admits everybody as one caller, who confirms only when told to."""

    def __init__(self, principal: Principal) -> None:
        super().__init__(principal)
        self.confirms = False
        self.asked = 0

    async def confirm(self, _request: Any, principal: Principal) -> Principal:
        self.asked += 1
        if not self.confirms:
            raise Forbidden("a person must confirm", code="step_up_required")
        return principal


@dataclass
class Running:
    """The engine that runs now."""

    kernel: NativeKernel
    runner: LiveRunner
    changing: Changing


class House:
    """The house has the rest; Acme a portfolio with the strategy `obi`."""

    def __init__(self, services: Services, folder: Path) -> None:
        self.services, self.folder = services, folder
        self.gate = AskingGate(HOUSE)
        self.exchange = MemoryExchange()
        self.client = Client(application(services, self.gate))
        with services.database.transaction() as session:
            self.main = create(session, HOUSE.organisation, "main", 1, has_rest=True).id
            self.acme = create(session, ACME.organisation, "making", 1).id
            assign(session, "obi", self.acme)

    @asynccontextmanager
    async def engine(self, wanted: RunConfig | None = None, *, journal: str = "journal.bin") -> AsyncIterator[Running]:
        """Run an engine as its process does, on a journal that may be there already."""
        services, path = self.services, self.folder / journal
        wanted = wanted or run_config()
        settings = with_created(wanted.settings, self.folder / "strategies", is_new_run=not path.exists())
        config = full = replace(wanted, settings=settings)
        if path.exists():
            config = continued(RunConfig.from_header(read_journal(path)[0]), full)
        kernel, opened = build_kernel(config, self.folder), Journal.open(path, config.to_header())
        wiring = Wiring(venues={"sandbox": self.exchange}, desk=None, bookkeeper=MemoryBooks(), clock=services.clock)
        runner = LiveRunner(kernel, opened, wiring)
        await self.exchange.start(runner.emit)
        changing = Changing.of(runner, services.database, self.folder / "strategies", services.clock.now_ns)
        requests = Requests(kernel, runner.emit)
        operator = Operator(runner, None, {}, changing.reloader, requests, changing.commands())  # type: ignore[arg-type]
        await changing.keep_limits(wiring)
        stop, started = asyncio.Event(), asyncio.Event()
        async with serve_control(self.folder / "nobody.sock", operator.handle):
            task = asyncio.create_task(runner.run(stop, started=started.set))
            await started.wait()
            changing.begin(wanted.settings.strategies, settings.strategies)
            await changing.settled()
            try:
                yield Running(kernel, runner, changing)
            finally:
                stop.set()
                await task
                opened.close()

    def by(self, who: Principal) -> House:
        self.gate.principal = who
        return self

    async def ask(self, method: str, path: str, body: Any = None, *, key: str = "") -> tuple[int, Any]:
        headers = JSON | ({"idempotency-key": key} if key else {})
        said = b"" if body is None else json.dumps(body).encode()
        answer = await self.client.full(method, path, said, headers=headers)
        return answer.status, json.loads(answer.body)
