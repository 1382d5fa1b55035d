"""A committee of three that has made one key, copied afresh for every test; its parties live in this process."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from domain import Address, ChainId, Refused
from wallets import (
    AuthorizationToSign,
    DenyAll,
    Evidence,
    MessageToSign,
    Network,
    SigningJournal,
    Spent,
    StatementToSign,
    TransactionToSign,
)
from wallets.mpc import Cosigner, MpcSigner, MpcStatementSigner, PartyStore, generate_wallet, init_committee, open_home
from wallets.mpc.link import PartyAway
from wallets.wire import decode_line, encode_line, error_from

TX = TransactionToSign(
    chain_id=ChainId(1337),
    nonce=0,
    to=Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"),
    value_wei=1,
    gas_limit=21_000,
    max_fee_per_gas_wei=10**10,
    max_priority_fee_per_gas_wei=10**9,
)
WALLET = "treasury"
VOICE = "voice"
"""A wallet with an Ed25519 key."""


class ValueGuard(DenyAll):
    """Allows transactions of up to 100 wei a day, and messages that say please, unless the evidence says no."""

    def __init__(self) -> None:
        self.shown: list[Evidence | None] = []

    def _read(self, evidence: Evidence | None) -> None:
        self.shown.append(evidence)
        if evidence is not None and "no" in evidence:
            raise Refused("the evidence says no", rule="evidence")

    def check_transaction(
        self, sender: Address, tx: TransactionToSign, *, network: Network, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        self._read(evidence)
        if spent("coin", 86_400) + tx.value_wei > 100:
            raise Refused("too much", rule="velocity")
        return {"coin": tx.value_wei}

    def check_message(
        self, sender: Address, message: MessageToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        self._read(evidence)
        if b"please" not in message.content:
            raise Refused("impolite", rule="message")

    def check_authorization(
        self, sender: Address, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        self._read(evidence)
        if authorization.delegate != TX.to:
            raise Refused("another delegate", rule="delegation")

    def check_statement(
        self, key: str, statement: StatementToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        self._read(evidence)
        if statement.purpose != "audit":
            raise Refused("another purpose", rule="statement")


class LocalParty:
    """A party of this process behind the coordinator's port, which can be killed and started again."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.home = open_home(root)
        self.start()

    def start(self) -> None:
        self.guard = ValueGuard()
        self.store = PartyStore(self._root / "party.db", now_ns=lambda: 10**18)
        self._journal = SigningJournal(self._root / "journal.db", now_ns=lambda: 10**18)
        self.cosigner: Cosigner | None = Cosigner(self.home, store=self.store, journal=self._journal, guard=self.guard)

    def stop(self) -> None:
        """What `kill -9` leaves behind: the files, and no session."""
        self.cosigner = None
        self.store.close()
        self._journal.close()

    @property
    def party(self) -> int:
        return self.home.party

    async def ask(self, method: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if self.cosigner is None:
            raise PartyAway(self.party, "is down")
        # Through the wire's own bytes, so that what cannot travel fails here as well.
        request = decode_line(encode_line({**(fields or {}), "method": method}))
        reply = decode_line(encode_line(await self.cosigner.answer(request)))
        if "error" in reply:
            raise error_from(reply["error"])
        result: dict[str, Any] = reply["result"]
        return result


def open_parties(root: Path) -> list[LocalParty]:
    return [LocalParty(root / f"party-{number}") for number in (1, 2, 3)]


@pytest.fixture(scope="session")
def ceremony(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Address]:
    """The committee's folders after key generation, and the key's address."""
    root = tmp_path_factory.mktemp("mpc") / "committee"
    endpoints = [("127.0.0.1", port) for port in (7101, 7102, 7103)]
    init_committee(root, threshold=2, endpoints=endpoints, is_test=True)
    parties = open_parties(root)
    address = asyncio.run(generate_wallet(parties, WALLET, threshold=2))
    for party in parties:
        party.stop()
    return root, address


@pytest.fixture
def committee_root(ceremony: tuple[Path, Address], tmp_path: Path) -> Path:
    return Path(shutil.copytree(ceremony[0], tmp_path / "committee"))


@pytest.fixture
def parties(committee_root: Path) -> Iterator[list[LocalParty]]:
    opened = open_parties(committee_root)
    yield opened
    for party in opened:
        if party.cosigner is not None:
            party.stop()


@pytest.fixture
async def voice(parties: list[LocalParty]) -> MpcStatementSigner:
    """The signer of an Ed25519 key that all three have just made."""
    await generate_wallet(parties, VOICE, threshold=2, kind="ed25519")
    return await MpcStatementSigner.connect(parties, parties[0].home.committee, wallet=VOICE)


@pytest.fixture
async def signer(parties: list[LocalParty], ceremony: tuple[Path, Address]) -> MpcSigner:
    return await MpcSigner.connect(parties, parties[0].home.committee, wallet=WALLET, address=ceremony[1])
