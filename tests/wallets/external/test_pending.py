"""A person signs elsewhere: requests wait, wrong answers are told to whoever brought them, right ones arrive."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from chain.devnet import TEST_ADDRESSES
from domain import InputError, OutcomeUnknown, Refused
from tests.wallets.external.test_remote import DEVNET, DOCUMENT, KEY, OTHER, TX
from wallets import MessageToSign
from wallets.external import ExternalSigner, PendingRequests, SigningRequest


@pytest.fixture
async def desk() -> AsyncIterator[PendingRequests]:
    desk = PendingRequests()
    yield desk
    assert desk.waiting() == []


async def first(desk: PendingRequests) -> SigningRequest[Any]:
    """The request that waits; the task that asks gets its turn first."""
    await asyncio.sleep(0)
    return desk.waiting()[0]


async def test_a_transaction_signed_in_the_persons_wallet_comes_back_as_it_was_asked(desk: PendingRequests) -> None:
    signer = ExternalSigner(desk, KEY.address, is_test_key=True)
    told: list[SigningRequest[Any]] = []
    desk.on_request(told.append)
    asking = asyncio.create_task(signer.sign_transaction(TX, network=DEVNET))
    request = await first(desk)
    assert told == [request]
    assert (request.method, request.address) == ("eth_signTransaction", KEY.address)
    assert desk.waiting(OTHER.address) == []
    fields = {name: value for name, value in request.params[0].items() if name != "from"}
    signed = Account.sign_transaction(fields, KEY.reveal_private_key())
    dearer = await KEY.sign_transaction(replace(TX, max_fee_per_gas_wei=11), network=DEVNET)
    for wrong in ("0x" + dearer.raw.hex(), signed.hash.to_0x_hex(), None):  # wallets like to change fees, or to send
        with pytest.raises(InputError):
            desk.answer(request.id, wrong)
    assert desk.waiting() == [request]
    desk.answer(request.id, signed.raw_transaction.to_0x_hex())
    assert (await asking).raw == bytes(signed.raw_transaction)
    with pytest.raises(InputError, match="no such request"):
        desk.answer(request.id, signed.raw_transaction.to_0x_hex())


async def test_messages_and_documents_are_signed_as_wallets_show_them(desk: PendingRequests) -> None:
    signer = ExternalSigner(desk, KEY.address, is_test_key=True)
    message = MessageToSign("Grüße".encode())
    asking = asyncio.create_task(signer.sign_message(message, network=DEVNET))
    request = await first(desk)
    assert request.params == ("0x" + message.content.hex(), KEY.address)
    other = await OTHER.sign_message(message, network=DEVNET)
    with pytest.raises(InputError, match=OTHER.address):
        desk.answer(request.id, "0x" + other.to_bytes().hex())
    honest = await KEY.sign_message(message, network=DEVNET)
    desk.answer(request.id, "0x" + honest.to_bytes().hex())
    assert await asking == honest
    document = asyncio.create_task(signer.sign_typed_data(DOCUMENT, network=DEVNET))
    request = await first(desk)
    typed = Account.sign_message(encode_typed_data(full_message=dict(DOCUMENT.document)), KEY.reveal_private_key())
    desk.answer(request.id, typed.signature.to_0x_hex())
    assert (await document).to_bytes() == bytes(typed.signature)


async def test_whoever_declines_has_signed_nothing(desk: PendingRequests) -> None:
    signer = ExternalSigner(desk, KEY.address, is_test_key=True)
    asking = asyncio.create_task(signer.sign_transaction(TX, network=DEVNET))
    desk.decline((await first(desk)).id, "not mine")
    with pytest.raises(Refused, match="not mine") as refused:
        await asking
    assert refused.value.rule == "declined"


async def test_whoever_does_not_answer_may_have_signed(desk: PendingRequests) -> None:
    impatient = PendingRequests(patience_s=0.01)
    with pytest.raises(OutcomeUnknown) as unknown:
        await ExternalSigner(impatient, KEY.address, is_test_key=True).sign_transaction(TX, network=DEVNET)
    assert len(unknown.value.request_id) == 32
    assert impatient.waiting() == []


async def test_a_caller_that_gives_up_leaves_no_request_behind(desk: PendingRequests) -> None:
    signer = ExternalSigner(desk, TEST_ADDRESSES[3], is_test_key=True)
    asking = asyncio.create_task(signer.sign_transaction(TX, network=DEVNET))
    request = await first(desk)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(InputError):
        desk.decline(request.id)
