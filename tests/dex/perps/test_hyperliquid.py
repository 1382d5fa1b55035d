"""Hyperliquid: a server that verifies signatures, nonces and expiries by itself, lost answers and lost requests."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal

import pytest
from aiohttp.test_utils import TestServer

from dex.perps.hyperliquid import EXPIRES_AFTER_MS, Hyperliquid, PerpOrder
from domain import InputError, OrderRejected, OutcomeUnknown, VenueUnavailable
from domain.orders import OrderState, Side
from runtime import Secret
from tests.support.hyperliquid import HyperliquidServer

US, THEM = "0x" + "11" * 20, "0x" + "22" * 20
# TEST ONLY keys; their addresses come from eth_account below.
KEYS = ("0x" + "41" * 32, "0x" + "42" * 32, "0x" + "43" * 32)


@dataclass
class Lab:
    server: HyperliquidServer
    url: str
    ours: Hyperliquid
    theirs: Hyperliquid
    now: list[int]


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    from eth_account import Account

    now = [1_790_000_000_000]
    agents = {Account.from_key(key).address.lower(): who for key, who in zip(KEYS, (US, THEM), strict=False)}
    server = HyperliquidServer(now_ms=lambda: now[0], agents=agents)
    async with TestServer(server.app()) as http:
        url = str(http.make_url("")).rstrip("/")

        def client(account: str, key: str) -> Hyperliquid:
            return Hyperliquid(account, Secret(key), url, is_testnet=True, now_ms=lambda: now[0])

        async with client(US, KEYS[0]) as ours, client(THEM, KEYS[1]) as theirs:
            yield Lab(server, url, ours, theirs, now)


def order(number: int, side: Side = Side.BUY, size: str = "0.5", price: str = "3000", **changes: object) -> PerpOrder:
    made = PerpOrder(client_id=f"o-{number}", coin="ETH", side=side, size=Decimal(size), price=Decimal(price))
    return replace(made, **changes)  # type: ignore[arg-type]


async def test_orders_rest_trade_and_are_told(lab: Lab) -> None:
    bid = order(1)
    assert (await lab.ours.place(bid)).state is OrderState.ACCEPTED
    taken = await lab.theirs.place(order(2, Side.SELL, "0.2", "2999.9", time_in_force="Ioc"))
    assert (taken.state, taken.filled) == (OrderState.FILLED, Decimal("0.2"))
    asked = await lab.ours.ask(bid)
    assert (asked.state, asked.filled) == (OrderState.PARTIALLY_FILLED, Decimal("0.2"))
    (fill,) = await lab.ours.fills(0)
    assert (fill.size, fill.price, fill.fee, fill.cloid) == (
        Decimal("0.2"),
        Decimal(3000),
        Decimal("0.09"),
        bid.cloid,
    )
    (position,) = await lab.ours.positions()
    assert (position.size, position.entry_price) == (Decimal("0.2"), Decimal(3000))
    assert [p.size for p in await lab.theirs.positions()] == [Decimal("-0.2")]
    await lab.ours.cancel(bid)
    assert (await lab.ours.ask(bid)).state is OrderState.CANCELED
    await lab.ours.cancel(bid)  # Ended already: left as it is.


async def test_nothing_but_orders_and_cancellations_is_signed(lab: Lab) -> None:
    await lab.ours.place(order(1))
    await lab.ours.cancel(order(1))
    # ccxt by itself would have approved a builder's fee and named a referrer, at the latest before the order.
    assert lab.server.actions == ["order", "cancelByCloid"]


async def test_the_venue_says_no_and_nothing_rests(lab: Lab) -> None:
    await lab.theirs.place(order(1, Side.SELL, price="3001"))
    for number, (wanted, words) in enumerate(
        (
            (order(2, price="3001", time_in_force="Alo"), "Post only"),
            (order(3, price="2900", time_in_force="Ioc"), "could not immediately match"),
            (order(4, size="0.001"), "minimum value of \\$10"),
            (order(5, Side.SELL, reduce_only=True), "Reduce only"),
        )
    ):
        with pytest.raises(OrderRejected, match=words):
            await lab.ours.place(wanted)
        assert len(lab.server.orders) == 1, number
    again = order(6)
    await lab.ours.place(again)
    with pytest.raises(OrderRejected, match="Duplicate cloid"):
        await lab.ours.place(again)


async def test_what_does_not_fit_the_steps_is_refused_before_it_is_sent(lab: Lab) -> None:
    for wanted, words in (
        (order(1, price="3000.123"), "nearest price"),
        (order(2, size="0.12345"), "nearest size"),
        (order(3, size="0"), "must be positive"),
        (order(4, coin="DOGE"), "trades no 'DOGE'; it trades BTC, ETH"),
    ):
        with pytest.raises(InputError, match=words):
            await lab.ours.place(wanted)
    assert lab.server.actions == []


async def test_another_key_or_network_is_not_taken(lab: Lab) -> None:
    def client(key: str, *, is_testnet: bool) -> Hyperliquid:
        return Hyperliquid(US, Secret(key), lab.url, is_testnet=is_testnet, now_ms=lambda: lab.now[0])

    for key, is_testnet in ((KEYS[2], True), (KEYS[0], False)):
        async with client(key, is_testnet=is_testnet) as stranger:
            with pytest.raises(OrderRejected, match="does not exist"):
                await stranger.place(order(1))
    assert lab.server.orders == {}


async def test_nonces_are_each_used_once_and_none_is_taken_twice(lab: Lab) -> None:
    for number in range(120):  # All within one millisecond.
        await lab.ours.place(order(number))
    (kept,) = lab.server.nonces.values()
    assert len(kept) == 100
    replayed = Hyperliquid(US, Secret(KEYS[0]), lab.url, is_testnet=True, now_ms=lambda: min(kept) - 1)
    async with replayed as late:
        with pytest.raises(OrderRejected, match="Invalid nonce"):
            await late.place(order(1_000))


async def test_a_lost_answer_is_asked_about_and_found(lab: Lab) -> None:
    lab.server.drop_answers = 1
    with pytest.raises(OutcomeUnknown) as unknown:
        await lab.ours.place(order(1))
    assert unknown.value.request_id == "o-1"
    assert (await lab.ours.ask(order(1))).state is OrderState.ACCEPTED
    assert len(lab.server.orders) == 1


async def test_a_lost_request_is_unknown_until_it_has_expired(lab: Lab) -> None:
    lab.server.lose_requests = 1
    with pytest.raises(OutcomeUnknown):
        await lab.ours.place(order(1))
    assert (await lab.ours.ask(order(1))).state is OrderState.UNKNOWN
    sent_at = lab.now[0]
    lab.now[0] += EXPIRES_AFTER_MS + 1_000
    assert (await lab.ours.ask(order(1))).state is OrderState.UNKNOWN
    lab.now[0] += 1
    assert (await lab.ours.ask(order(1))).state is OrderState.REJECTED
    # Another process knows when it expires from its own record only.
    async with Hyperliquid(US, Secret(KEYS[0]), lab.url, is_testnet=True, now_ms=lambda: lab.now[0]) as other:
        assert (await other.ask(order(1))).state is OrderState.UNKNOWN
        assert (await other.ask(order(1), expires_ms=sent_at + EXPIRES_AFTER_MS)).state is OrderState.REJECTED


async def test_an_expired_order_is_not_taken(lab: Lab) -> None:
    slow = Hyperliquid(US, Secret(KEYS[0]), lab.url, is_testnet=True, now_ms=lambda: lab.now[0] - 6_000)
    async with slow as late:
        with pytest.raises(OrderRejected, match="expired"):
            await late.place(order(1))


async def test_a_throttled_order_may_be_sent_again(lab: Lab) -> None:
    lab.server.throttle = 1
    with pytest.raises(VenueUnavailable):
        await lab.ours.place(order(1))
    assert (await lab.ours.place(order(1))).state is OrderState.ACCEPTED


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    client = Hyperliquid(US, Secret(KEYS[0]), "http://127.0.0.1:9", is_testnet=True, now_ms=lambda: 0)
    with pytest.raises(VenueUnavailable):
        async with client:
            pass


async def test_random_faults_lose_nothing_and_double_nothing(lab: Lab) -> None:
    """200 orders of both sides, every fourth answer or request lost: each is known in the end, and positions add up."""
    chooses = random.Random(7)
    known: dict[str, tuple[OrderState, Decimal]] = {}
    sent = []
    for number in range(200):
        wanted = order(
            number,
            chooses.choice((Side.BUY, Side.SELL)),
            str(chooses.randint(1, 30) * Decimal("0.01")),
            str(3000 + chooses.randint(-3, 3)),
            time_in_force=chooses.choice(("Gtc", "Gtc", "Ioc")),
        )
        fault = chooses.randrange(8)
        lab.server.drop_answers, lab.server.lose_requests = int(fault == 0), int(fault == 1)
        sent.append(wanted)
        try:
            await lab.ours.place(wanted)
        except OrderRejected:
            known[wanted.client_id] = (OrderState.REJECTED, Decimal(0))
        except OutcomeUnknown:
            pass
        lab.server.drop_answers = lab.server.lose_requests = 0
    lab.now[0] += EXPIRES_AFTER_MS + 1_001
    for wanted in sent:
        report = await lab.ours.ask(wanted)
        if wanted.client_id not in known:
            known[wanted.client_id] = (report.state, report.filled)
    assert all(state is not OrderState.UNKNOWN for state, _ in known.values())
    fills = await lab.ours.fills(0)
    assert len({fill.trade_id for fill in fills}) == len(fills) == len(lab.server.fills) > 50
    by_order = {o.cloid: o.client_id for o in sent}
    filled = dict.fromkeys(known, Decimal(0))
    for fill in fills:
        filled[by_order[fill.cloid]] += fill.size
    assert filled == {name: amount for name, (_, amount) in known.items()}
    held = sum((f.size if f.side is Side.BUY else -f.size for f in fills), Decimal(0))
    assert sum((p.size for p in await lab.ours.positions()), Decimal(0)) == held
