"""Trades, candles and venues over HTTP, of what an engine told."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from api.candles.store import CandleWriter
from api.mirror import TRADES_KEPT
from cli.engine_venues import describe_exchanges, describe_venues
from domain import InputError
from domain import events as e
from engine.paper import PaperVenue
from runtime.control import serve_control
from tests.api.lab import START_NS, Client, OpenGate, api_services, application
from tests.api.test_mirror import begin, pass_on, reader
from tests.engine.feed.test_feed import Lab
from tests.engine.strategies.desk import instrument

NAME = "one:ETHUSDC"


@pytest.fixture
def services(tmp_path):
    with api_services(tmp_path) as found:
        yield found


@pytest.fixture
def lab(services):
    lab = Lab()
    lab.desk.now_ns = START_NS
    lab.book(299_990, 300_010)
    begin(lab, services.mirror)
    return lab


async def get(services, path):
    answer = await Client(application(services, OpenGate())).full("GET", path)
    return answer.status, json.loads(answer.body)


def trade(lab, ticks, *, name=NAME, lots=250):
    lab.desk.now_ns += 1
    lab.tell(
        e.TradePrinted(
            time_ns=lab.desk.now_ns, instrument=name, price_ticks=ticks, qty_lots=lots, is_buyer_maker=ticks % 2 == 0
        )
    )


async def test_public_trades_page_by_page_the_newest_first(services, lab):
    for ticks in range(300_000, 300_005):
        trade(lab, ticks)
    trade(lab, 1, name="one:UNKNOWN")
    pass_on(lab, services.mirror)
    status, first = await get(services, f"/v1/trades/{NAME}?limit=3")
    assert (status, [one["price"] for one in first["data"]]) == (200, ["3000.04", "3000.03", "3000.02"])
    assert {one["side"] for one in first["data"]} == {"buy", "sell"}
    assert first["data"][0] == {
        "id": f"{services.mirror.epoch}-5", "instrument": NAME, "side": "sell", "price": "3000.04", "qty": "0.25",
        "time_ns": str(lab.desk.now_ns - 1),
    }  # fmt: skip
    trade(lab, 300_009)
    pass_on(lab, services.mirror)
    status, rest = await get(services, f"/v1/trades/{NAME}?limit=3&cursor={first['next']}")
    assert ([one["price"] for one in rest["data"]], rest["next"]) == (["3000.01", "3000"], None)
    for path in ("/v1/trades/one:UNKNOWN", "/v1/candles/one:UNKNOWN?interval=1m"):
        assert (await get(services, path))[0] == 404
    assert (await get(services, f"/v1/trades/{NAME}?cursor={first['next']}x"))[1]["code"] == "invalid_cursor"


async def test_trades_are_streamed_by_instrument_many_in_one_message(services, lab):
    read = reader(services.hub, "trades", NAME)
    read()
    for ticks in (300_000, 300_001, 300_002):
        trade(lab, ticks)
    pass_on(lab, services.mirror)
    told = services.hub.channel("trades", NAME)
    assert (told.seq, [one["price"] for one in read().events.values()]) == (1, ["3000", "3000.01", "3000.02"])
    assert all("number" not in one for one in told.state.values())


async def test_what_is_remembered_is_bounded_and_begins_anew_with_another_engine(services, lab):
    for _ in range(TRADES_KEPT + 5):
        trade(lab, 300_000)
    pass_on(lab, services.mirror)
    assert len(services.mirror.trades(NAME)) == TRADES_KEPT
    other = Lab()
    begin(other, services.mirror)
    assert services.mirror.trades(NAME) == ()


async def test_candles_say_how_far_back_they_go_and_which_is_not_over(services, lab):
    writer = CandleWriter(services.database, {NAME: instrument("one")}, services.clock.now_ns)
    start = START_NS // 10**9
    for second, ticks in ((0, 300_000), (61, 301_000), (130, 302_000)):
        event = e.TradePrinted(
            time_ns=START_NS + second * 10**9, instrument=NAME, price_ticks=ticks, qty_lots=1_000, is_buyer_maker=True
        )
        writer.on_step(event)
    await writer.flush()
    assert start % 60 == 0
    services.clock.advance(seconds=130)
    status, page = await get(services, f"/v1/candles/{NAME}?interval=1m&limit=2")
    assert (status, [(one["close"], one["is_closed"]) for one in page["data"]]) == (
        200,
        [("3020", False), ("3010", True)],
    )
    assert (page["kept_since"], page["data"][0]["trades"]) == ("2027-01-15T08:00:00Z", 1)
    _, rest = await get(services, f"/v1/candles/{NAME}?interval=1m&limit=2&cursor={page['next']}")
    assert ([one["close"] for one in rest["data"]], rest["next"]) == (["3000"], None)
    _, hours = await get(services, f"/v1/candles/{NAME}?interval=1h")
    assert [(one["open"], one["high"], one["close"], one["volume"]) for one in hours["data"]] == [
        ("3000", "3020", "3020", "3")
    ]
    between = f"/v1/candles/{NAME}?interval=1m&since=2027-01-15T08:01:00Z&until=2027-01-15T08:02:00Z"
    assert [one["close"] for one in (await get(services, between))[1]["data"]] == ["3010"]
    for wrong in ("interval=2m", "interval=1m&since=yesterday", "interval=1m&since=2027-01-15T08:01:00", ""):
        assert (await get(services, f"/v1/candles/{NAME}?{wrong}"))[0] == 422
    other = f"/v1/candles/{NAME}?interval=5m&limit=2&cursor={page['next']}"
    assert (await get(services, other))[1]["code"] == "invalid_cursor"


class Told:
    """A venue that tells how it is."""

    instruments = {NAME: instrument("one")}  # noqa: RUF012

    def __init__(self, **health):
        self._health = {"exchange": "binance", "is_trading": True, "is_paper": False, "failure": None} | health

    def health(self):
        return self._health


async def test_venues_say_how_they_stand_and_what_they_have(services, lab, tmp_path):
    kernel = lab.desk.kernel
    silent = SimpleNamespace(instruments={NAME: instrument("one")})
    paper = PaperVenue(Told(clock_ahead_ms=-3.5, is_trading=False), None)

    async def handle(request):
        venues = {"one": Told(clock_ahead_ms=12.5), "silent": silent, "paper": paper}
        match request["command"]:
            case "venues":
                return {"venues": describe_venues(venues, kernel, lab.desk.now_ns + 1_500_000_000)}
            case "exchanges":
                return {"exchanges": describe_exchanges()}
        raise InputError("unknown")

    async with serve_control(tmp_path / "nobody.sock", handle):
        one, quiet, on_paper = (await get(services, "/v1/venues"))[1]["data"]
        assert (one["is_connected"], one["is_trading"], one["clock_ahead_ms"]) == (True, True, 12.5)
        assert one["books"] == [{"instrument": NAME, "is_valid": True, "age_ms": 1_500}]
        assert one["capabilities"]["features"]["cancel_all_after"]["way"] in ("native", "none")
        assert (quiet["exchange"], quiet["is_trading"], quiet["capabilities"]) == (None, False, None)
        assert (on_paper["is_paper"], on_paper["is_trading"], on_paper["clock_ahead_ms"]) == (True, True, -3.5)
        lab.tell(e.BookInvalidated(time_ns=lab.desk.now_ns, instrument=NAME, reason="gap"))
        status, stale = await get(services, "/v1/venues/one")
        assert (status, stale["is_connected"], stale["books"][0]["is_valid"]) == (200, False, False)
        assert (await get(services, "/v1/venues/two"))[0] == 404
        known = (await get(services, "/v1/exchanges"))[1]["data"]
        assert {"binance", "kraken", "okx"} <= {one["id"] for one in known}
        assert all(one["trades"] == (one["why_not"] is None) for one in known)
    assert (await get(services, "/v1/venues"))[0] == 503, "nothing is told of an engine that is away"
