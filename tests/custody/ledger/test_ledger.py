"""The books balance, know what they booked, and cannot be changed."""

from __future__ import annotations

import threading
from decimal import Decimal

import alembic.autogenerate
import alembic.migration
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import SQLModel

from custody.ledger import Entry, Ledger, Posting, postings
from custody.tables import open_books
from domain import (
    Address,
    ChainId,
    Fill,
    InputError,
    Instrument,
    IntentId,
    InvariantError,
    Side,
    VenueId,
    native_asset,
    venue_asset,
)
from runtime.database import Database
from tests.databases import books_at

VAULT = postings.vault_account(ChainId(1337), Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"))
ETHUSDC = Instrument(
    venue=VenueId("sandbox"),
    symbol="ETHUSDC",
    base=venue_asset(VenueId("sandbox"), "ETH"),
    quote=venue_asset(VenueId("sandbox"), "USDC"),
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.0001"),
    min_notional=Decimal(5),
    maker_fee_bps=Decimal(0),
    taker_fee_bps=Decimal(10),
)


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database, lambda: 1)


def fill(side: Side, *, lots: int = 10_000, fee_asset: str = "USDC", fee_raw: int = 7, trade: str = "1") -> Fill:
    return Fill(
        venue="sandbox",
        symbol="ETHUSDC",
        trade_id=trade,
        client_order_id="o1",
        venue_order_id="v1",
        side=side,
        price_ticks=300_000,
        qty_lots=lots,
        quote_raw=300_000_000_000,
        fee_asset=fee_asset,
        fee_raw=fee_raw,
        is_maker=False,
        venue_time_ns=0,
    )


def move(key: str, raw: int, asset: str = "x/A") -> Entry:
    return Entry(key, "test", (Posting("trading/s", asset, -raw), Posting("venue/v", asset, raw)), "s")


def test_migrations_build_exactly_the_declared_tables(database: Database) -> None:
    with database.snapshot() as session:
        # The API's tables have migrations of their own: tests/api/test_tables.py.
        ours = lambda name, kind, _parents: kind != "table" or not name.startswith("api_")  # noqa: E731
        declared = lambda thing, name, kind, _reflected, _other: kind != "table" or not name.startswith("api_")  # noqa: E731
        opts = {"compare_type": True, "include_name": ours, "include_object": declared}
        context = alembic.migration.MigrationContext.configure(session.connection(), opts=opts)
        assert alembic.autogenerate.compare_metadata(context, SQLModel.metadata) == []
    open_books(database)  # a second time changes nothing


def test_a_buy_a_sell_and_their_fees_are_booked_to_the_unit(ledger: Ledger) -> None:
    assert ledger.post(postings.exchange_fill(fill(Side.BUY, fee_asset="ETH", fee_raw=100_000), ETHUSDC, "mm"))
    assert ledger.post(postings.exchange_fill(fill(Side.SELL, fee_raw=300, trade="2"), ETHUSDC, "mm"))
    assert ledger.balances("venue/sandbox") == {"venue/sandbox": {"sandbox/ETH": -100_000, "sandbox/USDC": -300}}
    assert ledger.balances("fees") == {"fees/mm": {"sandbox/ETH": 100_000, "sandbox/USDC": 300}}
    assert ledger.profit("mm") == {"sandbox/ETH": -100_000, "sandbox/USDC": -300}
    assert ledger.strategies() == ["mm"]
    assert set(ledger.trial_balance().values()) == {0}
    assert ledger.verify().is_sound


def test_a_maker_rebate_is_a_negative_fee(ledger: Ledger) -> None:
    ledger.post(postings.exchange_fill(fill(Side.BUY, fee_raw=-5), ETHUSDC, "mm"))
    assert ledger.balance("fees/mm", "sandbox/USDC") == -5
    assert ledger.balance("venue/sandbox", "sandbox/USDC") == -300_000_000_000 + 5


def test_a_size_below_the_base_assets_unit_is_our_bug() -> None:
    coarse = Instrument(
        venue=ETHUSDC.venue,
        symbol="ETHUSDC",
        base=venue_asset(ETHUSDC.venue, "ETH", 2),
        quote=ETHUSDC.quote,
        tick_size=ETHUSDC.tick_size,
        lot_size=ETHUSDC.lot_size,
        min_notional=ETHUSDC.min_notional,
        maker_fee_bps=Decimal(0),
        taker_fee_bps=Decimal(0),
    )
    with pytest.raises(InvariantError):
        postings.exchange_fill(fill(Side.BUY, lots=1), coarse, "mm")


def test_swap_gas_opening_transfer_and_contra_balance(ledger: Ledger) -> None:
    weth, eth = "eip155:1337/erc20:0xC02a", native_asset(ChainId(1337))
    swap = postings.swap(IntentId("i1"), "arb", VAULT, {weth: -(10**18), "eip155:1337/erc20:0xA0b8": 3_000})
    gas = postings.gas(IntentId("i1"), "arb", VAULT, ChainId(1337), 21_000 * 10**9, kind="gas")
    assert swap is not None
    assert gas is not None
    opening = postings.opening(VAULT, eth.id, 10**22)
    ledger.post_many([opening, swap, gas, postings.transfer("t1", VAULT, "venue/sandbox", eth, 5)])
    assert ledger.balance(VAULT, eth.id) == 10**22 - 21_000 * 10**9 - 5
    assert ledger.profit("arb") == {weth: -(10**18), "eip155:1337/erc20:0xA0b8": 3_000, eth.id: -21_000 * 10**9}
    ledger.post(postings.contra(swap, "block 7 was reorganised away"))
    assert ledger.profit("arb") == {eth.id: -21_000 * 10**9}
    assert postings.swap(IntentId("i2"), "arb", VAULT, {}) is None
    assert postings.gas(IntentId("i2"), "arb", VAULT, ChainId(1337), 0, kind="gas") is None


