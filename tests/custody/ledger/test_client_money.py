"""Deposits, sweeps and withdrawals on the books: nobody is owed less than nothing, and everything adds up."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custody.ledger import Ledger, postings, user_account, vault_account
from custody.ledger.postings import DepositLeg
from custody.tables import MIGRATIONS
from domain import Address, ChainId, InvariantError, Refused, native_asset
from runtime.database import Database
from tests.databases import books_at

CHAIN = ChainId(1337)
TANK = vault_account(CHAIN, Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"))
FORWARDER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
USDC = "eip155:1337/erc20:0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48"


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database, lambda: 1)


def deposit(number: int, raw: int, *, user: str = "u1", occurrence: int = 0) -> DepositLeg:
    return DepositLeg(
        chain_id=CHAIN,
        tx_hash=f"0x{number:064x}",
        log_index=3,
        occurrence=occurrence,
        user=user,
        address=FORWARDER,
        asset=USDC,
        raw=raw,
    )


def credit(ledger: Ledger, raw: int, *, user: str = "u1", number: int = 1) -> None:
    leg = deposit(number, raw, user=user)
    ledger.post_many([postings.deposit_seen(leg), postings.deposit_available(leg)])


def owed(ledger: Ledger, user: str = "u1") -> dict[str, int]:
    found = {part: -ledger.balance(user_account(user, part), USDC) for part in ("available", "pending", "held")}
    return {part: raw for part, raw in found.items() if raw}


def test_a_deposit_is_swept_withdrawn_and_leaves_only_its_fee(ledger: Ledger) -> None:
    leg = deposit(1, 1_000)
    place = vault_account(CHAIN, FORWARDER)
    ledger.post(postings.deposit_seen(leg))
    assert owed(ledger) == {"pending": 1_000}
    ledger.post(postings.deposit_available(leg))
    ledger.post(postings.sweep_sent("s1", place, USDC, 1_000))
    assert ledger.balance("inflight/s1", USDC) == 1_000
    ledger.post(postings.sweep_done("s1", place, TANK, USDC, sent_raw=1_000, arrived_raw=1_000))
    ledger.post(postings.withdrawal_held("w1", "u1", USDC, 990, fee_raw=10))
    assert owed(ledger) == {"held": 1_000}
    ledger.post(postings.withdrawal_sent("w1", TANK, USDC, 990))
    ledger.post(postings.withdrawal_done("w1", "u1", USDC, 990, fee_raw=10))
    assert ledger.balances() == {TANK: {USDC: 10}, "fees/withdrawals": {USDC: -10}}
    assert ledger.verify().is_sound


def test_a_sweep_that_finds_more_than_was_seen_takes_the_rest_from_its_source(ledger: Ledger) -> None:
    place = vault_account(CHAIN, FORWARDER)
    credit(ledger, 100, number=1)
    ledger.post(postings.sweep_sent("s1", place, USDC, 100))
    credit(ledger, 50, number=2)
    ledger.post(postings.sweep_done("s1", place, TANK, USDC, sent_raw=100, arrived_raw=150))
    assert ledger.balances("chain") == {TANK: {USDC: 150}}
    assert ledger.balances("inflight") == {}


def test_what_failed_on_its_way_is_where_it_was(ledger: Ledger) -> None:
    place = vault_account(CHAIN, FORWARDER)
    credit(ledger, 100)
    before = ledger.balances()
    ledger.post(postings.sweep_sent("s1", place, USDC, 100))
    ledger.post(postings.sweep_returned("s1", place, USDC, 100, reason="reverted"))
    ledger.post(postings.withdrawal_held("w1", "u1", USDC, 60))
    ledger.post(postings.withdrawal_sent("w1", place, USDC, 60))
    ledger.post(postings.withdrawal_returned("w1", place, USDC, 60, reason="reverted"))
    ledger.post(postings.withdrawal_released("w1", "u1", USDC, 60))
    assert ledger.balances() == before


def test_a_reorganised_deposit_is_undone_and_booked_again_once_it_is_back(ledger: Ledger) -> None:
    ledger.post(postings.deposit_seen(deposit(1, 100)))
    ledger.post(postings.deposit_reorged(deposit(1, 100), "block 7", was_available=False))
    assert owed(ledger) == {}
    assert ledger.post(postings.deposit_seen(deposit(1, 100))) is False
    assert ledger.post(postings.deposit_seen(deposit(1, 100, occurrence=1))) is True
    assert owed(ledger) == {"pending": 100}


def test_a_deposit_reorganised_away_after_it_was_spent_is_short_in_suspense(database: Database, ledger: Ledger) -> None:
    credit(ledger, 100)
    ledger.post(postings.withdrawal_held("w1", "u1", USDC, 70))
    with pytest.raises(Refused):
        ledger.post(postings.deposit_reorged(deposit(1, 100), "block 7", was_available=True))
    with database.transaction() as session:
        short = 100 - ledger.available_in(session, "u1", USDC)
        entry = postings.deposit_reorged(deposit(1, 100), "block 7", was_available=True, short_raw=short)
        ledger.post_in(session, entry)
    assert ledger.balance("suspense/reorged", USDC) == 70
    assert owed(ledger) == {"held": 70}


def test_more_than_is_available_cannot_be_held_and_nothing_of_the_attempt_stays(ledger: Ledger) -> None:
    credit(ledger, 100)
    with pytest.raises(Refused) as refusal:
        ledger.post(postings.withdrawal_held("w1", "u1", USDC, 101))
    assert refusal.value.rule == "funds"
    with pytest.raises(Refused):
        ledger.post_many([postings.withdrawal_held(f"w{n}", "u1", USDC, 40) for n in range(3)])
    assert owed(ledger) == {"available": 100}
    assert ledger.post(postings.withdrawal_held("w1", "u1", USDC, 100))


def test_twenty_who_spend_at_once_get_what_is_there_and_no_more(ledger: Ledger) -> None:
    credit(ledger, 100)
    refused: list[str] = []

    def hold(number: int) -> None:
        try:
            ledger.post(postings.withdrawal_held(f"w{number}", "u1", USDC, 30))
        except Refused as exc:
            refused.append(exc.rule)

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused == ["funds"] * 17
    assert owed(ledger) == {"available": 10, "held": 90}
    assert ledger.verify().is_sound


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(raws=st.lists(st.tuples(st.sampled_from(["in", "out"]), st.integers(1, 10**30)), max_size=12), data=st.data())
def test_whatever_is_asked_a_user_never_has_less_than_nothing(
    tmp_path_factory: pytest.TempPathFactory, raws: list[tuple[str, int]], data: st.DataObject
) -> None:
    database = books_at(tmp_path_factory.mktemp("books") / "books.db")
    ledger, has = Ledger(database, lambda: 1), 0
    for number, (kind, raw) in enumerate(raws):
        if kind == "in":
            credit(ledger, raw, number=number)
            has += raw
            continue
        wanted = data.draw(st.one_of(st.just(raw), st.integers(1, max(has, 1))))
        try:
            ledger.post(postings.withdrawal_held(f"w{number}", "u1", USDC, wanted))
        except Refused:
            assert wanted > has
        else:
            assert wanted <= has
            has -= wanted
        assert owed(ledger).get("available", 0) == has
    assert ledger.verify().is_sound
    database.dispose()


def test_verify_finds_a_derived_balance_that_is_not_the_sum_of_its_postings(database: Database, ledger: Ledger) -> None:
    credit(ledger, 100)
    with database.transaction() as session:
        session.execute(sa.text("UPDATE ledger_balances SET raw = -500 WHERE account = 'user/u1/available'"))
        session.execute(sa.text("DELETE FROM ledger_balances WHERE account LIKE 'chain/%'"))
    found = "\n".join(ledger.verify().problems)
    assert f"balance of user/u1/available is -500 of {USDC}, its postings sum to -100" in found
    assert f"is 0 of {USDC}, its postings sum to 100" in found


def test_books_of_before_balances_were_kept_get_them(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    database.migrate(MIGRATIONS, "0003")
    big = str(10**40)
    with database.transaction() as session:
        session.execute(
            sa.text(
                "INSERT INTO ledger_entries (id, key, kind, strategy, note, digest, time_ns)"
                " VALUES (1, 'k', 'test', '', '', 'd', 0)"
            )
        )
        for line, raw in enumerate((big, f"-{big}", "5", "-5")):
            session.execute(
                sa.text(
                    "INSERT INTO ledger_postings (entry_id, line, account, asset, raw)"
                    f" VALUES (1, {line}, '{('venue/v', 'equity/opening')[line % 2]}', 'x/A', '{raw}')"
                )
            )
    database.migrate(MIGRATIONS)
    assert Ledger(database, lambda: 1).balances("venue") == {"venue/v": {"x/A": 10**40 + 5}}
    database.dispose()


def test_a_user_has_three_accounts_and_no_other(ledger: Ledger) -> None:
    for account in ("user/u1", "user/u1/other", "user/u1/available/x"):
        with pytest.raises(InvariantError):
            postings.transfer("t", account, "venue/v", native_asset(CHAIN), 1)
