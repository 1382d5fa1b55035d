"""When we fall silent the venue cancels our orders; while we live, and after a clean stop, it does not."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest

from cex import CcxtVenue
from cex.dead_man import DeadMan, countdown_s
from cex.venues import profile_of
from domain import InputError, Side, VenueUnavailable
from runtime import SystemClock
from tests.cex.lab import PlainClient, SandboxLab, sandbox, sandbox_lab
from tests.support.exchange_conformance import BID, an_order, cancel_of

LATER_MS = 31_000
LIMIT = {"symbol": "ETHUSDC", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "1", "price": "2900"}


class Silence(Exception):
    """Ends a switch's endless work in a test."""


async def drive(answers: list[bool], pauses: int) -> tuple[list[int], list[float]]:
    """Let a switch of 30 s run for some pauses; `answers` say which renewals are heard."""
    armed: list[int] = []
    slept: list[float] = []

    async def arm(seconds: int) -> None:
        if not answers.pop(0):
            raise VenueUnavailable("not heard")
        armed.append(seconds)

    async def pause(seconds: float) -> None:
        if len(slept) == pauses:
            raise Silence
        slept.append(seconds)

    switch = DeadMan("v", 30, arm, pause=pause)
    await switch.begin(is_wanted=True)
    with pytest.raises(Silence):
        await switch.run()
    return armed, slept


async def test_it_is_renewed_three_times_before_it_would_strike() -> None:
    assert await drive([True] * 4, 3) == ([30] * 4, [10.0] * 3)


async def test_a_renewal_that_was_not_heard_is_tried_again_soon() -> None:
    assert await drive([True, False, False, True, True], 4) == ([30] * 3, [10.0, 1.0, 1.0, 10.0])


async def test_a_switch_that_somebody_asked_for_must_arm() -> None:
    async def refuse(_seconds: int) -> None:
        raise VenueUnavailable("no")

    with pytest.raises(VenueUnavailable):
        await DeadMan("v", 30, refuse).begin(is_wanted=True)
    assert not await DeadMan("v", 30, refuse).begin(is_wanted=False)


@pytest.mark.parametrize(
    ("exchange", "wanted", "is_possible", "seconds"),
    [
        ("kraken", None, True, 60),
        ("okx", None, True, 60),
        ("okx", 0, True, 0),
        ("okx", 15, True, 15),
        ("binance", None, False, 0),
        ("binance", None, True, 0),
        ("binance", 20, True, 20),
        ("bybit", None, True, 0),
        ("woo", None, True, 0),
        ("woo", 5, True, 5),
    ],
)
def test_the_profile_says_how_long_where_the_settings_do_not(
    exchange: str, wanted: int | None, is_possible: bool, seconds: int
) -> None:
    assert countdown_s(wanted, profile_of(exchange), is_possible=is_possible) == seconds


@pytest.mark.parametrize(("exchange", "wanted"), [("binance", 30), ("okx", 5), ("okx", 600)])
def test_what_the_venue_cannot_do_is_refused(exchange: str, wanted: int) -> None:
    with pytest.raises(InputError):
        countdown_s(wanted, profile_of(exchange), is_possible=exchange != "binance")


async def test_orders_of_a_silent_account_are_cancelled() -> None:
    async with sandbox_lab(dead_man_s=30) as lab:
        await lab.venue.place(an_order(lab, Side.BUY, BID))
        await half_a_minute_later(lab)
        assert await resting(lab.ours) == []


async def test_a_stop_that_leaves_orders_leaves_the_switch_armed() -> None:
    async with sandbox_lab(dead_man_s=30) as lab:
        await lab.venue.place(an_order(lab, Side.BUY, BID))
        await lab.venue.stop()
        await half_a_minute_later(lab)
        assert await resting(lab.ours) == []


async def test_a_clean_stop_ends_the_countdown() -> None:
    async with sandbox_lab(dead_man_s=30) as lab:
        order = an_order(lab, Side.BUY, BID)
        await lab.venue.place(order)
        await lab.venue.cancel(cancel_of(order))
        await lab.venue.stop()
        await lab.ours.call("POST", "order", **LIMIT)
        await half_a_minute_later(lab)
        assert len(await resting(lab.ours)) == 1


async def test_a_start_that_fails_ends_the_countdown_it_began() -> None:
    async with sandbox() as url, aiohttp.ClientSession() as session:
        lab = SandboxLab(url, session)
        venue = CcxtVenue(lab.settings(dead_man_s=30), clock=SystemClock())

        async def fail() -> Any:
            raise VenueUnavailable("no way out for orders")

        venue._account_parts = fail  # type: ignore[method-assign]
        with pytest.raises(VenueUnavailable, match="no way out"):
            await venue.start(lab.recorder)
        await lab.ours.call("POST", "order", **LIMIT)
        await half_a_minute_later(lab)
        assert len(await resting(lab.ours)) == 1


async def test_without_a_word_in_the_settings_a_venue_that_has_no_switch_gets_none() -> None:
    async with sandbox_lab() as lab:
        await lab.venue.place(an_order(lab, Side.BUY, BID))
        await half_a_minute_later(lab)
        assert len(await resting(lab.ours)) == 1


@pytest.mark.parametrize(
    "changes", [{"symbol": "NOPE"}, {"countdownTime": -1}, {"countdownTime": "x"}, {"countdownTime": 10**9}]
)
async def test_the_exchange_refuses_a_countdown_it_cannot_keep(changes: dict[str, Any]) -> None:
    async with sandbox() as url, aiohttp.ClientSession() as session:
        with pytest.raises(AssertionError, match="code"):
            await SandboxLab(url, session).ours.call(
                "POST", "countdownCancelAll", **{"symbol": "ETHUSDC", "countdownTime": 1} | changes
            )


async def half_a_minute_later(lab: SandboxLab) -> None:
    """Let the exchange's clock jump, and wait until it has worked off what is due then: somebody else's countdown."""
    await lab.theirs.call("POST", "order", **LIMIT)
    await lab.theirs.call("POST", "countdownCancelAll", symbol="ETHUSDC", countdownTime=30_000)
    lab.ours.ahead_ms = lab.theirs.ahead_ms = LATER_MS
    await lab.fault(fault="clock_skew", skew_ms=LATER_MS)
    async with asyncio.timeout(60):
        while await resting(lab.theirs):
            pass


async def resting(client: PlainClient) -> list[str]:
    return [row["clientOrderId"] for row in await client.call("GET", "openOrders", symbol="ETHUSDC")]
