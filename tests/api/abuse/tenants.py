"""Three organisations of one installation, of which one has a thing of every kind that a route's path can name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import inspect, text

from api.auth import declared_routes, requirement_of
from api.auth.bootstrap import bootstrap
from api.auth.principal import Method, Principal
from api.auth.tables import MembershipRow, PasskeyRow, SessionRow, UserRow, WalletRow
from api.backtests.tables import BacktestResultRow
from api.custody.tables import VaultRow
from api.portfolios.directory import assign
from api.services import Services
from api.strategies.tables import StrategyVersionRow
from api.swaps.tables import SwapRow
from engine.backtest.packing import pack
from tests.api.custody.lab import RECIPIENT
from tests.api.custody.lab import House as Custody
from tests.api.custody.test_desk_routes import arrived, recorded
from tests.api.lab import ANYBODY, JSON, Answer, Client, OpenGate, application
from tests.api.orders.test_orders import BODY, House
from tests.api.test_document import Engine

VERBS: Final = ("GET", "PUT", "PATCH", "POST", "DELETE")
"""In the order in which an owner uses them: what is taken away is taken away last."""
NOBODYS: Final = {
    "/docs/{asset}": "the documentation's own files",
    "/readyz/{component}": "for probes: a word of the installation's parts",
    "/v1/branding/{slug}": "what anybody sees before logging in at an exchange",
    "/v1/books/{instrument:path}": "the market is everybody's",
    "/v1/candles/{instrument:path}": "the market is everybody's",
    "/v1/instruments/{instrument:path}": "the market is everybody's",
    "/v1/trades/{instrument:path}": "the market is everybody's",
    "/v1/venues/{venue}": "a venue is everybody's, and nothing of anybody's account there is told",
}
"""Routes whose path names what no organisation has to itself, each with the reason."""
HOUSES: Final = {
    "/v1/policies/proposals/{proposal}": "one policy holds for all",
    "/v1/policies/proposals/{proposal}/signatures": "one policy holds for all",
}
"""Routes whose path names what only the house has; everybody else is told so."""
SIGNATURE: Final = {"key": "ed25519:" + "0" * 64, "verdict": "reject", "proof": {"signature": "0" * 128}}
WHAT_A_TRY_LEAVES: Final = frozenset({"api_idempotency_keys", "audit_log", "api_challenges"})


@dataclass
class Tenants:
    """`owner` has the things, `stranger` has nothing; `things` are the owner's ids by the name of the parameter."""

    services: Services
    client: Client
    gate: OpenGate
    owner: Principal
    stranger: Principal
    things: dict[str, str] = field(default_factory=dict)
    _tries: Iterator[int] = field(default_factory=lambda: iter(range(10**6)))

    @classmethod
    async def of(cls, services: Services, folder: Path) -> Tenants:
        house = House(services, folder)
        services.engine.ask = Engine(house).ask  # type: ignore[method-assign]
        made = {
            slug: bootstrap(services.auth, slug=slug, name=slug, email=f"owner@{slug}.example")
            for slug in ("house", "acme", "globex")
        }
        owner, stranger = (
            replace(
                ANYBODY,
                organisation=each.organisation,
                user=each.user,
                actor=f"user:{each.user}",
                session="ses",
                method=Method.TOKEN,
            )
            for each in (made["acme"], made["globex"])
        )
        with services.database.transaction() as session:
            assign(session, "desk", made["acme"].portfolio)
        await services.directory.refresh(now=True)
        self = cls(services, Client(application(services, house.gate)), house.gate, owner, stranger)
        self.things |= {"portfolio": made["acme"].portfolio, "strategy": "desk", "key": made["acme"].key}
        await self._fill()
        return self

    async def _fill(self) -> None:
        """Make the rest, over the API where it can be."""
        now, user = self.services.clock.now_ns(), str(self.owner.user)
        with self.services.database.transaction() as session:
            other = UserRow(id="usr_aaaaaaaaaaaaaaaa", email="mel@acme.example", name="mel", created_ns=now)
            session.add(other)
            session.flush()
            session.add(
                MembershipRow(organisation=self.owner.organisation, user=other.id, roles="viewer", created_ns=now)
            )
            session.add(PasskeyRow(id="pk-acme", user=user, name="phone", public="", counter=0, created_ns=now))
            session.add(
                StrategyVersionRow(
                    strategy="desk", version=1, source="file", author="", reason="", changed="{}", parameters="{}",
                    created_ns=now,
                )
            )  # fmt: skip
            session.add(WalletRow(address="0x" + "11" * 20, user=user, chain_id=1, created_ns=now))
            session.add(
                SessionRow(
                    id="ses_aaaaaaaaaaaaaaaa", user=user, organisation=self.owner.organisation, methods="pwd",
                    scopes="", counter=0, address="", agent="", created_ns=now, refreshed_ns=now,
                    expires_ns=now + 10**15,
                )
            )  # fmt: skip
        self.things |= {
            "user": "usr_aaaaaaaaaaaaaaaa", "passkey": "pk-acme", "address": "0x" + "11" * 20,
            "name": "ses_aaaaaaaaaaaaaaaa",
        }  # fmt: skip
        self.things["order_id"] = (await self.make("/v1/orders?wait_ms=0", BODY))["id"]
        self.things["kill"] = (await self.make("/v1/kills", {"target": "strategy", "name": "desk"}))["id"]
        hook = {"url": "https://1.1.1.1/never-asked"}
        self.things["webhook"] = (await self.make("/v1/webhooks", hook))["id"]
        await self.make(f"/v1/webhooks/{self.things['webhook']}/tests", None)
        deliveries = await self.ask(self.owner, "GET", f"/v1/webhooks/{self.things['webhook']}/deliveries")
        self.things["delivery"] = str(json.loads(deliveries.body)["data"][0]["id"])
        client = {"name": "tax", "scopes": ["orders:read"], "redirects": ["https://tax.example/callback"]}
        backtest = self.example("POST", "/v1/backtests")
        self.things["backtest"] = (await self.make("/v1/backtests", backtest))["id"]
        with self.services.database.transaction() as session:
            done = BacktestResultRow(backtest=self.things["backtest"], result="{}", curve="[]", report=pack("page"))
            session.add(done)
            swap = SwapRow(
                id=f"sw_{'a' * 24}", organisation=self.owner.organisation, actor=self.owner.actor, initiator=user,
                state="mined", chain_id=1, token_in="0x" + "11" * 20, token_out="0x" + "22" * 20, is_exact_out=False,
                amount_in="1", amount_out="1", amount_in_max="1", amount_out_min="1", max_hops=1,
                through="universal-router", slippage_bps=1, impact_bps_max=1, deadline_ns=now, created_ns=now,
            )  # fmt: skip
            session.add(swap)
            self.things["swap"] = swap.id
        await self._fill_custody()
        await self._fill_alerts()
        self.things["oauth-clients/client"] = (await self.make("/v1/oauth-clients", client))["id"]

    async def _fill_custody(self) -> None:
        """A client with coins, its withdrawal, what people are asked about that, and the vault it leaves."""
        custody = Custody(self.services, self.client, self.gate)
        client = (await self.make("/v1/clients", {"name": "tina"}))["id"]
        custody.owe(client)
        paid = {"client": client, "asset": "ETH", "amount": "1", "to": {"address": RECIPIENT}}
        withdrawal = (await self.make("/v1/withdrawals", paid))["id"]
        custody.asks(withdrawal, vault="default")
        entry = (await self.make("/v1/addresses", {"client": client, "address": RECIPIENT}))["id"]
        with self.services.database.transaction() as session:
            session.add(VaultRow(name="default", organisation=self.owner.organisation, changed_ns=1))
        frozen = await self.make("/v1/freezes", {"scope": "vault/default", "reason": "drill"})
        self.things["freeze_id"] = str(frozen["id"])
        recorded(custody, withdrawal)
        self.things |= {
            "clients/client": client, "withdrawal": withdrawal, "intent": withdrawal, "addresses/address": str(entry),
            "deposit": str(arrived(custody, client, 1)), "transaction": withdrawal, "vault": "default",
        }  # fmt: skip

    async def _fill_alerts(self) -> None:
        """The press of a kill switch has opened one; a rule, and somebody to be told."""
        alerts = json.loads((await self.ask(self.owner, "GET", "/v1/alerts")).body)["data"]
        self.things["alert"] = alerts[0]["id"]
        rule = {"portfolio": self.things["portfolio"], "limit": "2500"}
        self.things["rule"] = (await self.make("/v1/alert-rules", rule))["id"]
        channel = {"type": "pagerduty", "routing_key": "0" * 32}
        self.things["channel"] = (await self.make("/v1/alert-channels", channel))["id"]

    @property
    def bodies(self) -> dict[str, Any]:
        return {
            "/v1/approvals/{intent}/signatures": SIGNATURE,
            "/v1/keys/{key}/networks": {"networks": ["127.0.0.0/8"]},
            "/v1/strategies/{strategy}/portfolio": {"portfolio": self.things["portfolio"]},
        }

    async def make(self, path: str, value: Any) -> dict[str, Any]:
        answer = await self.ask(self.owner, "POST", path, value)
        assert answer.status in (200, 201, 202), (path, answer.body)
        return dict(json.loads(answer.body))

    async def ask(self, who: Principal, verb: str, path: str, value: Any = None) -> Answer:
        """Ask as somebody, with a step-up and a key of its own where the route wants them."""
        self.gate.principal = who
        body = b"" if value is None else json.dumps(value).encode()
        headers = {"idempotency-key": f"try-{next(self._tries):08}"} | (JSON if body else {})
        return await self.client.full(verb, path, body, headers=headers)

    def named(self) -> list[tuple[str, str, dict[str, str]]]:
        """Every (verb, path, what of the owner its parameters name) of a route that names things of an organisation."""
        found = []
        for route in declared_routes(self.client.app):
            wanted = set(re.findall(r"\{(\w+)", route.path))
            if not wanted or route.path in NOBODYS | HOUSES:
                continue
            # `client` is an OAuth client in one path and a client of custody in another.
            of_path = {name: f"{route.path.split('/')[2]}/{name}" for name in wanted}
            keys = {name: own if own in self.things else name for name, own in of_path.items()}
            values = {name: self.things[key] for name, key in keys.items() if key in self.things}
            assert set(values) == wanted, f"{route.path} names what `things` has none of, and is asked for by nobody"
            assert requirement_of(route) is not None, f"{route.path} names a thing, and anybody may ask for it"
            verbs = set(getattr(route, "methods", None) or ())
            assert verbs <= set(VERBS), (route.path, verbs)
            found += [(verb, route.path, values) for verb in verbs]
        return sorted(found, key=lambda each: (VERBS.index(each[0]), each[1]))

    def example(self, verb: str, path: str) -> Any:
        """A body that the route would take, as its document shows it; what it names is the owner's."""
        if path in self.bodies:
            return self.bodies[path]
        document = self.client.app.openapi()
        content = document["paths"][path.replace(":path", "")][verb.lower()].get("requestBody")
        if content is None:
            return None
        schema = document["components"]["schemas"][
            content["content"]["application/json"]["schema"]["$ref"].split("/")[-1]
        ]
        if "examples" in schema:
            return schema["examples"][0]
        filled = {
            name: (each.get("examples") or [each.get("default")])[0]
            for name, each in schema.get("properties", {}).items()
        }
        return {name: value for name, value in filled.items() if value is not None}


def stored(services: Services) -> dict[str, list[Any]]:
    """Every row of every table but those that a refused try may leave."""
    with services.database.transaction() as session:
        tables = sorted(set(inspect(session.connection()).get_table_names()) - WHAT_A_TRY_LEAVES)
        return {table: sorted(map(str, session.execute(text(f"SELECT * FROM {table}")))) for table in tables}


def filled(path: str, values: dict[str, str]) -> str:
    return re.sub(r"\{(\w+)(?::path)?\}", lambda found: values.get(found[1], "x"), path)
