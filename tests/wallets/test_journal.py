"""One nonce, one transaction: the journal lets the first through, its repetition, and an honest fee bump."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from chain.devnet import TEST_ADDRESSES
from domain import ChainId, InputError, Refused, VenueUnavailable
from runtime import ManualClock
from wallets import SigningJournal, Spent, TransactionToSign

KEY = TEST_ADDRESSES[0]
TX = TransactionToSign(
    chain_id=ChainId(1337),
    nonce=3,
    to=TEST_ADDRESSES[1],
    value_wei=5,
    data=b"swap",
    gas_limit=100_000,
    max_fee_per_gas_wei=100,
    max_priority_fee_per_gas_wei=10,
)
BUMP = replace(TX, max_fee_per_gas_wei=111, max_priority_fee_per_gas_wei=11)


def allow(_spent: Spent) -> Mapping[str, int]:
    return {"x/A": 10}


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(10**18)


@pytest.fixture
def journal(tmp_path: Path, clock: ManualClock) -> SigningJournal:
    return SigningJournal(tmp_path / "journal.db", now_ns=clock.now_ns)


def refused(journal: SigningJournal, tx: TransactionToSign) -> str:
    with pytest.raises(Refused) as error:
        journal.record(KEY, tx, allow)
    return error.value.rule


def test_the_same_transaction_again_is_allowed_without_asking_the_guard_again(journal: SigningJournal) -> None:
    journal.record(KEY, TX, allow)

    def never(_spent: Spent) -> Mapping[str, int]:
        raise AssertionError

    journal.record(KEY, TX, never)
    assert journal.count() == 1


@pytest.mark.parametrize(
    "change", [{"to": TEST_ADDRESSES[2]}, {"value_wei": 6}, {"data": b"swop"}, {"data": b""}, {"value_wei": 0}]
)
def test_another_effect_under_a_signed_nonce_is_refused_whatever_it_pays(
    journal: SigningJournal, change: dict[str, object]
) -> None:
    journal.record(KEY, TX, allow)
    assert refused(journal, replace(TX, **change)) == "sign-once"  # type: ignore[arg-type]
    assert refused(journal, replace(BUMP, **change)) == "sign-once"  # type: ignore[arg-type]


def test_a_replacement_must_raise_both_fees_above_all_before(journal: SigningJournal) -> None:
    journal.record(KEY, TX, allow)
    assert refused(journal, replace(TX, max_fee_per_gas_wei=101)) == "replacement-fee"
    assert refused(journal, replace(TX, max_priority_fee_per_gas_wei=11)) == "replacement-fee"
    assert refused(journal, replace(TX, gas_limit=100_001)) == "replacement-fee"
    journal.record(KEY, BUMP, allow)
    assert refused(journal, replace(TX, max_fee_per_gas_wei=105, max_priority_fee_per_gas_wei=11)) == "replacement-fee"
    journal.record(KEY, TX, allow)


def test_other_nonces_chains_and_keys_are_other_places(journal: SigningJournal) -> None:
    journal.record(KEY, TX, allow)
    for tx in (replace(TX, nonce=4, data=b""), replace(TX, chain_id=ChainId(1), data=b"")):
        journal.record(KEY, tx, allow)
    journal.record(TEST_ADDRESSES[1], replace(TX, data=b""), allow)
    assert journal.count() == 4


def test_what_the_guard_refuses_leaves_no_trace(journal: SigningJournal) -> None:
    def no(_spent: Spent) -> Mapping[str, int]:
        raise Refused("no", rule="amount")

    with pytest.raises(Refused):
        journal.record(KEY, TX, no)
    journal.record(KEY, replace(TX, data=b"another"), allow)


def test_velocity_counts_a_day_per_asset_and_a_replacement_once(journal: SigningJournal, clock: ManualClock) -> None:
    seen: list[int] = []

    def watch(spent: Spent) -> Mapping[str, int]:
        seen.append(spent("x/A", 86_400))
        return {"x/A": 10}

    journal.record(KEY, TX, watch)
    journal.record(KEY, BUMP, watch)
    journal.record(KEY, replace(TX, nonce=4), watch)
    clock.advance(seconds=24 * 3600 + 1)
    journal.record(KEY, replace(TX, nonce=5), watch)
    assert seen == [0, 0, 10, 0]


def test_a_journal_opened_again_remembers(tmp_path: Path, clock: ManualClock) -> None:
    for _ in range(2):
        with SigningJournal(tmp_path / "j.db", now_ns=clock.now_ns) as journal:
            journal.record(KEY, TX, allow)
            assert refused(journal, replace(TX, data=b"x")) == "sign-once"
    assert (tmp_path / "j.db").stat().st_mode & 0o777 == 0o600


def test_sixty_four_conflicting_requests_at_once_have_one_winner(journal: SigningJournal) -> None:
    rules: list[str] = []

    def ask(number: int) -> None:
        try:
            journal.record(KEY, replace(TX, data=bytes([number])), allow)
            rules.append("won")
        except Refused as exc:
            rules.append(exc.rule)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rules) == ["sign-once"] * 63 + ["won"]


def test_rows_of_the_journal_cannot_be_changed(tmp_path: Path, journal: SigningJournal) -> None:
    journal.record(KEY, TX, allow)
    connection = sqlite3.connect(tmp_path / "journal.db")
    for statement in ("DELETE FROM signed", "UPDATE signed SET nonce = '9'", "DELETE FROM spent"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_files_that_are_no_journal_are_input_errors_and_a_locked_one_signs_nothing(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be taken for one" * 20)
    with pytest.raises(InputError):
        SigningJournal(tmp_path / "text", now_ns=lambda: 0)
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 7")
    newer.close()
    with pytest.raises(InputError):
        SigningJournal(tmp_path / "newer", now_ns=lambda: 0)
    journal = SigningJournal(tmp_path / "j.db", now_ns=lambda: 0)
    journal.close()
    with pytest.raises(VenueUnavailable):
        journal.record(KEY, TX, allow)
