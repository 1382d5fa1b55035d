"""A committee's key behind the signer process: for the socket's clients and for JSON-RPC it is a key like any other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data

from domain import Refused, VenueUnavailable
from tests.wallets.mpc.conftest import TX, LocalParty, ValueGuard
from wallets import (
    AuthorizationToSign,
    MessageToSign,
    Network,
    SignerClient,
    SignerService,
    SigningJournal,
    TypedDataToSign,
    authority_of,
    recover,
)
from wallets.mpc import MpcSigner
from wallets.rpc import RpcMethods
from wallets.rpc.access import EVERYTHING

DEVNET = Network.DEVNET
DOCUMENT: dict[str, Any] = {
    "types": {"EIP712Domain": [{"name": "name", "type": "string"}], "Note": [{"name": "text", "type": "string"}]},
    "primaryType": "Note",
    "domain": {"name": "desk"},
    "message": {"text": "please"},
}


class Talkative(ValueGuard):
    """Also signs documents."""

    def check_typed_data(self, sender: object, data: object, *, network: Network, evidence: Any) -> None:
        self._read(evidence)


@pytest.fixture
def own_guard() -> ValueGuard:
    """The signer process's, beside those of the parties."""
    return Talkative()


@pytest.fixture
async def service(
    parties: list[LocalParty], signer: MpcSigner, own_guard: ValueGuard, tmp_path: Path
) -> AsyncIterator[SignerService]:
    for party in parties:
        assert party.cosigner is not None
        party.cosigner._guard = party.guard = Talkative()
    with SigningJournal(tmp_path / "signer.db", now_ns=lambda: 10**18) as journal:
        yield SignerService([signer], guard=own_guard, journal=journal)


@pytest.fixture
async def client(service: SignerService, signer: MpcSigner, tmp_path: Path) -> AsyncIterator[SignerClient]:
    stop, ready = asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(service.serve(tmp_path / "s.sock", stop, ready=ready))
        await ready.wait()
        client = await SignerClient.connect(tmp_path / "s.sock")
        assert client.address == signer.address
        yield client
        stop.set()


async def test_a_client_gets_every_kind_of_signature_and_every_guard_sees_the_evidence(
    parties: list[LocalParty], client: SignerClient, own_guard: ValueGuard
) -> None:
    shown = {"approvals": ["anna"]}
    signed = await client.sign_transaction(TX, network=DEVNET, evidence=shown)
    assert Account.recover_transaction(signed.raw) == client.address
    message, data = MessageToSign(b"please"), TypedDataToSign(DOCUMENT)
    assert (
        recover(message.digest(), await client.sign_message(message, network=DEVNET, evidence=shown)) == client.address
    )
    assert recover(data.digest(), await client.sign_typed_data(data, network=DEVNET, evidence=shown)) == client.address
    authorization = AuthorizationToSign(chain_id=TX.chain_id, delegate=TX.to, nonce=1)
    assert (
        authority_of(await client.sign_authorization(authorization, network=DEVNET, evidence=shown)) == client.address
    )
    assert [guard.shown for guard in (own_guard, *(party.guard for party in parties))] == [*[[shown] * 4] * 3, []]


async def test_either_guard_may_say_no(parties: list[LocalParty], client: SignerClient, own_guard: ValueGuard) -> None:
    with pytest.raises(Refused) as refused:
        await client.sign_transaction(TX, network=DEVNET, evidence={"no": 1})
    assert refused.value.rule == "evidence"
    assert [len(guard.shown) for guard in (own_guard, *(party.guard for party in parties))] == [1, 0, 0, 0]


async def test_the_journal_keeps_the_answer_and_needs_the_parties_once(
    parties: list[LocalParty], client: SignerClient
) -> None:
    signed = await client.sign_transaction(TX, network=DEVNET)
    for party in parties:
        party.stop()
    assert await client.sign_transaction(TX, network=DEVNET) == signed
    with pytest.raises(VenueUnavailable):
        await client.sign_message(MessageToSign(b"please"), network=DEVNET)
    for party in parties:
        party.start()


async def test_personal_sign_and_typed_data_by_json_rpc(service: SignerService, signer: MpcSigner) -> None:
    methods = RpcMethods(service, network=DEVNET)

    async def call(method: str, *params: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        return (await methods.answer(body, EVERYTHING))["result"]

    assert await call("eth_accounts") == [signer.address]
    said = await call("personal_sign", "0x" + b"please".hex(), signer.address)
    assert Account.recover_message(encode_defunct(b"please"), signature=said) == signer.address
    stated = await call("eth_signTypedData_v4", signer.address, json.dumps(DOCUMENT))
    assert Account.recover_message(encode_typed_data(full_message=DOCUMENT), signature=stated) == signer.address
