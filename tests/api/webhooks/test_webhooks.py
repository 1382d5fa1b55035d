"""Webhooks reach who wants them, signed, once each, by the ladder; and never anybody inside."""

from __future__ import annotations

import base64
import json
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlmodel import select
from standardwebhooks import Webhook

from api.history.writer import _write_fills, _write_orders
from api.portfolios.directory import create
from api.v1.webhooks import Kind
from api.webhooks import KINDS, LADDER_S, Deliverer, Guard, WebhookTeller
from api.webhooks.tables import SecretRow
from domain import InputError, Refused
from tests.api.lab import ANYBODY, JSON, Client, OpenGate, api_services, application
from tests.api.logs import logging

ORG = ANYBODY.organisation


class House:
    """The application, a receiver on loopback and a worker's run."""

    def __init__(self, services, receiver):
        self.services, self.receiver = services, receiver
        self.client = Client(application(services, OpenGate()))

    async def ask(self, method, path, body=None):
        content = b"" if body is None else json.dumps(body).encode()
        status, _, answer = await self.client.ask(method, f"/v1/webhooks{path}", content, headers=JSON)
        return status, json.loads(answer) if answer else None

    async def endpoint(self, **more):
        status, made = await self.ask("POST", "", {"url": self.receiver.url, **more})
        assert status == 201, made
        return made

    async def announce(self, kind="kill.pressed", organisation=ORG, **more):
        work = self.services.webhooks.announce
        return await self.services.database.run(lambda session: work(session, organisation, kind, {"n": "1"}, **more))

    async def deliver(self, guard=None):
        s = self.services
        teller = WebhookTeller(s.webhooks.secrets, guard or s.webhooks.guard)
        return await Deliverer(s.database, {"webhook": teller}, s.clock.now_ns).run()

    async def log(self, endpoint):
        return (await self.ask("GET", f"/{endpoint['id']}/deliveries"))[1]["data"]


class Receiver:
    def __init__(self):
        self.got, self.answers, self.url = [], [], ""

    async def take(self, request):
        self.got.append((dict(request.headers), await request.read()))
        status = self.answers.pop(0) if self.answers else 204
        return web.Response(status=status, headers={"location": "/elsewhere"} if status == 302 else {})


@asynccontextmanager
async def receiving(tls=None):
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/{path:.*}", receiver.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    receiver.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield receiver
    finally:
        await runner.cleanup()


@pytest.fixture
async def house(tmp_path):
    async with receiving() as receiver:
        with api_services(tmp_path) as services:
            services.webhooks.guard = Guard(["127.0.0.0/8"])
            services.clock.advance(ns=time.time_ns() - services.clock.now_ns())  # The verifier knows the real time.
            yield House(services, receiver)


async def test_an_event_reaches_its_endpoint_with_signatures_that_others_verify(house):
    made = await house.endpoint()
    event = await house.announce()
    assert await house.deliver() == 1
    headers, body = house.receiver.got[0]
    lowered = {name.lower(): value for name, value in headers.items()}
    assert Webhook(made["secret"]).verify(body, lowered)["data"] == {"n": "1"}
    assert lowered["webhook-id"] == event
    v1a = lowered["webhook-signature"].split(" v1a,")[1]
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(made["public_keys"][0].removeprefix("whpk_")))
    public.verify(base64.b64decode(v1a), f"{event}.{lowered['webhook-timestamp']}.".encode() + body)
    assert await house.deliver() == 0
    assert [row["state"] for row in await house.log(made)] == ["delivered"]


async def test_two_secrets_sign_until_the_overlap_ends_and_a_third_ends_the_first(house):
    first = await house.endpoint()
    path = f"/{first['id']}/secrets"
    second = (await house.ask("POST", path, {"overlap_hours": 1}))[1]
    keys = [Webhook(made["secret"]) for made in (first, second)]

    async def signed():
        await house.announce()
        await house.deliver()
        headers, body = house.receiver.got[-1]
        at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
        given = headers["webhook-signature"].split(" ")
        return [key.sign(headers["webhook-id"], at, body.decode()) in given for key in keys]

    assert await signed() == [True, True]
    house.services.clock.advance(ns=3_600 * 10**9)
    assert await signed() == [False, True]
    for _ in range(2):
        last = (await house.ask("POST", path, {"overlap_hours": 720}))[1]
    assert len(last["public_keys"]) == 2
    assert await signed() == [False, False]


