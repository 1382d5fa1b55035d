"""What a start tells when it cannot succeed: which of ours it is, in bounded time, and never a secret."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import AsyncIterator
from typing import Any

import pytest
import structlog
from pydantic import ValidationError

from cex import CcxtVenue, VenueSettings
from domain import InputError, PlatformError, VenueUnavailable
from domain.events import PlaceOrder
from domain.orders import OrderType, Side, TimeInForce
from runtime import SystemClock
from tests.cex.lab import OURS, sandbox, sandbox_lab


@pytest.fixture
async def base_url() -> AsyncIterator[str]:
    async with sandbox() as url:
        yield url


def settings(base_url: str | None, **changes: Any) -> VenueSettings:
    data: dict[str, Any] = {
        "id": "lab",
        "exchange": "binance",
        "base_url": base_url,
        "instruments": ("ETHUSDC",),
        "api_key": f"literal-test:{OURS.api_key}",
        "secret": f"literal-test:{OURS.secret}",
        "request_timeout_ms": 1_000,
    }
    return VenueSettings.model_validate(data | changes)


async def failure(chosen: VenueSettings) -> PlatformError:
    venue = CcxtVenue(chosen, clock=SystemClock())
    async with asyncio.timeout(60):
        with pytest.raises(PlatformError) as caught:
            await venue.start(lambda _event: None)
    return caught.value


async def test_unknown_exchange(base_url: str) -> None:
    error = await failure(settings(base_url, exchange="mtgox"))
    assert isinstance(error, InputError)
    assert "mtgox" in str(error)


async def test_missing_symbol_names_some_that_exist(base_url: str) -> None:
    error = await failure(settings(base_url, instruments=("ETHUSDC", "DOGEUSDC")))
    assert isinstance(error, InputError)
    assert "DOGEUSDC" in str(error)
    assert "BTCUSDT" in error.hint


@pytest.mark.parametrize(
    "keys",
    [
        {"secret": "literal-test:some-wrong-secret"},
        {"api_key": "literal-test:some-wrong-key"},
    ],
)
async def test_wrong_key_is_the_callers_to_mend(base_url: str, keys: dict[str, str]) -> None:
    error = await failure(settings(base_url, **keys))
    assert isinstance(error, InputError)
    assert "key" in str(error)
    assert "wrong-secret" not in "".join(traceback.format_exception(error))


async def test_unreachable_server_is_unavailable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound and not listening: refused at once.
        error = await failure(settings(f"http://127.0.0.1:{taken.getsockname()[1]}"))
    assert isinstance(error, VenueUnavailable)


async def test_silent_server_is_unavailable_in_bounded_time() -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()  # Connections open and nothing ever answers.
        error = await failure(settings(f"http://127.0.0.1:{mute.getsockname()[1]}"))
    assert isinstance(error, VenueUnavailable)


async def test_exchange_without_testnet_wants_a_clear_word() -> None:
    error = await failure(settings(None, exchange="kraken", api_key=None, secret=None))
    assert isinstance(error, InputError)
    assert "testnet = false" in error.hint


async def test_unreadable_secret_is_named_by_its_reference(base_url: str) -> None:
    error = await failure(settings(base_url, secret="file:does-not-exist"))
    assert isinstance(error, InputError)
    assert "does-not-exist" in str(error)


async def test_without_keys_there_are_books_and_no_orders(base_url: str) -> None:
    venue = CcxtVenue(settings(base_url, api_key=None, secret=None), clock=SystemClock())
    await venue.start(lambda _event: None)
    order = PlaceOrder(
        client_order_id="x",
        strategy="s",
        instrument="lab:ETHUSDC",
        side=Side.BUY,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=1,
        qty_lots=1,
    )
    with pytest.raises(InputError, match="no API key"):
        await venue.place(order)
    assert await venue.cancel_all() == 0
    await venue.stop()


async def test_account_fees_and_exact_steps_are_taken_over(base_url: str) -> None:
    venue = CcxtVenue(settings(base_url), clock=SystemClock())
    await venue.start(lambda _event: None)
    instrument = venue.instruments["lab:ETHUSDC"]
    assert (str(instrument.tick_size), str(instrument.lot_size)) == ("0.01", "0.0001")
    assert instrument.maker_fee_bps == instrument.taker_fee_bps == 10
    assert instrument.min_notional == 5
    await venue.stop()


async def test_no_secret_in_logs_or_reprs(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    structlog.reset_defaults()
    caplog.set_level(logging.DEBUG)
    async with sandbox_lab() as lab:
        await lab.venue.balances()
        await lab.strike("drop_ack")
        with pytest.raises(PlatformError) as caught:
            await lab.venue.place(
                PlaceOrder(
                    client_order_id="logged-1",
                    strategy="s",
                    instrument=lab.instrument.id,
                    side=Side.BUY,
                    type=OrderType.LIMIT,
                    time_in_force=TimeInForce.GTC,
                    price_ticks=290_000,
                    qty_lots=100,
                )
            )
        shown = "".join(traceback.format_exception(caught.value)) + repr(lab.venue) + repr(lab.settings())
    output = capsys.readouterr()
    logged = output.out + output.err + caplog.text + shown
    assert "logged-1" in logged
    assert OURS.secret is not None
    assert OURS.secret not in logged.replace(f"literal-test:{OURS.secret}", "")
    assert "signature=" not in logged
    assert "X-MBX-APIKEY" not in logged


class TestSettings:
    def test_literal_keys_are_for_this_machine_only(self) -> None:
        for base_url in (None, "https://api.example.com", "http://192.168.1.7:80"):
            with pytest.raises(ValidationError, match="on this machine only"):
                settings(base_url)
        for base_url in ("http://localhost:1", "http://127.0.0.2:1", "http://[::1]:1"):
            assert settings(base_url).is_loopback

    def test_half_a_key_is_refused(self) -> None:
        with pytest.raises(ValidationError, match="together"):
            settings("http://localhost:1", secret=None)

    def test_pasted_secret_is_refused_and_not_repeated(self) -> None:
        with pytest.raises(ValidationError) as refusal:
            settings("http://localhost:1", secret="hunter2-hunter2")
        assert "hunter2" not in str(refusal.value)

    def test_defaults_are_safe(self) -> None:
        assert VenueSettings(id="binance", exchange="binance", instruments=("ETHUSDC",)).testnet

    @pytest.mark.parametrize(
        "changes",
        [
            {"id": "Has Space"},
            {"id": "x" * 17},
            {"instruments": ()},
            {"instruments": ("A", "A")},
            {"base_url": "ftp://x"},
            {"base_url": "http://user:pass@localhost"},
            {"typo": 1},
            {"depth_levels": 0},
        ],
    )
    def test_bad_values_are_refused(self, changes: dict[str, Any]) -> None:
        with pytest.raises(ValidationError):
            settings(**{"base_url": "http://localhost:1"} | changes)

    def test_settings_survive_json(self) -> None:
        chosen = settings("http://localhost:1")
        assert VenueSettings.model_validate(json.loads(chosen.model_dump_json())) == chosen
