"""Sign-once survives a restore: whatever was signed after the backup, no second transaction is signed for its nonce."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain import ChainId, InputError, Refused, VenueUnavailable
from wallets import KeySigner, Network, SigningJournal, TransactionToSign, mark_restored

KEY = KeySigner(bytes(31) + b"\x07", is_test_key=True)
OTHER = KeySigner(bytes(31) + b"\x08", is_test_key=True)
CHAIN = ChainId(1337)


def tx(nonce: int, value: int = 1, *, fee: int = 10, to: str = OTHER.address) -> TransactionToSign:
    return TransactionToSign(
        chain_id=CHAIN,
        nonce=nonce,
        to=to,  # type: ignore[arg-type]
        value_wei=value,
        gas_limit=21_000,
        max_fee_per_gas_wei=fee,
        max_priority_fee_per_gas_wei=fee // 2,
    )


def opened(path: Path) -> SigningJournal:
    return SigningJournal(path, now_ns=lambda: 5)


def allow(journal: SigningJournal, payload: TransactionToSign) -> str:
    """Record, and say which rule refused."""
    try:
        journal.record(KEY.address, payload, lambda _spent: {})
    except Refused as refused:
        return refused.rule
    except VenueUnavailable:
        return "restored"
    return ""


async def raw(payload: TransactionToSign, key: KeySigner = KEY) -> bytes:
    return (await key.sign_transaction(payload, network=Network.DEVNET)).raw


def restored(tmp_path: Path, before: list[TransactionToSign]) -> Path:
    """A journal that knew `before` when it was backed up, and was put back."""
    path = tmp_path / "journal.db"
    path.unlink(missing_ok=True)
    with opened(path) as journal:
        for payload in before:
            assert allow(journal, payload) == ""
    mark_restored(path, backup_ns=1, now_ns=2)
    return path


def test_a_restored_journal_repeats_what_it_knows_and_allows_nothing_new(tmp_path: Path) -> None:
    with opened(restored(tmp_path, [tx(0), tx(1)])) as journal:
        assert allow(journal, tx(1)) == ""
        assert allow(journal, tx(2)) == "restored"
        assert allow(journal, tx(1, fee=20)) == "restored"
        assert allow(journal, tx(0, value=2)) == "restored"


async def test_the_floor_lies_above_what_the_chain_and_the_journal_have_seen(tmp_path: Path) -> None:
    path = restored(tmp_path, [tx(0), tx(1)])
    after = [await raw(tx(2, value=3)), await raw(tx(3, value=4))]
    with opened(path) as journal:
        assert journal.reconcile(KEY.address, CHAIN, chain_nonce=3, in_flight=after, margin=2) == 6
        assert allow(journal, tx(2, value=3)) == ""  # what the chain showed is known now
        assert allow(journal, tx(2, value=9)) == "sign-once"
        assert allow(journal, tx(3, value=4, fee=20)) == ""  # and may be replaced
        assert allow(journal, tx(4)) == "restored-floor"
        assert allow(journal, tx(4, value=0, to=KEY.address)) == ""  # voided
        assert allow(journal, tx(4)) == "sign-once"
        assert allow(journal, tx(6)) == ""
    with opened(path) as journal:  # and all of it is durable
        assert journal.reconcile(KEY.address, CHAIN, chain_nonce=9, in_flight=[], margin=0) == 6
        assert allow(journal, tx(5)) == "restored-floor"


def test_floors_are_for_one_key_and_one_chain_and_end_with_the_next_restore(tmp_path: Path) -> None:
    path = restored(tmp_path, [tx(0)])
    with opened(path) as journal:
        journal.reconcile(KEY.address, CHAIN, chain_nonce=1, in_flight=[], margin=0)
        assert allow(journal, tx(1)) == ""
        with pytest.raises(VenueUnavailable):
            journal.record(OTHER.address, tx(0), lambda _spent: {})
    mark_restored(path, backup_ns=3, now_ns=4)
    with opened(path) as journal:
        assert allow(journal, tx(2)) == "restored"


async def test_only_this_keys_transactions_are_taken_over_and_a_contradiction_stops_everything(tmp_path: Path) -> None:
    with opened(restored(tmp_path, [tx(0)])) as journal:
        with pytest.raises(InputError, match="not one of"):
            journal.reconcile(KEY.address, CHAIN, chain_nonce=1, in_flight=[await raw(tx(1), OTHER)], margin=0)
        with pytest.raises(Refused) as refused:
            journal.reconcile(KEY.address, CHAIN, chain_nonce=1, in_flight=[await raw(tx(0, value=7))], margin=0)
        assert refused.value.rule == "sign-once"
        assert allow(journal, tx(1)) == "restored"  # nothing was opened


def test_a_journal_that_was_never_restored_knows_no_floor(tmp_path: Path) -> None:
    with opened(tmp_path / "journal.db") as journal:
        assert journal.reconcile(KEY.address, CHAIN, chain_nonce=5, in_flight=[], margin=3) == 0
        assert allow(journal, tx(0)) == ""


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    backed_up=st.integers(0, 5),
    more=st.integers(0, 5),
    seen=st.integers(0, 5),
    margin=st.integers(0, 4),
    asked=st.lists(st.tuples(st.integers(0, 16), st.integers(1, 3)), max_size=12),
)
async def test_no_nonce_is_ever_signed_with_two_contents(
    tmp_path: Path, backed_up: int, more: int, seen: int, margin: int, asked: list[tuple[int, int]]
) -> None:
    """`more` were signed after the backup; the chain has seen the first `seen` of them, the margin covers the rest."""
    path = tmp_path / "journal.db"
    path.unlink(missing_ok=True)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    contents: dict[int, set[int]] = {}
    with opened(path) as journal:
        for nonce in range(backed_up):
            assert allow(journal, tx(nonce, value=100 + nonce)) == ""
            contents[nonce] = {100 + nonce}
    old = tmp_path / "backup.db"
    shutil.copy(path, old)
    after = [tx(backed_up + number, value=200 + number) for number in range(more)]
    with opened(path) as journal:
        for payload in after:
            assert allow(journal, payload) == ""
            contents[payload.nonce] = {payload.value_wei}
    shutil.copy(old, path)
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    mark_restored(path, backup_ns=1, now_ns=2)
    visible = after[:seen]
    hidden = len(after) - len(visible)
    with opened(path) as journal:
        for nonce, value in asked[:3]:
            assert allow(journal, tx(nonce, value=value)) != ""  # before the chain was asked: nothing
        journal.reconcile(
            KEY.address,
            CHAIN,
            chain_nonce=backed_up + len(visible),
            in_flight=[await raw(payload) for payload in visible],
            margin=max(margin, hidden),
        )
        for nonce, value in asked:
            if allow(journal, tx(nonce, value=value, fee=50)) == "":
                contents.setdefault(nonce, set()).add(value)
    assert all(len(signed) == 1 for signed in contents.values()), contents