async def test_what_fails_climbs_the_ladder_ends_as_failed_and_can_be_replayed(house):
    made = await house.endpoint()
    await house.announce()
    house.receiver.answers = [500] * (len(LADDER_S) + 1)
    for wait_s in LADDER_S:
        assert await house.deliver() == 1
        house.services.clock.advance(ns=wait_s * 10**9 - 1)
        assert await house.deliver() == 0
        house.services.clock.advance(ns=1)
    assert await house.deliver() == 1
    row = (await house.log(made))[0]
    assert (row["state"], row["tries"]) == ("failed", len(LADDER_S) + 1)
    house.services.clock.advance(ns=10**18)
    assert await house.deliver() == 0
    path = f"/{made['id']}/deliveries/{row['id']}"
    assert (await house.ask("POST", f"{path}/replays"))[0] == 202
    assert await house.deliver() == 1
    shown = (await house.ask("GET", path))[1]
    assert shown["state"] == "delivered"
    assert [one["status"] for one in shown["attempts"]] == [500] * (len(LADDER_S) + 1) + [204]
    assert len({headers["webhook-id"] for headers, _ in house.receiver.got}) == 1


async def test_who_has_much_to_be_told_holds_up_nobody_who_has_little(house, monkeypatch):
    monkeypatch.setattr("api.webhooks.delivery._ONE_RUN", 2)
    await house.endpoint(kinds=["order.ended"])
    for _ in range(3):
        await house.announce("order.ended")
    house.services.clock.advance(ns=1)
    made = await house.endpoint(kinds=["fill.created"])
    await house.announce("fill.created")
    assert await house.deliver() == 2
    assert [row["state"] for row in await house.log(made)] == ["delivered"]


async def test_one_that_cannot_be_told_by_a_fault_of_ours_keeps_nothing_from_the_others(house):
    sealed, broken, good = [await house.endpoint() for _ in range(3)]
    with house.services.database.transaction() as session:
        row = session.exec(select(SecretRow).where(SecretRow.endpoint == sealed["id"])).one()
        row.sealed = "AAAA"
    ours = house.services.webhooks.guard.parse

    def parse(url):
        house.parsed += 1
        if house.parsed == 1:
            raise TypeError("ours")
        return ours(url)

    house.parsed = 0
    house.services.webhooks.guard.parse = parse
    await house.announce()
    assert await house.deliver() == 3
    states = [(await house.log(one))[0]["state"] for one in (sealed, broken, good)]
    assert sorted(states) == ["delivered", "pending", "pending"]
    assert (await house.log(sealed))[0]["tries"] == 1


async def test_a_redirect_is_not_followed_and_gone_ends_the_endpoint(house):
    made = await house.endpoint()
    house.receiver.answers = [302, 410]
    await house.announce()
    await house.deliver()
    assert (await house.log(made))[0]["state"] == "pending"
    assert len(house.receiver.got) == 1
    house.services.clock.advance(ns=LADDER_S[0] * 10**9)
    await house.deliver()
    assert (await house.ask("GET", f"/{made['id']}"))[1]["enabled"] is False
    assert await house.announce() is None


def test_every_kind_that_is_told_can_be_asked_for():
    assert sorted(get_args(Kind)) == sorted(KINDS)


async def test_only_who_wants_a_kind_and_owns_the_event_is_told_and_nothing_of_what_was_rolled_back(house):
    await house.endpoint(kinds=["fill.created"])
    assert await house.announce() is None
    assert await house.announce("fill.created", organisation="org_other") is None

    def broken(session):
        house.services.webhooks.announce(session, ORG, "fill.created", {})
        raise InputError("no")

    with pytest.raises(InputError):
        await house.services.database.run(broken)
    assert await house.deliver() == 0
    assert await house.announce("fill.created", source="fill/1")
    assert await house.announce("fill.created", source="fill/1") is None
    assert await house.deliver() == 1


async def test_trades_and_ends_of_orders_are_told_once_to_whom_the_strategy_belongs(house):
    made = await house.endpoint()
    fill = dict.fromkeys(("client_order_id", "side", "price", "qty", "quote", "fee_asset", "fee", "time_ns"), "1")
    fill |= {"strategy": "mm", "instrument": "x:A", "trade_id": "7", "venue_order_id": None, "is_maker": True}
    fields = ("type", "instrument", "side", "time_in_force", "price", "qty", "filled", "sent_ns", "client_order_id")
    order = dict.fromkeys(fields, "1") | {"strategy": "mm", "reason": None, "venue_order_id": None}

    def write(session):
        create(session, ORG, "main", 1, has_rest=True)
        _write_fills(session, [fill])
        _write_fills(session, [fill])
        for state in ("accepted", "filled", "filled"):
            _write_orders(session, [order | {"state": state}])

    await house.services.database.run(write)
    assert sorted(row["kind"] for row in await house.log(made)) == ["fill.created", "order.ended"]


