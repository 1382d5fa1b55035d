"""Deliveries on each database the product runs on, and over TLS with a certificate that is checked."""

from __future__ import annotations

import ssl
import time

import pytest

from api.webhooks import LADDER_S, Deliverer, Guard, WebhookTeller
from tests.api.lab import api_services
from tests.api.webhooks.test_webhooks import House, receiving
from tests.wallets.rpc.certificates import Authority


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A machine that is slow is no receiver that hangs."""
    monkeypatch.setattr("api.webhooks.delivery.TRY_S", 60.0)


async def test_deliveries_climb_the_ladder_and_take_turns_on_each_database(database_url, tmp_path):
    async with receiving() as receiver:
        with api_services(tmp_path, url=database_url) as services:
            services.webhooks.guard = Guard(["127.0.0.0/8"])
            services.clock.advance(ns=time.time_ns() - services.clock.now_ns())
            house = House(services, receiver)
            made, busy = await house.endpoint(kinds=["fill.created"]), await house.endpoint(kinds=["order.ended"])
            for number in range(12):
                await house.announce("order.ended", source=f"order/{number}")
                await house.announce("order.ended", source=f"order/{number}")
            await house.announce("fill.created")
            receiver.answers = [500] * 11
            assert await house.deliver() == 11  # Ten of the busy one, and the other is not behind them.
            assert await house.deliver() == 2
            services.clock.advance(ns=LADDER_S[0] * 10**9)
            while await house.deliver():
                pass
            states = [[row["state"] for row in await house.log(endpoint)] for endpoint in (made, busy)]
            assert states == [["delivered"], ["delivered"] * 12]
            assert len({headers["webhook-id"] for headers, _ in receiver.got}) == 13
            assert (await house.ask("DELETE", f"/{busy['id']}"))[0] == 204


async def test_a_receiver_shows_a_certificate_that_somebody_vouches_for_or_is_told_nothing(tmp_path):
    authority = Authority(tmp_path)
    certificate, key, _ = authority.issue("receiver")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(authority.path))
    async with receiving(context) as receiver:
        with api_services(tmp_path) as services:
            services.webhooks.guard = Guard(["127.0.0.0/8"])
            house = House(services, receiver)
            made = await house.endpoint()
            await house.announce()
            for authorities, state in ((None, "pending"), (trusting, "delivered")):
                teller = WebhookTeller(services.webhooks.secrets, services.webhooks.guard, authorities)
                await Deliverer(services.database, {"webhook": teller}, services.clock.now_ns).run()
                (row,) = await house.log(made)
                assert row["state"] == state
                services.clock.advance(seconds=LADDER_S[0])
            shown = (await house.ask("GET", f"/{made['id']}/deliveries/{row['id']}"))[1]
            assert [one["status"] for one in shown["attempts"]] == [None, 204]
            assert "CERTIFICATE_VERIFY_FAILED" in shown["attempts"][0]["error"]
            assert len(receiver.got) == 1
