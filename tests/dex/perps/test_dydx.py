"""dYdX: a chain that reads and verifies transactions by itself, an indexer that lags, lost answers and requests."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import coincurve
import pytest
from aiohttp.test_utils import TestServer

from dex.perps.dydx import SHORT_BLOCK_WINDOW, Dydx, DydxOrder
from domain import InputError, OrderRejected, OutcomeUnknown, VenueUnavailable
from domain.orders import OrderState, Side
from runtime import Secret
from tests.support.dydx import Account, DydxServer

US, THEM = "dydx1" + "u" * 38, "dydx1" + "t" * 38
KEYS = ("0x" + "41" * 32, "0x" + "42" * 32, "0x" + "43" * 32)  # TEST ONLY.
CHAIN = "dydx-testnet-4"


@dataclass
class Lab:
    server: DydxServer
    url: str
    ours: Dydx
    theirs: Dydx
    now: list[int]

    def order(
        self, number: int, side: Side = Side.BUY, size: str = "0.5", price: str = "3000", **changes: Any
    ) -> DydxOrder:
        end = self.server.height + SHORT_BLOCK_WINDOW
        made = DydxOrder(number=number, market="ETH-USD", side=side, size=Decimal(size), price=Decimal(price), end=end)
        return replace(made, **changes)

    def long(self, number: int, **changes: Any) -> DydxOrder:
        return self.order(number, is_long_term=True, end=self.now[0] // 1_000 + 60, **changes)

    def client(self, account: str, key: str, *, chain_id: str = CHAIN, late_ms: int = 0) -> Dydx:
        return Dydx(
            account,
            Secret(key),
            node_rpc=f"{self.url}/rpc",
            node_rest=f"{self.url}/rest",
            indexer=f"{self.url}/indexer",
            chain_id=chain_id,
            now_ms=lambda: self.now[0] - late_ms,
        )


def public(key: str) -> bytes:
    return coincurve.PrivateKey(bytes.fromhex(key[2:])).public_key.format()


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    now = [1_790_000_000_000]
    accounts = {
        who: Account(number, public(key)) for number, (who, key) in enumerate(zip((US, THEM), KEYS, strict=False))
    }
    server = DydxServer(now_ms=lambda: now[0], accounts=accounts)
    async with TestServer(server.app()) as http:
        lab = Lab(server, str(http.make_url("")).rstrip("/"), None, None, now)  # type: ignore[arg-type]
        async with lab.client(US, KEYS[0]) as lab.ours, lab.client(THEM, KEYS[1]) as lab.theirs:
            yield lab
    # aiohttp sends a GET that was cut again by itself; a transaction never comes twice.
    assert len(set(server.transactions)) == len(server.transactions)


async def test_orders_rest_trade_and_are_told(lab: Lab) -> None:
    assert await lab.ours.last_block() == lab.server.height + SHORT_BLOCK_WINDOW
    bid = lab.order(1)
    assert (await lab.ours.place(bid)).state is OrderState.ACCEPTED
    taking = lab.order(2, Side.SELL, "0.2", "2999.9", time_in_force="Ioc")
    await lab.theirs.place(taking)
    asked = await lab.theirs.ask(taking)
    assert (asked.state, asked.filled) == (OrderState.FILLED, Decimal("0.2"))
    asked = await lab.ours.ask(bid)
    assert (asked.state, asked.filled) == (OrderState.PARTIALLY_FILLED, Decimal("0.2"))
    (fill,) = await lab.ours.fills(0)
    assert (fill.size, fill.price, fill.fee) == (Decimal("0.2"), Decimal(3000), Decimal("-0.066"))
    assert (fill.order_id, fill.time_ms) == (lab.ours.order_id(bid), lab.now[0])
    (position,) = await lab.ours.positions()
    assert (position.coin, position.size, position.entry_price) == ("ETH-USD", Decimal("0.2"), Decimal(3000))
    assert [p.size for p in await lab.theirs.positions()] == [Decimal("-0.2")]
    await lab.ours.cancel(bid)
    # One node has taken it back; others may trade it until its last block.
    told = await lab.ours.ask(bid)
    assert (told.state, told.reason) == (OrderState.PARTIALLY_FILLED, "BEST_EFFORT_CANCELED")
    lab.server.advance(SHORT_BLOCK_WINDOW + 1)
    assert (await lab.ours.ask(bid)).state is OrderState.CANCELED
    await lab.ours.cancel(bid)  # Ended already: left as it is.


async def test_long_term_orders_rest_beyond_the_window_and_are_taken_back(lab: Lab) -> None:
    bid = lab.long(1, time_in_force="Alo")
    await lab.ours.place(bid)
    lab.server.advance(100)
    assert (await lab.ours.ask(bid)).state is OrderState.ACCEPTED
    await lab.ours.cancel(bid)
    assert (await lab.ours.ask(bid)).state is OrderState.CANCELED
    await lab.ours.cancel(bid)
    with pytest.raises(InputError, match="short-term ones only"):
        await lab.ours.place(lab.long(2, time_in_force="Ioc"))


async def test_nothing_but_orders_and_cancellations_is_signed_and_nobody_is_paid(lab: Lab) -> None:
    opening = ["GET /indexer/perpetualMarkets", f"GET /rest/cosmos/auth/v1beta1/account_info/{US}"]
    assert lab.server.requests[:2] == opening
    assert len(lab.server.requests) == 4
    await lab.ours.place(lab.order(1))
    await lab.ours.cancel(lab.order(1))
    assert lab.server.requests[4:] == ["GET /rpc/broadcast_tx_sync"] * 2
    kinds = ["/dydxprotocol.clob.MsgPlaceOrder", "/dydxprotocol.clob.MsgCancelOrder"]
    assert lab.server.messages == kinds
    # ccxt by itself would have named its own router, who earns a share of the fees.
    assert [order.router for order in lab.server.orders.values()] == [""]


async def test_amounts_are_exact_in_a_market_of_large_units(lab: Lab) -> None:
    # ccxt takes ten to the power of minus one for ten: an order of a hundred times the size.
    await lab.ours.place(lab.order(1, market="PEPE-USD", size="20000000", price="0.0000071"))
    (order,) = lab.server.orders.values()
    assert (order.quantums, order.subticks) == (2_000_000, 71_000_000_000)


async def test_the_venue_says_no_and_nothing_rests(lab: Lab) -> None:
    await lab.theirs.place(lab.order(1, Side.SELL, price="3001"))
    for wanted, words in (
        (lab.order(2, price="3001", time_in_force="Alo"), "would cross"),
        (lab.order(3, Side.SELL, time_in_force="Ioc", reduce_only=True), "cannot increase"),
        (lab.order(4, reduce_only=True), "disabled for non-IOC"),
        (lab.order(5, end=lab.server.height), "greater than the GoodTilBlock"),
        (lab.order(6, end=lab.server.height + 21), "further than ShortBlockWindow"),
        (replace(lab.long(7), end=lab.now[0] // 1_000), "GoodTilBlockTime"),
    ):
        with pytest.raises(OrderRejected, match=words):
            await lab.ours.place(wanted)
        assert len(lab.server.orders) == 1


async def test_what_does_not_fit_is_refused_before_it_is_sent(lab: Lab) -> None:
    for wanted, words in (
        (lab.order(1, price="3000.05"), "price 3000.05 is no multiple of ETH-USD's 0.1"),
        (lab.order(2, size="0.1234"), "size 0.1234 is no multiple of ETH-USD's 0.001"),
        (lab.order(3, size="0"), "must be positive"),
        (lab.order(4, market="DOGE-USD"), "trades no 'DOGE-USD'; it trades ETH-USD, PEPE-USD"),
        (lab.order(2**32), "2\\*\\*32"),
    ):
        with pytest.raises(InputError, match=words):
            await lab.ours.place(wanted)
    await lab.ours.place(lab.order(5))
    # The chain would replace the first: with another end it is another order.
    lab.server.advance(1)
    with pytest.raises(InputError, match="was sent before"):
        await lab.ours.place(lab.order(5))
    assert len(lab.server.transactions) == 1
    with pytest.raises(InputError, match="begins with dydx1"):
        lab.client("0x" + "11" * 20, KEYS[0])


async def test_another_key_chain_or_clock_is_not_taken(lab: Lab) -> None:
    for key, chain_id, words in (
        (KEYS[2], CHAIN, "pubKey does not match"),
        (KEYS[0], "dydx-mainnet-1", "verify account number and chain-id"),
    ):
        async with lab.client(US, key, chain_id=chain_id) as stranger:
            with pytest.raises(OrderRejected, match=words):
                await stranger.place(lab.order(1))
    async with lab.client(US, KEYS[0], late_ms=30_001) as late:
        with pytest.raises(OrderRejected, match="timestamp nonce"):
            await late.place(lab.long(2))
        assert lab.server.orders == {}
        await late.place(lab.order(3))  # The sequence of a short-term order is not looked at.
    with pytest.raises(VenueUnavailable, match="account not found"):
        async with lab.client("dydx1" + "z" * 38, KEYS[0]):
            pass


async def test_nonces_of_one_millisecond_are_each_used_once(lab: Lab) -> None:
    for number in range(25):
        await lab.ours.place(lab.long(number))
    assert len(lab.server.orders) == 25
    assert lab.server.accounts[US].time_nonces == {lab.now[0] + n for n in range(5, 25)}


async def test_a_lost_answer_is_asked_about_and_found(lab: Lab) -> None:
    lab.server.drop_answers = 1
    with pytest.raises(OutcomeUnknown) as unknown:
        await lab.ours.place(lab.order(1))
    assert unknown.value.request_id == "1"
    assert (await lab.ours.ask(lab.order(1))).state is OrderState.ACCEPTED
    assert (len(lab.server.orders), len(lab.server.transactions)) == (1, 1)
    lab.server.drop_answers = 1
    with pytest.raises(VenueUnavailable):
        await lab.ours.cancel(lab.order(1))
    assert len(lab.server.transactions) == 2
    await lab.ours.cancel(lab.order(1))  # The node has it already.
    lab.server.advance(1)
    with pytest.raises(OrderRejected) as refused:
        await lab.ours.place(lab.order(2, end=1))
    assert (refused.value.code, refused.value.reason[:21]) == ("clob:10", "The next block height")


async def test_a_lost_request_is_unknown_until_the_indexer_has_passed_its_end(lab: Lab) -> None:
    for order in (lab.order(1), lab.long(2)):
        lab.server.lose_requests = 1
        with pytest.raises(OutcomeUnknown):
            await lab.ours.place(order)
        assert (await lab.ours.ask(order)).state is OrderState.UNKNOWN
    short, long = lab.order(1), lab.long(2)
    lab.server.advance(SHORT_BLOCK_WINDOW + 1)
    lab.server.indexer_lag = 1
    assert (await lab.ours.ask(short)).state is OrderState.UNKNOWN
    lab.server.indexer_lag = 0
    # Any process may ask: the order as recorded says when it ends.
    async with lab.client(US, KEYS[0]) as other:
        assert (await other.ask(short)).state is OrderState.REJECTED
        lab.now[0] += 60_000
        assert (await other.ask(long)).state is OrderState.UNKNOWN
        lab.now[0] += 1
        assert (await other.ask(long)).state is OrderState.REJECTED


async def test_an_order_the_indexer_does_not_know_yet_is_not_lost(lab: Lab) -> None:
    await lab.ours.place(lab.order(1))
    lab.server.indexer_lag = 1
    assert (await lab.ours.ask(lab.order(1))).state is OrderState.UNKNOWN
    lab.server.indexer_lag = 0
    assert (await lab.ours.ask(lab.order(1))).state is OrderState.ACCEPTED


async def test_a_cancellation_that_overtakes_its_order_holds(lab: Lab) -> None:
    await lab.ours.cancel(lab.order(1))
    with pytest.raises(OrderRejected, match="cancel already exists"):
        await lab.ours.place(lab.order(1))


async def test_a_throttled_order_may_be_sent_again(lab: Lab) -> None:
    lab.server.throttle = 1
    with pytest.raises(VenueUnavailable):
        await lab.ours.place(lab.order(1))
    lab.now[0] += 1
    assert (await lab.ours.place(lab.order(1))).state is OrderState.ACCEPTED


async def test_a_server_that_is_not_there_is_unavailable(lab: Lab) -> None:
    lab.url = "http://127.0.0.1:9"
    with pytest.raises(VenueUnavailable):
        async with lab.client(US, KEYS[0]):
            pass


async def test_random_faults_lose_nothing_and_double_nothing(lab: Lab) -> None:
    """200 orders of both sides, every fourth answer or request lost: each is known in the end, and positions add up."""
    chooses = random.Random(7)
    refused, sent = set(), []
    for number in range(200):
        side, size = chooses.choice((Side.BUY, Side.SELL)), str(chooses.randint(1, 30) * Decimal("0.01"))
        price, tif = str(3000 + chooses.randint(-3, 3)), chooses.choice(("Gtc", "Gtc", "Ioc", "Alo"))
        is_long = tif != "Ioc" and chooses.random() < 0.3
        make = lab.long if is_long else lab.order
        wanted = make(number, side=side, size=size, price=price, time_in_force=tif)
        fault = chooses.randrange(8)
        lab.server.drop_answers, lab.server.lose_requests = int(fault == 0), int(fault == 1)
        sent.append(wanted)
        try:
            await lab.ours.place(wanted)
        except OrderRejected:
            refused.add(number)
        except OutcomeUnknown:
            pass
        lab.server.drop_answers = lab.server.lose_requests = 0
        lab.server.advance(chooses.randrange(2))
        lab.now[0] += 10
    lab.now[0] += 60_001
    lab.server.advance(SHORT_BLOCK_WINDOW + 1)
    reports = {order.number: await lab.ours.ask(order) for order in sent}
    ended = {OrderState.FILLED, OrderState.CANCELED, OrderState.REJECTED}
    assert {report.state for report in reports.values()} == ended
    assert all(reports[number].state is OrderState.REJECTED for number in refused)
    assert len(lab.server.transactions) == 200
    fills = await lab.ours.fills(0)
    assert len({fill.trade_id for fill in fills}) == len(fills) == len(lab.server.fills) > 100  # More than a page.
    numbers = {lab.ours.order_id(order): order.number for order in sent}
    filled = dict.fromkeys(reports, Decimal(0))
    for fill in fills:
        filled[numbers[fill.order_id]] += fill.size
    assert filled == {number: report.filled for number, report in reports.items()}
    held = sum((f.size if f.side is Side.BUY else -f.size for f in fills), Decimal(0))
    assert sum((p.size for p in await lab.ours.positions()), Decimal(0)) == held
