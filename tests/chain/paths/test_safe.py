"""A 2-of-3 Safe on its genuine contracts: what its owners signed happens, and nothing else can be sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount

from chain import ChainClient, Receipt
from chain.abi import address_word, selector, uint_word
from chain.codec import function
from chain.devnet import TEST_ADDRESSES, Devnet
from chain.errors import CallReverted
from chain.paths import BundleClient
from chain.paths.safe import (
    InnerCall,
    SafeOutcome,
    SafeState,
    SafeTransaction,
    batch,
    creation,
    future_address,
    outcome,
    read_safe,
    setup,
)
from domain import Address, InputError
from tests.chain.paths.lab import Lab

pytestmark = pytest.mark.anvil

OWNERS: list[LocalAccount] = [Account.from_key(bytes([index]) * 32) for index in (0x21, 0x22, 0x23)]
STRANGER: LocalAccount = Account.from_key(b"\x24" * 32)
CARRIER = TEST_ADDRESSES[3]
PAYEE = Address("0x000000000000000000000000000000000000bEEF")
HASH = function(
    "getTransactionHash(address to, uint256 value, bytes data, uint8 operation, uint256 safeTxGas, uint256 baseGas, "
    "uint256 gasPrice, address gasToken, address refundReceiver, uint256 nonce) returns (bytes32)"
)


async def _carry(client: ChainClient, to: str, data: bytes) -> Receipt:
    request = {"from": CARRIER, "to": to, "data": "0x" + data.hex(), "gas": hex(1_000_000)}
    return await client.wait_receipt(await client.rpc.request("eth_sendTransaction", request), poll_s=0.002)


async def _safe(devnet: Devnet, client: ChainClient) -> SafeState:
    """A Safe of the three owners with a thousand USDC and a coin."""
    contracts = devnet.world.contracts
    initializer = setup([owner.address for owner in OWNERS], 2, contracts["SafeFallbackHandler"])
    factory, singleton = contracts["SafeProxyFactory"], contracts["SafeL2"]
    address = await future_address(client, factory, singleton, initializer, 7)
    assert await client.code(address) == b""
    assert (await _carry(client, factory, creation(singleton, initializer, 7))).succeeded
    await devnet.fund(address, 10**18, {"USDC": 10**9})
    return await read_safe(client, address)


def _sign(safe: SafeState, transaction: SafeTransaction, *owners: LocalAccount) -> dict[str, bytes]:
    typed = encode_typed_data(full_message=transaction.typed_data(safe.chain_id, safe.address))
    return {owner.address: bytes(owner.sign_message(typed).signature) for owner in owners}


def _transfer(to: str, raw: int) -> bytes:
    return selector("transfer(address,uint256)") + address_word(to) + uint_word(raw)


async def test_a_safe_is_created_where_it_was_computed_and_knows_its_owners(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    safe = await _safe(devnet, chain_client)
    assert set(safe.owners) == {owner.address for owner in OWNERS}
    assert (safe.threshold, safe.nonce, safe.version) == (2, 0, "1.4.1")


@pytest.mark.parametrize("is_batch", [False, True])
async def test_the_hash_is_the_contracts_and_the_typed_datas(
    devnet: Devnet, chain_client: ChainClient, is_batch: bool
) -> None:
    safe = await _safe(devnet, chain_client)
    transaction = SafeTransaction(PAYEE, 5, 17, b"\x01\x02\x03", is_batch)
    told = await chain_client.call(
        safe.address,
        HASH.encode(PAYEE, 17, b"\x01\x02\x03", int(is_batch), 0, 0, 0, "0x" + "00" * 20, "0x" + "00" * 20, 5),
    )
    assert transaction.hash(safe.chain_id, safe.address) == told
    typed = encode_typed_data(full_message=transaction.typed_data(safe.chain_id, safe.address))
    assert Account.recover_message(typed, signature=OWNERS[0].sign_message(typed).signature) == OWNERS[0].address
    digest = transaction.hash(safe.chain_id, safe.address)
    assert Account._recover_hash(digest, signature=OWNERS[0].sign_message(typed).signature) == OWNERS[0].address


@pytest.mark.parametrize("pair", [(0, 1), (2, 0), (1, 2)])
async def test_two_of_three_owners_move_tokens(
    devnet: Devnet, chain_client: ChainClient, pair: tuple[int, int]
) -> None:
    safe, usdc = await _safe(devnet, chain_client), devnet.world.tokens["USDC"].address
    transaction = SafeTransaction(usdc, safe.nonce, data=_transfer(PAYEE, 123))
    signatures = safe.join(transaction, _sign(safe, transaction, *(OWNERS[index] for index in pair)))
    receipt = await _carry(chain_client, safe.address, transaction.execution(signatures))
    assert outcome(receipt, safe.address, transaction.hash(safe.chain_id, safe.address)) is SafeOutcome.EXECUTED
    assert await chain_client.token_balance(usdc, PAYEE) == 123
    after = await read_safe(chain_client, safe.address)
    assert after.nonce == 1
    # The same signatures again: the Safe has moved on.
    with pytest.raises(InputError, match="at nonce 1"):
        after.join(transaction, _sign(safe, transaction, *OWNERS))
    again = await _carry(chain_client, safe.address, transaction.execution(signatures))
    assert not again.succeeded
    assert outcome(again, safe.address, transaction.hash(safe.chain_id, safe.address)) is SafeOutcome.ABSENT


async def test_what_the_safe_would_refuse_is_refused_before_it_is_sent(
    devnet: Devnet, chain_client: ChainClient
) -> None:
    safe = await _safe(devnet, chain_client)
    transaction = SafeTransaction(PAYEE, 0, value_wei=5)
    good = _sign(safe, transaction, *OWNERS[:2])
    with pytest.raises(InputError, match="1 owners signed, the Safe wants 2"):
        safe.join(transaction, _sign(safe, transaction, OWNERS[0]))
    with pytest.raises(InputError, match="no owner"):
        safe.join(transaction, good | _sign(safe, transaction, STRANGER))
    with pytest.raises(InputError, match="not over this transaction"):
        safe.join(replace(transaction, value_wei=6), good)
    with pytest.raises(InputError, match="not over this transaction"):
        safe.join(transaction, good | {OWNERS[0].address: good[OWNERS[1].address]})
    other_chain = encode_typed_data(full_message=transaction.typed_data(1, safe.address))
    with pytest.raises(InputError, match="not over this transaction"):
        safe.join(transaction, good | {OWNERS[0].address: bytes(OWNERS[0].sign_message(other_chain).signature)})
    with pytest.raises(InputError, match="65 bytes"):
        safe.join(transaction, good | {OWNERS[0].address: b"\x00" * 64})
    low = good[OWNERS[0].address]
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high = low[:32] + (order - int.from_bytes(low[32:64], "big")).to_bytes(32, "big") + bytes([55 - low[64]])
    with pytest.raises(InputError, match="upper half"):
        safe.join(transaction, good | {OWNERS[0].address: high})
    # What is not checked here the contract itself refuses: signatures in the wrong order.
    backwards = b"".join(sorted(good.values(), key=lambda s: -int(_owner_of(good, s), 16)))
    with pytest.raises(CallReverted, match="GS026"):
        await chain_client.call(safe.address, transaction.execution(backwards), sender=CARRIER)


def _owner_of(signatures: dict[str, bytes], signature: bytes) -> str:
    return next(owner for owner, value in signatures.items() if value == signature)


async def test_a_call_that_fails_inside_leaves_the_nonce(devnet: Devnet, chain_client: ChainClient) -> None:
    safe, usdc = await _safe(devnet, chain_client), devnet.world.tokens["USDC"].address
    transaction = SafeTransaction(usdc, 0, data=_transfer(PAYEE, 10**20))
    signatures = safe.join(transaction, _sign(safe, transaction, *OWNERS[1:]))
    with pytest.raises(CallReverted, match="GS013"):
        await chain_client.call(safe.address, transaction.execution(signatures), sender=CARRIER)
    receipt = await _carry(chain_client, safe.address, transaction.execution(signatures))
    assert outcome(receipt, safe.address, transaction.hash(safe.chain_id, safe.address)) is SafeOutcome.ABSENT
    assert (await read_safe(chain_client, safe.address)).nonce == 0


async def test_a_batch_happens_whole_or_not(devnet: Devnet, chain_client: ChainClient) -> None:
    safe, usdc = await _safe(devnet, chain_client), devnet.world.tokens["USDC"].address
    multi_send = devnet.world.contracts["SafeMultiSendCallOnly"]
    good = [InnerCall(usdc, _transfer(PAYEE, 4)), InnerCall(PAYEE, value_wei=9), InnerCall(usdc, _transfer(PAYEE, 6))]
    for calls, expected in ((good, SafeOutcome.EXECUTED), ([*good, InnerCall(usdc, b"\xff" * 5)], SafeOutcome.ABSENT)):
        safe = await read_safe(chain_client, safe.address)
        transaction = batch(calls, multi_send, safe.nonce)
        signatures = safe.join(transaction, _sign(safe, transaction, *OWNERS[:2]))
        receipt = await _carry(chain_client, safe.address, transaction.execution(signatures))
        assert outcome(receipt, safe.address, transaction.hash(safe.chain_id, safe.address)) is expected
        assert await chain_client.token_balance(usdc, PAYEE) == 10
        assert await chain_client.balance(PAYEE) == 9
    with pytest.raises(InputError, match="at least one"):
        batch([], multi_send, 0)


async def test_a_bundle_carries_a_safes_transaction(lab: Lab) -> None:
    safe, usdc = await _safe(lab.devnet, lab.client), lab.devnet.world.tokens["USDC"].address
    transaction = SafeTransaction(usdc, 0, data=_transfer(PAYEE, 1))
    data = transaction.execution(safe.join(transaction, _sign(safe, transaction, *OWNERS[:2])))
    nonce = await lab.client.nonce(TEST_ADDRESSES[0])
    raw = lab.payment(0, nonce, to=safe.address, data=data, value=0, gas=200_000)
    async with lab.rpc() as rpc:
        await lab.settled(await BundleClient(rpc).send([raw], (await lab.client.head()).number + 1))
    assert await lab.client.token_balance(usdc, PAYEE) == 1


@pytest.mark.parametrize(("owners", "threshold"), [([0, 0], 1), ([0, 1], 3), ([0, 1], 0), ([], 1)])
def test_a_safe_nobody_could_use_is_not_built(owners: list[int], threshold: int) -> None:
    with pytest.raises(InputError):
        setup([OWNERS[index].address for index in owners], threshold, CARRIER)


async def test_what_is_no_safe_is_not_read(devnet: Devnet, chain_client: ChainClient) -> None:
    with pytest.raises(InputError, match="no Safe"):
        await read_safe(chain_client, PAYEE)
