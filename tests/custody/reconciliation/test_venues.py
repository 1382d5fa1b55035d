"""Books against exchanges, and what is held against what is owed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from custody import freeze
from custody.audit import AuditLog
from custody.freeze import Freezes
from custody.ledger import Entry, Ledger, Posting
from custody.reconciliation import AssetGroup, Reconciliation, VenueReconciler, solvency
from domain import InputError, VenueUnavailable
from runtime.database import Database


class Exchange:
    """Answers what it is told to, one answer after another, the last for ever."""

    def __init__(self, *answers: Mapping[str, int] | VenueUnavailable) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def balances(self) -> Mapping[str, int]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, VenueUnavailable):
            raise answer
        return answer


async def no_pause() -> None:
    pass


@pytest.fixture
def ledger(database: Database) -> Ledger:
    ledger = Ledger(database, lambda: 1)
    ledger.post_many([hold("venue/v", "v/BTC", 100), hold("venue/v", "v/USD", 50), hold("venue/w", "w/USD", 7)])
    return ledger


def hold(account: str, asset: str, raw: int, key: str = "") -> Entry:
    return Entry(
        key or f"{account}/{asset}/{raw}",
        "test",
        (Posting(account, asset, raw), Posting("equity/opening", asset, -raw)),
    )


def owe(user: str, asset: str, raw: int) -> Entry:
    legs = (Posting("equity/opening", asset, raw), Posting(f"user/{user}/available", asset, -raw))
    return Entry(f"owe/{user}/{asset}", "test", legs)


def reconciliation(
    database: Database, exchange: Exchange, *, surplus: Mapping[str, int] | None = None
) -> Reconciliation:
    venue = VenueReconciler("v", exchange.balances, database, surplus_raw=surplus, pause=no_pause)
    return Reconciliation(database, AuditLog(database, lambda: 1), lambda: 1, venues=(venue,), pause=no_pause)


def frozen(database: Database) -> list[str]:
    return [found.scope for found in Freezes(database, AuditLog(database, lambda: 1), lambda: 1).standing()]


async def test_equal_balances_take_one_look(database: Database, ledger: Ledger) -> None:
    exchange = Exchange({"v/BTC": 100, "v/USD": 50, "v/DUST": 0})
    assert (await reconciliation(database, exchange).reconcile()).is_clean
    assert exchange.asked == 1


async def test_a_trade_between_two_looks_is_no_mismatch(database: Database, ledger: Ledger) -> None:
    # Each asset agrees in one of the looks, never both in the same: fills were booked in between.
    exchange = Exchange({"v/BTC": 99, "v/USD": 50}, {"v/BTC": 100, "v/USD": 51})
    assert (await reconciliation(database, exchange).reconcile()).is_clean
    assert frozen(database) == []


async def test_a_lasting_difference_freezes_the_exchange_and_nothing_else(database: Database, ledger: Ledger) -> None:
    exchange = Exchange({"v/BTC": 100, "v/USD": 49})
    report = await reconciliation(database, exchange).reconcile()
    assert [(item.asset, item.unexplained_raw) for item in report.mismatches] == [("v/USD", -1)]
    assert frozen(database) == [freeze.venue_scope("v")]


async def test_an_asset_the_exchange_no_longer_names_is_missing(database: Database, ledger: Ledger) -> None:
    report = await reconciliation(database, Exchange({"v/BTC": 100})).reconcile()
    assert [(item.asset, item.unexplained_raw) for item in report.mismatches] == [("v/USD", -50)]


async def test_a_small_rebate_may_be_tolerated_and_a_loss_never(database: Database, ledger: Ledger) -> None:
    tolerant = {"v/USD": 5, "v/BTC": 5}
    good = await reconciliation(database, Exchange({"v/BTC": 100, "v/USD": 55}), surplus=tolerant).reconcile()
    assert good.is_clean
    bad = await reconciliation(database, Exchange({"v/BTC": 99, "v/USD": 56}), surplus=tolerant).reconcile()
    assert {item.asset for item in bad.mismatches} == {"v/BTC", "v/USD"}


async def test_an_exchange_that_is_down_is_unread_and_leaves_solvency_unknown(
    database: Database, ledger: Ledger
) -> None:
    down = reconciliation(database, Exchange(VenueUnavailable("maintenance")))
    report = await down.reconcile()
    assert (report.unread, report.is_clean) == (("venue/v",), False)
    with pytest.raises(VenueUnavailable):
        await down.check_solvency()
    assert frozen(database) == []


async def test_owing_more_than_is_held_freezes_everything(database: Database, ledger: Ledger) -> None:
    ledger.post(owe("u1", "v/USD", 50))
    assert all(item.is_solvent for item in await reconciliation(database, Exchange({"v/USD": 50})).check_solvency())
    assert frozen(database) == []
    (short,) = await reconciliation(database, Exchange({"v/USD": 49})).check_solvency()
    assert (short.held_raw, short.owed_raw) == (49, 50)
    assert frozen(database) == [freeze.ALL]


async def test_a_shortage_that_is_gone_at_the_second_look_freezes_nothing(database: Database, ledger: Ledger) -> None:
    ledger.post(owe("u1", "v/USD", 50))
    (found,) = await reconciliation(database, Exchange({"v/USD": 49}, {"v/USD": 50})).check_solvency()
    assert found.is_solvent
    assert frozen(database) == []


def test_coins_in_different_places_stand_for_one_another_in_one_unit(database: Database, ledger: Ledger) -> None:
    group = AssetGroup("USD", {"v/USD": 2, "w/USD": 4})
    ledger.post_many([owe("u1", "v/USD", 20), owe("u2", "w/USD", 3_006)])
    found = {"venue/v": {"v/USD": 50}, "venue/w": {"w/USD": 7}}
    (usd,) = solvency(database, found, [group])
    assert (usd.held_raw, usd.owed_raw, usd.is_solvent) == (5_007, 5_006, True)
    alone = {item.name: item.is_solvent for item in solvency(database, found)}
    assert alone == {"v/USD": True, "w/USD": False}
    with pytest.raises(InputError, match="two groups"):
        solvency(database, found, [group, AssetGroup("other", {"v/USD": 2})])


def test_a_place_that_was_not_read_and_what_nobody_booked_do_not_count(database: Database, ledger: Ledger) -> None:
    ledger.post(owe("u1", "v/USD", 50))
    assert [item.held_raw for item in solvency(database, {})] == [0]
    assert [item.held_raw for item in solvency(database, {"venue/v": {"v/USD": 10**9}})] == [50]


def test_what_is_on_its_way_counts_as_held(database: Database, ledger: Ledger) -> None:
    legs = (Posting("venue/v", "v/USD", -30), Posting("inflight/w1", "v/USD", 30))
    ledger.post_many([owe("u1", "v/USD", 50), Entry("w1", "test", legs)])
    assert [item.held_raw for item in solvency(database, {"venue/v": {"v/USD": 20}})] == [50]