async def test_another_organisation_sees_none_of_it(house):
    made = await house.endpoint()
    await house.announce()
    number = (await house.log(made))[0]["id"]
    house.client = Client(application(house.services, OpenGate(replace(ANYBODY, organisation="org_other"))))
    for method, path, body in (
        ("GET", "", None), ("PATCH", "", {"enabled": False}), ("DELETE", "", None), ("POST", "/secrets", {}),
        ("POST", "/tests", None), ("GET", "/deliveries", None), ("GET", f"/deliveries/{number}", None),
        ("POST", f"/deliveries/{number}/replays", None),
    ):  # fmt: skip
        assert (await house.ask(method, f"/{made['id']}{path}", body))[0] == 404
    assert (await house.ask("GET", ""))[1]["data"] == []


async def test_a_caller_of_some_portfolios_is_told_of_none_by_a_webhook(house):
    endpoint = await house.endpoint()
    await house.announce()
    house.client = Client(application(house.services, OpenGate(replace(ANYBODY, portfolios=frozenset({"pf_1"})))))
    for method, path, body in (
        ("GET", "", None),
        ("POST", "", {"url": house.receiver.url}),
        ("GET", f"/{endpoint['id']}", None),
        ("PATCH", f"/{endpoint['id']}", {"enabled": False}),
        ("GET", f"/{endpoint['id']}/deliveries", None),
        ("DELETE", f"/{endpoint['id']}", None),
    ):
        status, problem = await house.ask(method, path, body)
        assert (status, problem["code"]) == (403, "all_portfolios_only"), (method, path)


async def test_an_endpoint_can_be_tested_changed_and_ended(house):
    made = await house.endpoint()
    assert (await house.ask("POST", f"/{made['id']}/tests"))[1]["kind"] == "webhook.test"
    await house.deliver()
    assert (await house.ask("PATCH", f"/{made['id']}", {"enabled": False}))[1]["disabled_reason"] == "by a person"
    assert (await house.ask("POST", f"/{made['id']}/tests"))[0] == 409
    assert (await house.ask("DELETE", f"/{made['id']}"))[0] == 204
    assert (await house.ask("GET", f"/{made['id']}"))[0] == 404
    assert (await house.ask("POST", "", {"url": "https://10.0.0.1/"}))[0] == 403


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "10.1.2.3", "169.254.169.254", "100.64.0.1", "0.0.0.0", "[::1]", "[fd00::1]", "[fe80::1]",
     "[fec0::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255"],
)  # fmt: skip
def test_an_address_inside_is_refused(host):
    with pytest.raises(Refused):
        Guard().parse(f"https://{host}/")


@pytest.mark.parametrize(
    "url", ["ftp://a.example/", "https://u:p@a.example/", "https://a.example/#x", "https://", "https://a b/", "x"]
)
def test_what_is_no_url_of_a_webhook_is_refused(url):
    with pytest.raises(InputError):
        Guard().parse(url)


async def test_a_name_that_leads_inside_is_refused_also_when_only_one_of_its_addresses_does():
    async def answer(host, port):
        return {"in": ["10.0.0.1"], "both": ["8.8.8.8", "127.0.0.1"], "out": ["8.8.8.8"]}[host]

    guard = Guard(resolve=answer)
    await guard.admit("https://out/")
    for host in ("in", "both"):
        with pytest.raises(Refused):
            await guard.admit(f"https://{host}/")
    with pytest.raises(Refused):
        await guard.admit("http://out/")
    with pytest.raises(Refused):
        await Guard().admit("https://2130706433/")  # 127.0.0.1 to those who read it as a number


async def test_a_name_that_changes_after_it_was_admitted_reaches_nothing_inside(house):
    port = house.receiver.url.split(":")[2].split("/")[0]
    asked = []

    async def rebinding(host, port):
        asked.append(host)
        return ["8.8.8.8"] if len(asked) == 1 else ["127.0.0.1"]

    house.services.webhooks.guard = Guard(resolve=rebinding)
    house.receiver.url = f"https://rebind.example:{port}/"
    made = await house.endpoint()
    await house.announce()
    with logging() as written:
        await house.deliver()
    line = written.one(event="webhooks.refused")
    assert (line["level"], line["rule"], line["endpoint"]) == ("warning", "webhook-address", made["id"])
    written.check("rebind.example", "127.0.0.1", made["secret"])
    row = (await house.log(made))[0]
    shown = (await house.ask("GET", f"/{made['id']}/deliveries/{row['id']}"))[1]
    assert (row["state"], shown["attempts"][0]["status"]) == ("pending", None)
    assert "public address" in shown["attempts"][0]["error"]
    assert house.receiver.got == []
    assert len(asked) == 2
