"""The application, its worker's deliveries, a PagerDuty and a mail server on loopback; clocks are moved."""

from __future__ import annotations

import json
import ssl
import warnings
from dataclasses import replace
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult

from api.alerts.rules import Finding
from api.alerts.services import Alerts, make_tellers
from api.alerts.settings import AlertSettings
from api.auth import Principal
from api.auth.settings import ApiSettings
from api.portfolios.directory import assign, create
from api.services import Services
from api.webhooks import Deliverer
from tests.api.alerts.pagerduty import PagerDuty
from tests.api.lab import ANYBODY, JSON, Client, OpenGate, application

ORG = ANYBODY.organisation
ROUTING_KEY = "R0" * 16


class Desk:
    """Acme, with two portfolios, the house's one, and whoever is told."""

    def __init__(self, services: Services, folder: Path, pagerduty: PagerDuty) -> None:
        self.services, self.folder, self.pagerduty = services, folder, pagerduty
        self.gate = OpenGate()
        self.settings = AlertSettings(pagerduty_url=pagerduty.url)
        with services.database.transaction() as session:
            self.mm = create(session, ORG, "mm", 1).id
            self.arb = create(session, ORG, "arb", 1).id
            self.house = create(session, "org_house", "main", 1, has_rest=True).id
            assign(session, "mm", self.mm)
            assign(session, "arb", self.arb)

    @property
    def book(self):
        return self.services.alerts.book

    def configure(self, **settings: Any) -> None:
        self.settings = AlertSettings(pagerduty_url=self.pagerduty.url, **settings)
        s = self.services
        object.__setattr__(s, "alerts", Alerts(s.database, s.key, s.clock.now_ns, self.settings))

    def become(self, **changes: Any) -> Principal:
        self.gate.principal = replace(ANYBODY, **changes)
        return self.gate.principal

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        content = b"" if body is None else json.dumps(body).encode()
        status, _, answer = await Client(application(self.services, self.gate)).ask(method, path, content, headers=JSON)
        return status, json.loads(answer) if answer else None

    async def channel(self, **more: Any) -> dict[str, Any]:
        about = {"type": "pagerduty", "routing_key": ROUTING_KEY, "severity": "info"} | more
        status, made = await self.ask("POST", "/v1/alert-channels", {k: v for k, v in about.items() if v is not None})
        assert status == 201, made
        return made

    async def find(
        self, kind: str = "engine.stopped", key: str = "engine", organisation: str = ORG, **more: Any
    ) -> None:
        """Have something found."""
        finding = Finding(organisation, kind, key, more.pop("summary", f"{kind} of {key}"), **more)
        await self.services.database.run(lambda session: self.book.open(session, finding) and None)

    async def over(self, kind: str = "engine.stopped", key: str = "engine") -> None:
        await self.services.database.run(lambda s: self.book.resolve_key(s, ORG, kind, key, "capstan"))

    async def alerts(self, query: str = "") -> list[dict[str, Any]]:
        status, page = await self.ask("GET", f"/v1/alerts{query}")
        assert status == 200, page
        return page["data"]

    async def deliver(self) -> int:
        s = self.services
        tellers = make_tellers(s.key, ApiSettings(), self.settings, self.folder, s.clock.now_ns)
        return await Deliverer(s.database, tellers, s.clock.now_ns).run()

    async def log(self, channel: dict[str, Any]) -> list[dict[str, Any]]:
        return (await self.ask("GET", f"/v1/alert-channels/{channel['id']}/deliveries"))[1]["data"]

    def pass_by(self, seconds: int) -> None:
        self.services.clock.advance(seconds=seconds)


async def serve(pagerduty: PagerDuty) -> web.AppRunner:
    app = web.Application()
    app.router.add_post("/v2/enqueue", pagerduty.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pagerduty.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v2/enqueue"
    return runner


class Mails:
    """What a mail server took. It wants TLS, and whoever sends to log in."""

    def __init__(self) -> None:
        self.got: list[EmailMessage] = []
        self.refuses: set[str] = set()
        self.port = 0

    async def handle_RCPT(self, _server, _session, envelope, address, _options):  # noqa: N802
        if address in self.refuses:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        message = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.got.append(message)
        return "250 taken"

    def starttls(self, context: ssl.SSLContext) -> SMTP:
        return self._server(tls_context=context, require_starttls=True, auth_required=True)

    def plain(self) -> SMTP:
        return self._server(auth_required=False)

    def inside_tls(self) -> SMTP:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It does not know that TLS is around it.
            return self._server(auth_required=True, auth_require_tls=False)

    def _server(self, **how: Any) -> SMTP:
        def admit(_server, _session, _envelope, _mechanism, data):
            return AuthResult(handled=False, success=(data.login, data.password) == (b"capstan", b"sesame"))

        return SMTP(self, hostname="mail.example", authenticator=admit, enable_SMTPUTF8=True, **how)
