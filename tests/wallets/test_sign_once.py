"""Sign once, under load: many conflicting requests at the same moment, one winner; many honest ones share a sync."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Mapping
from concurrent.futures import wait
from dataclasses import replace
from pathlib import Path

import pytest
from eth_utils.crypto import keccak

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC
from domain import Address, ChainId, InvariantError, Refused, VenueUnavailable
from runtime import Secret
from wallets import (
    AuthorizationToSign,
    Evidence,
    HdWallet,
    KeySigner,
    MessageToSign,
    Network,
    Signature,
    SignedAuthorization,
    SignedTransaction,
    SignerService,
    SigningJournal,
    Spent,
    TransactionToSign,
    TypedDataToSign,
    parse,
)
from wallets.transactions import SECP256K1_ORDER, assemble

ROUNDS = 40  # 1,000 take 12 s
CONTENDERS = 64
TX = TransactionToSign(
    chain_id=ChainId(1337),
    nonce=0,
    to=TEST_ADDRESSES[1],
    gas_limit=21_000,
    max_fee_per_gas_wei=10,
    max_priority_fee_per_gas_wei=1,
)


class AllowAll:
    def check_transaction(
        self, sender: Address, tx: TransactionToSign, *, network: Network, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        return {"coin": tx.value_wei}

    def check_message(
        self, sender: Address, message: MessageToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        return None

    def check_typed_data(
        self, sender: Address, data: TypedDataToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        return None


class OtherParitySigner:
    """A device that signs the same digest differently each time: it alternates between the two forms of s."""

    def __init__(self, key: KeySigner) -> None:
        self._key = key
        self.signed = 0
        self.address = key.address
        self.is_test_key = key.is_test_key

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        signed = await self._key.sign_transaction(tx, network=network)
        self.signed += 1
        _, signature = parse(signed.raw)
        if self.signed % 2:
            signature = Signature(signature.r, SECP256K1_ORDER - signature.s, 1 - signature.y_parity)
        return assemble(tx, signature, self.address)

    async def sign_message(
        self, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        raise InvariantError("not used")

    async def sign_typed_data(
        self, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        raise InvariantError("not used")

    async def sign_authorization(
        self, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedAuthorization:
        signature = (await self._key.sign_authorization(authorization, network=network)).signature
        self.signed += 1
        if self.signed % 2:
            signature = Signature(signature.r, SECP256K1_ORDER - signature.s, 1 - signature.y_parity)
        return SignedAuthorization(authorization, signature)


async def test_of_64_conflicting_requests_exactly_one_is_signed_in_every_round(tmp_path: Path) -> None:
    key = HdWallet(Secret(TEST_MNEMONIC)).signer(3)
    with SigningJournal(tmp_path / "journal.db", now_ns=lambda: 10**18) as journal:
        service = SignerService([key], guard=AllowAll(), journal=journal)
        for nonce in range(ROUNDS):
            requests = [replace(TX, nonce=nonce, value_wei=value) for value in range(CONTENDERS)]
            results = await asyncio.gather(
                *(service.sign_transaction(key.address, tx, network=Network.DEVNET) for tx in requests),
                return_exceptions=True,
            )
            signed = [result for result in results if isinstance(result, SignedTransaction)]
            rules = [result.rule for result in results if isinstance(result, Refused)]
            assert len(signed) == 1
            assert rules == ["sign-once"] * (CONTENDERS - 1)
        assert journal.count() == ROUNDS


async def test_a_device_that_never_repeats_itself_still_gives_one_hash_for_one_transaction(tmp_path: Path) -> None:
    device = OtherParitySigner(HdWallet(Secret(TEST_MNEMONIC)).signer(3))
    path = tmp_path / "journal.db"
    with SigningJournal(path, now_ns=lambda: 10**18) as journal:
        service = SignerService([device], guard=AllowAll(), journal=journal)
        ask = [service.sign_transaction(device.address, TX, network=Network.DEVNET) for _ in range(8)]
        answers = await asyncio.gather(*ask)
    with SigningJournal(path, now_ns=lambda: 10**18) as journal:  # and after a restart
        service = SignerService([device], guard=AllowAll(), journal=journal)
        answers.append(await service.sign_transaction(device.address, TX, network=Network.DEVNET))
    assert device.signed > 1
    assert len({answer.raw for answer in answers}) == 1
    assert answers[0].hash == "0x" + keccak(answers[0].raw).hex()


def test_what_a_refused_request_wrote_is_undone_and_its_neighbours_are_kept(tmp_path: Path) -> None:
    with SigningJournal(tmp_path / "journal.db", now_ns=lambda: 10**18) as journal:

        def judge(spent: Spent) -> Mapping[str, int]:
            if spent("coin", 86_400) >= 30:
                raise Refused("enough", rule="velocity")
            return {"coin": 10}

        futures = [journal.begin_record(TEST_ADDRESSES[0], replace(TX, nonce=n), judge) for n in range(10)]
        wait(futures)
        assert [future.exception() is None for future in futures] == [True] * 3 + [False] * 7
        assert journal.count() == 3


def test_hundreds_of_records_cost_a_few_syncs(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with SigningJournal(path, now_ns=lambda: 10**18) as journal:
        commits = 0

        def count(statement: str) -> None:
            nonlocal commits
            commits += statement == "COMMIT"

        journal._writer._connection.set_trace_callback(count)
        futures = [journal.begin_record(TEST_ADDRESSES[0], replace(TX, nonce=n), lambda _: {}) for n in range(1_000)]
        wait(futures)
        assert all(future.exception() is None for future in futures)
        assert commits < 200
    reader = sqlite3.connect(path)
    assert reader.execute("SELECT COUNT(*) FROM signed").fetchone() == (1_000,)


def test_a_closed_journal_takes_nothing_more(tmp_path: Path) -> None:
    journal = SigningJournal(tmp_path / "journal.db", now_ns=lambda: 10**18)
    last = journal.begin_record(TEST_ADDRESSES[0], TX, lambda _: {})
    journal.close()
    journal.close()
    assert last.exception() is None
    with pytest.raises(VenueUnavailable, match="closed"):
        journal.begin_record(TEST_ADDRESSES[0], replace(TX, nonce=1), lambda _: {})


def test_a_journal_of_the_first_version_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with SigningJournal(path, now_ns=lambda: 10**18) as journal:
        journal.record(TEST_ADDRESSES[0], TX, lambda _: {})
    old = sqlite3.connect(path)
    later = "answered", "restores", "floors", "lifts", "freezes"
    old.executescript("".join(f"DROP TABLE {table};" for table in later) + "PRAGMA user_version = 1;")
    old.close()
    with SigningJournal(path, now_ns=lambda: 10**18) as journal:
        with pytest.raises(Refused):
            journal.record(TEST_ADDRESSES[0], replace(TX, value_wei=1), lambda _: {})
        assert journal.begin_keep(TEST_ADDRESSES[0], TX, b"raw").result() == b"raw"
        assert journal.begin_keep(TEST_ADDRESSES[0], TX, b"other").result() == b"raw"
