"""Fee tiers: what an account has traded decides what it pays, and rebates are paid by the taker of the same trade."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import capstan_native as native
import pytest

from cex.sandbox import AccountSpec, FeeTier, SandboxConfig, load_accounts, load_fee_tiers
from cex.sandbox.config import UNIT
from cex.sandbox.exchange import Exchange
from cex.sandbox.fees import DAYS, FeeSchedule
from domain import InputError
from tests.cex.sandbox.conftest import ALICE, BOB, Start
from tests.cex.sandbox.desk import ETHUSDC, Clock, limit, make_exchange, totals

BUY, SELL = native.BUY, native.SELL
DAY_MS = 86_400_000
TIERS = (
    FeeTier("0", Decimal(10), Decimal(12)),
    FeeTier("3000", Decimal("-1"), Decimal(5)),
    FeeTier("9000", Decimal("-2.5"), Decimal("2.5")),
)


def test_volume_of_thirty_days_decides_and_a_trade_pays_the_tier_reached_before_it() -> None:
    clock = Clock()
    exchange, (ann, ben, _), _ = make_exchange(clock=clock, tiers=TIERS)
    for expected in ((1000, 1200), (-100, 500), (-100, 500), (-250, 250)):
        assert exchange.fee_pips(ann) == exchange.fee_pips(ben) == expected
        exchange.place(ann, "ETHUSDC", limit(SELL, "3000", "1"))
        taken = exchange.place(ben, "ETHUSDC", limit(BUY, "3000", "1"))
        assert taken.trades[0].fee_raw == UNIT * expected[1] // 1_000_000
    clock.now_ms += (DAYS - 1) * DAY_MS
    assert exchange.fee_pips(ann) == (-250, 250)
    clock.now_ms += DAY_MS
    assert exchange.fee_pips(ann) == (1000, 1200)
    assert ann.volumes == {}


def test_a_rebate_is_paid_in_the_asset_of_the_takers_commission() -> None:
    exchange, (ann, ben, _), _ = make_exchange(tiers=(FeeTier("0", Decimal("-2.5"), Decimal("2.5")),))
    start = totals(exchange)
    maker = exchange.place(ann, "ETHUSDC", limit(SELL, "3000.07", "0.0021"))
    exchange.place(ben, "ETHUSDC", limit(BUY, "3001", "0.0021"))
    # 0.0021 ETH x 2.5 bps = 0.000000525, rounded down on both sides: the exchange keeps nothing and loses nothing.
    assert (maker.trades[0].fee_asset, maker.trades[0].fee_raw) == ("ETH", -52)
    assert ann.balance("ETH").free == 10 * UNIT - UNIT * 21 // 10_000 + 52
    assert ann.balance("USDC").free == 30_000 * UNIT + 630_014_700
    assert exchange.fees.balance("ETH").free == 0
    assert totals(exchange) == start


def test_volumes_of_other_quotes_count_by_their_value() -> None:
    exchange, (ann, _, _), _ = make_exchange(tiers=TIERS)
    schedule = FeeSchedule(TIERS, {"BTC": "60000"})
    schedule.traded(ann, "BTC", UNIT // 20, 0)
    assert schedule.volume_raw(ann, 0) == 3_000 * UNIT
    assert schedule.rates(ann, 0) == (-100, 500)
    assert exchange.fee_pips(exchange.fees) == (1000, 1200), "the background has the first tier"


@pytest.mark.parametrize(
    "tiers",
    [
        (),
        (FeeTier("1", Decimal(1), Decimal(1)),),
        (FeeTier("0", Decimal(1), Decimal(1)), FeeTier("0", Decimal(1), Decimal(1))),
        (FeeTier("0", Decimal("0.001"), Decimal(1)),),
        (FeeTier("0", Decimal(1), Decimal(-1)),),
        (FeeTier("0", Decimal(1), Decimal(10_000)),),
        (FeeTier("0", Decimal("NaN"), Decimal(1)),),
        (FeeTier("0", Decimal(-5), Decimal(6)), FeeTier("10", Decimal(1), Decimal(4))),
    ],
)
def test_tiers_that_make_no_sense_or_lose_money_are_refused(tiers: tuple[FeeTier, ...]) -> None:
    with pytest.raises(InputError):
        FeeSchedule(tiers)


def test_files_of_tiers_and_accounts_are_read_strictly(tmp_path: Path) -> None:
    path = tmp_path / "fees.toml"
    path.write_text('[[tiers]]\nvolume_from = "0"\nmaker_bps = "-0.5"\ntaker_bps = "4"\n')
    assert load_fee_tiers(path) == (FeeTier("0", Decimal("-0.5"), Decimal(4)),)
    other = tmp_path / "fees.json"
    for text in ("{", "{}", '{"tiers": [{"volume_from": "0"}]}', '{"tiers": [1]}'):
        other.write_text(text)
        with pytest.raises(InputError, match="fees file"):
            load_fee_tiers(other)
    for value in ("x", "1e"):
        other.write_text(json.dumps({"tiers": [{"volume_from": "0", "maker_bps": value, "taker_bps": "1"}]}))
        with pytest.raises(InputError, match="decimal texts"):
            load_fee_tiers(other)
    accounts = tmp_path / "accounts.json"
    row = {"name": "desk", "api_key": "k", "secret": "s", "fee_tier": 1}
    accounts.write_text(json.dumps({"accounts": [row]}))
    assert load_accounts(accounts)[0].fee_tier == 1
    accounts.write_text(json.dumps({"accounts": [row | {"fee_tier": -1}]}))
    with pytest.raises(InputError, match="fee_tier"):
        load_accounts(accounts)


def test_an_account_may_have_a_tier_of_its_own() -> None:
    accounts = [AccountSpec("vip", "k", "s", fee_tier=9), AccountSpec("new", "l", "s")]
    prices = {"ETHUSDC": 300_000}
    exchange = Exchange([ETHUSDC], accounts, Clock(), reference_prices=prices, fees=FeeSchedule(TIERS))
    assert [exchange.fee_pips(account) for account in exchange.accounts[1:]] == [(-250, 250), (1000, 1200)]


async def test_clients_are_told_their_own_rates(start: Start) -> None:
    sandbox = await start(SandboxConfig(accounts=(ALICE, BOB), flow=None, fee_tiers=TIERS))
    await sandbox.order(ALICE, side="SELL", quantity="2", price="3000")
    bought = await sandbox.order(BOB, side="BUY", quantity="2", price="3000")
    assert bought["fills"][0]["commission"] == "0.00240000"
    account = (await sandbox.call("GET", "/api/v3/account", BOB))[1]
    assert account["commissionRates"]["maker"] == "-0.00010000"
    assert account["commissionRates"]["taker"] == "0.00050000"
    commission = (await sandbox.call("GET", "/api/v3/account/commission", BOB, symbol="ETHUSDC"))[1]
    assert commission["standardCommission"]["taker"] == "0.00050000"
    fees = (await sandbox.call("GET", "/sapi/v1/asset/tradeFee", BOB, symbol="ETHUSDC"))[1]
    assert fees == [{"symbol": "ETHUSDC", "makerCommission": "-0.00010000", "takerCommission": "0.00050000"}]
