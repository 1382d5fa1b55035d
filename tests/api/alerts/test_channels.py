"""Channels reach whom they are for, over connections that were checked, and say how it went."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from contextlib import asynccontextmanager

import pytest
from sqlmodel import select

from api.alerts.channels import Channels
from api.webhooks import LADDER_S
from api.webhooks.tables import EndpointRow, EventRow, SecretRow
from tests.api.alerts.lab import ROUTING_KEY, Mails
from tests.api.logs import logging
from tests.wallets.rpc.certificates import Authority

CHANNELS = "/v1/alert-channels"
MAIL = {"type": "email", "address": "Desk@Acme.example", "routing_key": None}


@asynccontextmanager
async def mail_server(desk, *, security="starttls", trusted=True, is_plain=False):
    authority = Authority(desk.folder)
    certificate, key, _ = authority.issue("mail")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    mails = Mails()

    def one():
        if security == "tls":
            return mails.inside_tls()
        return mails.plain() if is_plain else mails.starttls(context)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(one, "127.0.0.1", 0, ssl=context if security == "tls" else None)
    mails.port = server.sockets[0].getsockname()[1]
    (desk.folder / "smtp.password").write_text("sesame\n")
    desk.configure(
        smtp_host="127.0.0.1", smtp_port=mails.port, smtp_security=security, sender="alerts@capstan.example",
        smtp_user="capstan", smtp_password="file:smtp.password", smtp_ca=authority.path.name if trusted else "",
    )  # fmt: skip
    try:
        yield mails
    finally:
        server.close()
        await server.wait_closed()


async def verified(desk, mails):
    channel = await desk.channel(**MAIL)
    await desk.deliver()
    code = re.search(r"\d{8}", mails.got[-1].get_content())[0]
    status, shown = await desk.ask("POST", f"{CHANNELS}/{channel['id']}/verifications", {"code": code})
    assert (status, shown["verified"]) == (201, True)
    return channel


async def test_an_address_is_told_of_alerts_once_its_code_came_back(desk):
    async with mail_server(desk) as mails:
        channel = await desk.channel(**MAIL)
        assert (channel["target"], channel["verified"]) == ("desk@acme.example", False)
        await desk.find()
        assert (await desk.ask("POST", f"{CHANNELS}/{channel['id']}/tests"))[0] == 409
        await desk.deliver()
        assert ["confirms this address" in mail["subject"] for mail in mails.got] == [True]
        channel = await verified(desk, mails)
        await desk.find(key="second", summary="the second\nBcc: all@acme.example")
        assert await desk.deliver() == 1
        mail = mails.got[-1]
        assert (mail["to"], mail["from"]) == ("desk@acme.example", "alerts@capstan.example")
        assert mail["subject"] == "[Capstan] critical opened: the second Bcc: all@acme.example"
        assert mail["bcc"] is None
        await desk.over(key="second")
        await desk.deliver()
        assert mails.got[-1]["subject"].startswith("[Capstan] critical resolved: the second")
        assert mails.got[-1]["references"] == mail["references"]
        assert mails.got[-1]["message-id"] != mail["message-id"]
        (last, *_) = await desk.log(channel)
        assert (last["state"], last["last_status"]) == ("delivered", 250)


async def test_five_wrong_codes_end_a_channel(desk):
    async with mail_server(desk) as mails:
        channel = await desk.channel(**MAIL)
        await desk.deliver()
        code = re.search(r"\d{8}", mails.got[-1].get_content())[0]
        wrong = str((int(code) + 1) % 10**8).zfill(8)
        path = f"{CHANNELS}/{channel['id']}"
        for _ in range(5):
            assert (await desk.ask("POST", f"{path}/verifications", {"code": wrong}))[0] == 403
        assert (await desk.ask("POST", f"{path}/verifications", {"code": code}))[0] == 403
        shown = (await desk.ask("GET", path))[1]
        assert (shown["enabled"], shown["disabled_reason"]) == (False, "too many wrong codes")
        assert (await desk.ask("PATCH", path, {"enabled": True}))[0] == 409
        with desk.services.database.snapshot() as session:  # And the code is kept nowhere.
            assert not [row for row in session.exec(select(EventRow)) if code in row.body]


async def test_mail_goes_over_tls_from_the_first_byte_where_the_server_is_so(desk):
    async with mail_server(desk, security="tls") as mails:
        await desk.channel(**MAIL)
        await desk.deliver()
        assert len(mails.got) == 1


async def test_nothing_is_sent_to_a_mail_server_that_nobody_vouches_for_or_that_offers_no_tls(desk):
    for how in ({"trusted": False}, {"security": "tls", "trusted": False}, {"is_plain": True}):
        async with mail_server(desk, **how) as mails:
            channel = await desk.channel(**MAIL)
            await desk.deliver()
            assert mails.got == []
            (row,) = await desk.log(channel)
            assert (row["state"], row["last_status"]) == ("pending", None)
            assert re.search("CERTIFICATE_VERIFY_FAILED|STARTTLS", row["last_error"]), row


@pytest.mark.parametrize("missing", ["smtp.password", "mail.ca"])
async def test_of_files_that_are_not_there_the_operator_is_told_and_no_tenant(desk, missing):
    (desk.folder / "smtp.password").write_text("sesame\n")
    desk.configure(
        smtp_host="127.0.0.1", sender="alerts@capstan.example", smtp_user="capstan",
        smtp_password="file:smtp.password", smtp_ca="" if missing == "smtp.password" else missing,
    )  # fmt: skip
    (desk.folder / missing).unlink(missing_ok=True)
    channel = await desk.channel(**MAIL)
    with logging() as written:
        await desk.deliver()
    assert written.one(event="alerts.mail_unusable")["level"] == "error"
    written.check("sesame")
    (row,) = await desk.log(channel)
    assert "mail settings cannot be used" in row["last_error"]
    assert str(desk.folder) not in json.dumps(row)


async def test_an_address_that_the_server_refuses_is_not_tried_again(desk):
    async with mail_server(desk) as mails:
        mails.refuses = {"desk@acme.example"}
        channel = await desk.channel(**MAIL)
        await desk.deliver()
        (row,) = await desk.log(channel)
        assert (row["state"], row["last_status"]) == ("failed", 550)
        (desk.folder / "smtp.password").write_text("wrong")  # That is for whoever runs it to mend: tried again.
        other = await desk.channel(**MAIL)
        await desk.deliver()
        (row,) = await desk.log(other)
        assert (row["state"], row["last_status"]) == ("pending", 535)
        assert "wrong" not in json.dumps(row)


async def test_without_a_mail_server_there_is_no_channel_by_mail(desk):
    status, problem = await desk.ask("POST", CHANNELS, {"type": "email", "address": "a@acme.example"})
    assert (status, problem["code"]) == (409, "no_mail_server")


async def test_pagerduty_is_asked_again_by_the_ladder_unless_it_refuses(desk):
    channel = await desk.channel()
    await desk.find()
    desk.pagerduty.answers = [500, 429]
    for wait_s in LADDER_S[:2]:
        assert await desk.deliver() == 1
        assert await desk.deliver() == 0
        desk.pass_by(wait_s)
    assert await desk.deliver() == 1
    assert [row["state"] for row in await desk.log(channel)] == ["delivered"]
    other = await desk.channel(routing_key="X" * 32)
    await desk.ask("POST", f"{CHANNELS}/{other['id']}/tests")
    await desk.deliver()
    (row,) = await desk.log(other)
    assert (row["state"], row["last_status"]) == ("failed", 400)
    assert "routing_key" in row["last_answer"]


async def test_a_test_reaches_its_channel_alone_and_only_severe_ones_a_channel_for_them(desk):
    channel, severe = await desk.channel(), await desk.channel(severity="critical")
    assert (await desk.ask("POST", f"{CHANNELS}/{channel['id']}/tests"))[1]["kind"] == "channel.test"
    await desk.find("delivery.failing", "whk")
    await desk.deliver()
    assert [row["kind"] for row in await desk.log(channel)] == ["alert.opened", "channel.test"]
    assert await desk.log(severe) == []
    assert (await desk.ask("PATCH", f"{CHANNELS}/{severe['id']}", {"severity": "info"}))[1]["severity"] == "info"
    await desk.find("delivery.failing", "another")
    assert [row["kind"] for row in await desk.log(severe)] == ["alert.opened"]
    assert (await desk.ask("DELETE", f"{CHANNELS}/{severe['id']}"))[0] == 204
    assert [row["id"] for row in (await desk.ask("GET", CHANNELS))[1]["data"]] == [channel["id"]]


async def test_a_push_says_which_alert_and_no_more_and_that_it_reached_nobody(desk):
    token = "device-token-0123456789"
    channels = [await desk.channel(type="push", platform=p, token=token, routing_key=None) for p in ("apns", "fcm")]
    await desk.find(summary="result -1250.75 USDC", detail={"result": "-1250.75"})
    await desk.deliver()
    kept = (desk.folder / "pushes.jsonl").read_text()
    assert "1250" not in kept
    assert token not in kept
    pushed = {one["platform"]: one for one in map(json.loads, kept.splitlines())}
    (alert,) = await desk.alerts()
    assert pushed["apns"]["body"]["aps"]["interruption-level"] == "time-sensitive"
    assert pushed["apns"]["body"]["alert"] == pushed["fcm"]["body"]["data"]["alert"] == alert["id"]
    assert pushed["fcm"]["body"]["android"]["priority"] == "HIGH"
    for channel in channels:
        assert "no phone was reached" in (await desk.log(channel))[0]["last_answer"]


async def test_keys_and_tokens_are_sealed_and_shown_by_their_end(desk):
    channel = await desk.channel()
    assert channel["target"] == "…" + ROUTING_KEY[-4:]
    with desk.services.database.snapshot() as session:
        (row,) = session.exec(select(SecretRow))
        assert ROUTING_KEY not in row.sealed
        assert Channels(desk.services.key).secret(session, channel["id"]) == ROUTING_KEY
        assert ROUTING_KEY not in session.get(EndpointRow, channel["id"]).options
    for body in (
        {"type": "pagerduty"}, {"type": "email", "token": "x" * 20}, {"type": "push", "token": "x" * 20},
        {"type": "pagerduty", "routing_key": "short"}, {"type": "sms"},
    ):  # fmt: skip
        status, problem = await desk.ask("POST", CHANNELS, body)
        assert status == 422, body
        assert "x" * 20 not in json.dumps(problem)


async def test_a_channel_is_no_webhook_and_a_webhook_no_channel(desk):
    channel = await desk.channel()
    assert (await desk.ask("GET", "/v1/webhooks"))[1]["data"] == []
    assert (await desk.ask("GET", f"/v1/webhooks/whk_{channel['id'][4:]}"))[0] == 404
    for _ in range(19):
        await desk.channel()
    assert (await desk.ask("POST", CHANNELS, {"type": "pagerduty", "routing_key": ROUTING_KEY}))[0] == 409