def test_the_same_entry_again_changes_nothing_and_another_under_its_key_is_our_bug(ledger: Ledger) -> None:
    assert ledger.post(move("k", 5)) is True
    assert ledger.post(move("k", 5)) is False
    with pytest.raises(InvariantError):
        ledger.post(move("k", 6))
    assert ledger.balance("venue/v", "x/A") == 5


def test_many_entries_are_booked_together_or_not_at_all(ledger: Ledger) -> None:
    ledger.post(move("taken", 1))
    with pytest.raises(InvariantError):
        ledger.post_many([move("new", 2), move("taken", 3)])
    assert ledger.balance("venue/v", "x/A") == 1


@pytest.mark.parametrize(
    "legs",
    [
        (),
        (Posting("venue/v", "x/A", 1),),
        (Posting("venue/v", "x/A", 1), Posting("trading/s", "x/B", -1)),
        (Posting("venue/v", "x/A", 0), Posting("trading/s", "x/A", 0)),
        (Posting("nonsense", "x/A", 1), Posting("trading/s", "x/A", -1)),
        (Posting("venue/v", "x/A", 1.0), Posting("trading/s", "x/A", -1.0)),  # type: ignore[arg-type]
    ],
)
def test_an_unbalanced_or_malformed_entry_cannot_be_built(legs: tuple[Posting, ...]) -> None:
    with pytest.raises(InvariantError):
        Entry("k", "test", legs)


@given(raw=st.integers(-(10**78) + 1, 10**78 - 1))
def test_amounts_of_78_digits_are_exact(ledger_of_the_run: Ledger, raw: int) -> None:
    entry = move(f"k{raw}", raw, asset=f"x/{raw}") if raw else move("zero", 1)
    before = ledger_of_the_run.balance("venue/v", entry.postings[0].asset)
    if ledger_of_the_run.post(entry):
        assert ledger_of_the_run.balance("venue/v", entry.postings[0].asset) == before + entry.postings[1].raw


def test_a_balance_of_more_than_78_digits_is_refused(ledger: Ledger) -> None:
    ledger.post(move("a", 10**78 - 1))
    with pytest.raises(InvariantError, match="78 digits"):
        ledger.post(move("b", 1))
    assert ledger.balance("venue/v", "x/A") == 10**78 - 1


@pytest.fixture(scope="module")
def ledger_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    return Ledger(books_at(tmp_path_factory.mktemp("books") / "books.db"), lambda: 1)


@pytest.mark.parametrize("table", ["ledger_entries", "ledger_postings", "transaction_events"])
def test_rows_of_the_books_cannot_be_changed_or_deleted(database: Database, ledger: Ledger, table: str) -> None:
    ledger.post(move("k", 5))
    with database.transaction() as session:
        session.execute(
            sa.text(
                "INSERT INTO transactions (id, intent_id, strategy, purpose, chain_id, sender, plan, state)"
                " VALUES (1, 'i', 's', 'swap', 1, '0x', '{}', 'created')"
            )
        )
        session.execute(
            sa.text(
                "INSERT INTO transaction_events (transaction_id, event, state, detail, time_ns)"
                " VALUES (1, 'created', 'created', '', 0)"
            )
        )
    for statement in (f"UPDATE {table} SET id = id + 1", f"DELETE FROM {table}"):
        with pytest.raises(InvariantError, match="append-only"), database.transaction() as session:
            session.execute(sa.text(statement))
    assert ledger.verify().is_sound


def test_verify_finds_an_altered_amount_a_deleted_leg_and_a_dropped_trigger(database: Database, ledger: Ledger) -> None:
    ledger.post_many([move("a", 5), move("b", 6), move("c", 7)])
    drop = "DROP TRIGGER {} ON ledger_postings" if not database.is_sqlite else "DROP TRIGGER {}"
    names = (
        ["ledger_postings_no_update", "ledger_postings_no_delete"]
        if database.is_sqlite
        else ["ledger_postings_append_only"]
    )
    with database.transaction() as session:
        for name in names:
            session.execute(sa.text(drop.format(name)))
        # The entry still balances after this: only its fingerprint tells.
        session.execute(sa.text("UPDATE ledger_postings SET account = 'venue/w' WHERE entry_id = 1 AND line = 1"))
        session.execute(sa.text("DELETE FROM ledger_postings WHERE entry_id = 2 AND line = 1"))
    found = "\n".join(ledger.verify().problems)
    assert "entry a does not match its fingerprint" in found
    assert "entry b is off by -6" in found
    assert all(f"trigger {name} is missing" in found for name in names)
    assert "entry c" not in found


def test_concurrent_posts_of_one_key_book_it_once(ledger: Ledger) -> None:
    outcomes: list[bool] = []
    threads = [threading.Thread(target=lambda: outcomes.append(ledger.post(move("k", 5)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [False] * 7 + [True]
    assert ledger.balance("venue/v", "x/A") == 5


def test_a_prefix_means_whole_segments_and_nothing_else(ledger: Ledger) -> None:
    legs = [("venue/a", 1), ("venue/ab", 2), ("venue/a_b", 3), ("venue/a/sub", 4)]
    ledger.post(Entry("k", "test", (*(Posting(a, "x/A", n) for a, n in legs), Posting("equity/opening", "x/A", -10))))
    assert set(ledger.balances("venue/a")) == {"venue/a", "venue/a/sub"}
    assert set(ledger.balances("venue")) == {"venue/a", "venue/ab", "venue/a_b", "venue/a/sub"}
    with pytest.raises(InputError):
        ledger.balances("venue/%")
