"""What a signer is shown beside the payload reaches the guard of the process that judges, unchanged and bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC
from domain import Address, InputError, Refused
from runtime import Secret
from tests.wallets.test_service import DOCUMENT, TX
from wallets import (
    Evidence,
    HdWallet,
    MessageToSign,
    Network,
    SignerClient,
    SignerService,
    SigningJournal,
    Spent,
    TransactionToSign,
    TypedDataToSign,
)
from wallets.evidence import EVIDENCE_BYTES_MAX, read_evidence

DEVNET = Network.DEVNET
SHOWN = {"approvals": [{"by": "anna", "signature": "0x01"}], "text": "Pay 1 ETH to Bärbel", "at": 1.5, "none": None}


class Reading:
    """Wants to be shown something, and remembers it."""

    def __init__(self) -> None:
        self.seen: list[Evidence | None] = []

    def _read(self, evidence: Evidence | None) -> None:
        if evidence is None:
            raise Refused("nothing was shown", rule="evidence")
        self.seen.append(evidence)

    def check_transaction(
        self, sender: Address, tx: TransactionToSign, *, network: Network, spent: Spent, evidence: Evidence | None
    ) -> Mapping[str, int]:
        self._read(evidence)
        return {}

    def check_message(
        self, sender: Address, message: MessageToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        self._read(evidence)

    def check_typed_data(
        self, sender: Address, data: TypedDataToSign, *, network: Network, evidence: Evidence | None
    ) -> None:
        self._read(evidence)


@pytest.fixture
def guard() -> Reading:
    return Reading()


@pytest.fixture
async def socket(tmp_path: Path, guard: Reading) -> AsyncIterator[Path]:
    """The socket of a signer process with that guard."""
    path, stop, ready = tmp_path / "s.sock", asyncio.Event(), asyncio.Event()
    with SigningJournal(tmp_path / "journal.db", now_ns=lambda: 10**18) as journal:
        service = SignerService([HdWallet(Secret(TEST_MNEMONIC)).signer(3)], guard=guard, journal=journal)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.serve(path, stop, ready=ready))
            await ready.wait()
            yield path
            stop.set()


async def test_the_signers_guard_sees_what_was_shown_for_every_kind_of_payload(socket: Path, guard: Reading) -> None:
    client = await SignerClient.connect(socket)
    await client.sign_transaction(TX, network=DEVNET, evidence=SHOWN)
    await client.sign_message(MessageToSign(b"x"), network=DEVNET, evidence=MappingProxyType({"b": 1}))
    await client.sign_typed_data(TypedDataToSign(DOCUMENT), network=DEVNET, evidence={})
    assert guard.seen == [SHOWN, {"b": 1}, {}]
    for ask in (
        client.sign_transaction(replace(TX, nonce=1), network=DEVNET),
        client.sign_message(MessageToSign(b"y"), network=DEVNET),
        client.sign_typed_data(TypedDataToSign(DOCUMENT), network=DEVNET),
    ):
        with pytest.raises(Refused) as refused:
            await ask
        assert refused.value.rule == "evidence"


async def test_the_longest_evidence_travels_beside_a_long_payload_and_a_longer_one_does_not(
    socket: Path, guard: Reading
) -> None:
    client = await SignerClient.connect(socket)
    longest = {"text": "x" * (EVIDENCE_BYTES_MAX - len('{"text":""}'))}
    await client.sign_transaction(replace(TX, data=b"\x01" * 98_304), network=DEVNET, evidence=longest)
    assert guard.seen == [longest]
    with pytest.raises(InputError, match="at most"):
        await client.sign_transaction(TX, network=DEVNET, evidence={"text": longest["text"] + "x"})


@pytest.mark.parametrize(
    "wrong", ["text", [1], 7, True, {1: 2}, {"a": (1, 2)}, {"a": b"x"}, {"a": float("nan")}, {"a": {2: 3}}]
)
def test_what_is_no_json_object_is_no_evidence(wrong: Any) -> None:
    with pytest.raises(InputError, match="evidence"):
        read_evidence(wrong)


def test_evidence_is_copied_so_that_a_later_change_is_not_judged() -> None:
    given: dict[str, Any] = {"approvals": []}
    taken = read_evidence(given)
    given["approvals"].append("late")
    assert taken == {"approvals": []}
    assert read_evidence(None) is None


@pytest.mark.parametrize("evidence", ['"text"', "[]", "1", '{"a":NaN}', '{"a":"' + "x" * EVIDENCE_BYTES_MAX + '"}'])
async def test_the_socket_refuses_evidence_that_is_none(socket: Path, guard: Reading, evidence: str) -> None:
    request = {"method": "sign_transaction", "signer": TEST_ADDRESSES[3], "network": "devnet", "payload": TX.to_wire()}
    line = json.dumps(request)[:-1] + f', "evidence": {evidence}}}\n'
    reader, writer = await asyncio.open_unix_connection(socket, limit=1 << 20)
    writer.write(line.encode())
    answer = json.loads(await asyncio.wait_for(reader.readline(), 60))
    writer.close()
    assert answer["error"]["kind"] == "input"
    assert guard.seen == []
