"""The client against a real node and a proxy that fails on purpose."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from eth_account import Account

from chain import (
    Call,
    CallReverted,
    ChainClient,
    FeeTooLow,
    InsufficientFunds,
    NodeRefused,
    NonceTooLow,
    keccak256,
)
from chain.abi import address_word, selector, topic, uint_at, uint_word
from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC, TEST_PATH, Devnet
from domain import InputError, OutcomeUnknown, VenueUnavailable
from runtime.processes import free_port
from tests.chain.proxy import Mode, Proxy

pytestmark = pytest.mark.anvil

SENDER, RECEIVER = TEST_ADDRESSES[4], TEST_ADDRESSES[5]
TRANSFER = selector("transfer(address,uint256)")


def _signed(nonce: int, *, value: int = 1, index: int = 4, **fields: int) -> bytes:
    Account.enable_unaudited_hdwallet_features()
    account = Account.from_mnemonic(TEST_MNEMONIC, account_path=TEST_PATH.format(index=index))
    transaction = {
        "type": 2,
        "chainId": 1337,
        "nonce": nonce,
        "to": RECEIVER,
        "value": value,
        "gas": 21_000,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 10**9,
    }
    return bytes(account.sign_transaction(transaction | fields).raw_transaction)


@pytest.fixture
async def proxy(devnet: Devnet) -> AsyncIterator[Proxy]:
    async with Proxy(devnet.world.rpc_url).serving() as proxy:
        yield proxy


def _dead_url() -> str:
    return f"http://127.0.0.1:{free_port('127.0.0.1')}"


# --- connecting


async def test_a_wrong_chain_id_is_named_before_anything_is_asked(devnet: Devnet) -> None:
    with pytest.raises(InputError, match="serves chain 1337, expected chain 5"):
        await ChainClient([devnet.world.rpc_url], 5).connect()


async def test_one_wrong_node_among_right_ones_is_an_error_at_the_start(devnet: Devnet, proxy: Proxy) -> None:
    proxy.mode = Mode.OTHER_CHAIN
    with pytest.raises(InputError, match="serves chain 99"):
        await ChainClient([devnet.world.rpc_url, proxy.url], 1337).connect()


@pytest.mark.parametrize("mode", [None, Mode.HANG, Mode.DROP, Mode.GARBAGE, Mode.OVERLOADED])
async def test_an_unreachable_node_is_told_within_its_bound(proxy: Proxy, mode: Mode | None) -> None:
    proxy.mode = mode or Mode.PASS
    client = ChainClient([proxy.url if mode else _dead_url()], 1337, request_timeout_s=0.5)
    async with asyncio.timeout(30):
        with pytest.raises(VenueUnavailable, match="no node answers"):
            await client.connect()


@pytest.mark.parametrize("url", ["", "localhost:8545", "ws://localhost", "file:///etc/passwd"])
def test_what_is_no_http_url_is_refused(url: str) -> None:
    with pytest.raises(InputError):
        ChainClient([url], 1)


def test_no_url_at_all_is_refused() -> None:
    with pytest.raises(InputError, match="no node"):
        ChainClient([], 1)


async def test_a_provider_key_in_the_url_is_in_no_message() -> None:
    client = ChainClient(["http://user:hunter2@127.0.0.1:1/v3/sesame?key=swordfish"], 1, request_timeout_s=1)
    with pytest.raises(VenueUnavailable) as error:
        await client.connect()
    assert not any(secret in str(error.value) for secret in ("hunter2", "sesame", "swordfish"))


async def test_a_client_that_is_not_connected_says_so() -> None:
    with pytest.raises(VenueUnavailable):
        await ChainClient(["http://127.0.0.1:1"], 1).head()


# --- failover


@pytest.mark.parametrize(
    "mode", [Mode.HANG, Mode.DROP, Mode.LOSE_ANSWER, Mode.GARBAGE, Mode.OVERLOADED, Mode.THROTTLED, Mode.LIMITED]
)
async def test_reads_move_on_to_the_next_node_and_stay_there(devnet: Devnet, proxy: Proxy, mode: Mode) -> None:
    async with ChainClient([proxy.url, devnet.world.rpc_url], 1337, request_timeout_s=20) as client:
        expected = await client.head()
        proxy.mode = mode
        assert await client.head() == expected
        seen = len(proxy.calls)
        assert await client.head() == expected
        assert len(proxy.calls) == seen


async def test_a_node_that_comes_up_later_must_prove_its_chain_first(devnet: Devnet) -> None:
    late = Proxy(devnet.world.rpc_url)
    async with ChainClient([devnet.world.rpc_url, late.url], 1337) as client, late.serving():
        late.mode = Mode.OTHER_CHAIN
        with pytest.raises(InputError, match="serves chain 99"):
            await client.rpc.ask(client.rpc.endpoints[1], [("eth_blockNumber", ())])
        late.mode = Mode.PASS
        await client.rpc.ask(client.rpc.endpoints[1], [("eth_blockNumber", ())])
        assert late.calls == ["eth_chainId", "eth_chainId", "eth_blockNumber"]


async def test_batches_come_back_in_the_order_asked_with_refusals_in_place(proxy: Proxy) -> None:
    async with ChainClient([proxy.url], 1337) as client:
        proxy.mode = Mode.SHUFFLE
        chain_id, refused, version = await client.batch(
            [("eth_chainId", ()), ("no_such_method", ()), ("web3_clientVersion", ())]
        )
        assert chain_id == "0x539"
        assert isinstance(refused, NodeRefused)
        assert version.startswith("anvil/")
        assert await client.batch([]) == []
        proxy.mode = Mode.NO_BATCHES
        refusals = await client.batch([("eth_chainId", ()), ("eth_blockNumber", ())])
        assert [str(refusal) for refusal in refusals] == ["the node refused: no batches (code -32600)"] * 2


# --- broadcasting


async def test_a_broadcast_transaction_is_mined_with_the_quoted_fees(chain_client: ChainClient) -> None:
    fees = await chain_client.fees()
    assert 0 < fees.priority <= fees.max_fee
    assert fees.max_fee >= 2 * fees.base_fee
    nonce = await chain_client.nonce(SENDER)
    before = await chain_client.balance(RECEIVER)
    raw = _signed(nonce, value=12345, maxFeePerGas=fees.max_fee, maxPriorityFeePerGas=fees.priority)
    tx_hash = await chain_client.send_raw(raw)
    assert tx_hash == "0x" + keccak256(raw).hex()
    receipt = await chain_client.wait_receipt(tx_hash)
    assert receipt.succeeded
    assert receipt.sender == SENDER
    assert receipt.gas_cost_wei == 21_000 * receipt.gas_price_wei
    assert await chain_client.balance(RECEIVER) == before + 12345
    assert await chain_client.nonce(SENDER) == nonce + 1
    async with asyncio.timeout(60):
        # anvil gives the receipt a moment before the transaction has its block.
        while (seen := await chain_client.transaction(tx_hash)) is None or seen.block_number is None:
            pass
    assert (seen.nonce, seen.value_wei, seen.block_number) == (nonce, 12345, receipt.block_number)


async def test_a_transaction_the_node_knows_already_counts_as_sent(chain_client: ChainClient) -> None:
    await chain_client.rpc.request("evm_setAutomine", False)
    try:
        nonce = await chain_client.nonce(SENDER)
        raw = _signed(nonce)
        tx_hash = await chain_client.send_raw(raw)
        assert await chain_client.send_raw(raw) == tx_hash
        assert await chain_client.receipt(tx_hash) is None
        assert await chain_client.nonce(SENDER, "pending") == nonce + 1
        await chain_client.rpc.request("evm_mine")
        await chain_client.wait_receipt(tx_hash)
        # And once more after it was mined: its nonce is used, by itself.
        assert await chain_client.send_raw(raw) == tx_hash
    finally:
        await chain_client.rpc.request("evm_setAutomine", True)


async def test_refused_transactions_are_sorted_by_what_to_do_next(chain_client: ChainClient) -> None:
    nonce = await chain_client.nonce(SENDER)
    await chain_client.wait_receipt(await chain_client.send_raw(_signed(nonce)))
    with pytest.raises(NonceTooLow):
        await chain_client.send_raw(_signed(nonce, value=2))
    with pytest.raises(InsufficientFunds):
        await chain_client.send_raw(_signed(nonce + 1, value=10**30))
    await chain_client.rpc.request("evm_setAutomine", False)
    try:
        await chain_client.send_raw(_signed(nonce + 1))
        with pytest.raises(FeeTooLow):
            await chain_client.send_raw(_signed(nonce + 1, value=3))
    finally:
        await chain_client.rpc.request("anvil_dropAllTransactions")
        await chain_client.rpc.request("evm_setAutomine", True)


async def test_a_transaction_that_reached_no_node_may_be_sent_again(devnet: Devnet, chain_client: ChainClient) -> None:
    raw = _signed(await chain_client.nonce(SENDER))
    async with ChainClient([devnet.world.rpc_url], 1337) as client:
        client.rpc.endpoints[0].url = _dead_url()  # The node moved away: a new connection is refused.
        with pytest.raises(VenueUnavailable, match="reached no node"):
            await client.send_raw(raw)
    assert await chain_client.transaction("0x" + keccak256(raw).hex()) is None


async def test_a_lost_answer_is_an_unknown_outcome_with_the_hash_to_ask_for(
    chain_client: ChainClient, proxy: Proxy
) -> None:
    raw = _signed(await chain_client.nonce(SENDER))
    async with ChainClient([proxy.url], 1337) as client:
        proxy.mode = Mode.LOSE_ANSWER
        with pytest.raises(OutcomeUnknown) as unknown:
            await client.send_raw(raw)
        proxy.mode = Mode.PASS
        receipt = await client.wait_receipt(unknown.value.request_id)
    assert receipt.succeeded
    assert proxy.calls.count("eth_sendRawTransaction") == 1


async def test_after_a_lost_answer_a_second_node_that_knows_it_settles_the_matter(
    devnet: Devnet, chain_client: ChainClient, proxy: Proxy
) -> None:
    raw = _signed(await chain_client.nonce(SENDER))
    async with ChainClient([proxy.url, devnet.world.rpc_url], 1337) as client:
        proxy.mode = Mode.LOSE_ANSWER
        # anvil has mined it by now, so the second node says "nonce too low": asking for the hash tells why.
        assert await client.send_raw(raw) == "0x" + keccak256(raw).hex()


async def test_a_lost_answer_stays_unknown_when_the_second_node_refuses_for_another_reason(
    devnet: Devnet, chain_client: ChainClient, proxy: Proxy
) -> None:
    raw = _signed(await chain_client.nonce(SENDER), value=10**30)
    async with ChainClient([proxy.url, devnet.world.rpc_url], 1337) as client:
        proxy.mode = Mode.DROP  # From here it looks the same as a lost answer.
        with pytest.raises(OutcomeUnknown):
            await client.send_raw(raw)


# --- calls and simulation


async def test_calls_read_state_of_the_block_named_by_hash(devnet: Devnet, chain_client: ChainClient) -> None:
    usdc = devnet.world.tokens["USDC"].address
    before = await chain_client.head()
    await devnet.fund(RECEIVER, 0, {"USDC": 100})
    assert await chain_client.token_balance(usdc, RECEIVER) == 100
    assert await chain_client.token_balance(usdc, RECEIVER, before.hash) == 0
    assert await chain_client.token_balance(usdc, RECEIVER, int(before.number)) == 0
    with pytest.raises(NodeRefused):
        await chain_client.token_balance(usdc, RECEIVER, "0x" + "ab" * 32)


async def test_a_reverted_call_carries_its_reason(devnet: Devnet, chain_client: ChainClient) -> None:
    usdc = devnet.world.tokens["USDC"].address
    data = TRANSFER + address_word(RECEIVER) + uint_word(10**30)
    for ask in (
        chain_client.call(usdc, data, sender=SENDER),
        chain_client.gas_estimate(SENDER, usdc, data),
    ):
        with pytest.raises(CallReverted) as reverted:
            await ask
        assert reverted.value.reason
    assert "exceeds balance" in reverted.value.reason


async def test_what_does_not_exist_is_an_input_error(devnet: Devnet, chain_client: ChainClient) -> None:
    with pytest.raises(InputError, match="no block"):
        await chain_client.block(10**9)
    with pytest.raises(InputError):
        await chain_client.token_balance(TEST_ADDRESSES[9], RECEIVER)
    assert await chain_client.find_block("0x" + "cd" * 32) is None
    assert await chain_client.code(TEST_ADDRESSES[9]) == b""
    assert await chain_client.receipt("0x" + "cd" * 32) is None
    assert await chain_client.transaction("0x" + "cd" * 32) is None


async def test_overrides_change_state_for_one_call_only(devnet: Devnet, chain_client: ChainClient) -> None:
    # PUSH1 42 PUSH1 0 MSTORE PUSH1 32 PUSH1 0 RETURN
    code = "0x602a60005260206000f3"
    assert (
        uint_at(await chain_client.call(TEST_ADDRESSES[9], b"", overrides={TEST_ADDRESSES[9]: {"code": code}}), 0) == 42
    )
    assert await chain_client.call(TEST_ADDRESSES[9], b"") == b""


async def test_simulated_calls_see_one_another_and_change_nothing(devnet: Devnet, chain_client: ChainClient) -> None:
    usdc = devnet.world.tokens["USDC"].address
    await devnet.fund(SENDER, 0, {"USDC": 100})

    def give(amount: int) -> Call:
        return Call(SENDER, usdc, TRANSFER + address_word(RECEIVER) + uint_word(amount))

    first, second, third = await chain_client.simulate([give(60), give(60), give(40)])
    assert [first.succeeded, second.succeeded, third.succeeded] == [True, False, True]
    assert "exceeds balance" in second.reason
    assert first.logs[0].topics[0] == topic("Transfer(address,address,uint256)")
    assert uint_at(first.logs[0].data, 0) == 60
    assert first.gas_used > 21_000
    assert await chain_client.token_balance(usdc, SENDER) == 100


async def test_a_transaction_that_reverts_is_mined_and_pays_gas(devnet: Devnet, chain_client: ChainClient) -> None:
    data = TRANSFER + address_word(RECEIVER) + uint_word(10**30)
    fields = {"to": devnet.world.tokens["USDC"].address, "data": "0x" + data.hex(), "value": 0, "gas": 100_000}
    raw = _signed(await chain_client.nonce(SENDER), **fields)  # type: ignore[arg-type]
    receipt = await chain_client.wait_receipt(await chain_client.send_raw(raw))
    assert not receipt.succeeded
    assert receipt.gas_cost_wei > 0
    assert receipt.logs == ()


async def test_waiting_for_a_receipt_ends_in_an_unknown_outcome(chain_client: ChainClient) -> None:
    with pytest.raises(OutcomeUnknown) as unknown:
        await chain_client.wait_receipt("0x" + "ef" * 32, timeout_s=0.05)
    assert unknown.value.request_id == "0x" + "ef" * 32


async def test_logs_of_a_range_come_in_chain_order(devnet: Devnet, chain_client: ChainClient) -> None:
    start = await chain_client.head()
    for amount in (3, 1, 2):
        await devnet.fund(RECEIVER, 0, {"USDC": amount})
    logs = await chain_client.logs(
        addresses=[devnet.world.tokens["USDC"].address],
        topics=[topic("Transfer(address,address,uint256)")],
        from_block=start.number + 1,
        to_block="latest",
    )
    assert [uint_at(log.data, 0) for log in logs] == [3, 1, 2]
    assert [log.block_number for log in logs] == [start.number + i for i in (1, 2, 3)]
