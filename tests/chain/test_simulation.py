"""Simulations on anvil: chains of blocks, pretended state, traces and what they say of a failure."""

from __future__ import annotations

import pytest

from chain import Call, ChainClient, NodeRefused, checksum
from chain.codec import event, function
from chain.devnet import DEPLOYER, TEST_ADDRESSES, Devnet
from chain.simulation import (
    BlockOverrides,
    SimulatedBlock,
    StateOverrides,
    pretend_allowance,
    pretend_balance,
    simulate,
    state_changes,
    trace_call,
    trace_transaction,
)
from chain.simulation.blocks import COIN
from domain import InputError

pytestmark = pytest.mark.anvil

APPROVE = function("approve(address spender, uint256 amount) returns (bool)")
TRANSFER = function("transfer(address to, uint256 amount) returns (bool)")
TRANSFERRED = event("Transfer(address indexed from, address indexed to, uint256 value)")
BALANCE_OF = function("balanceOf(address) returns (uint256)")
MINT = function("mint(address account, uint256 value) returns (bool)")
V2_SWAP = function("swapExactTokensForTokens(uint256,uint256,address[],address,uint256) returns (uint256[] amounts)")
POOR = "0x" + "77" * 20
FAR = 2**40


def swap(devnet: Devnet, sender: str, amount_in: int, min_out: int, deadline: int = FAR) -> Call:
    tokens = devnet.world.tokens
    path = [tokens["USDC"].address, tokens["WETH"].address]
    data = V2_SWAP.encode(amount_in, min_out, path, sender, deadline)
    return Call(sender, devnet.world.contracts["UniswapV2Router02"], data)


async def rich(devnet: Devnet, client: ChainClient, owner: str) -> StateOverrides:
    """Pretend an account with coins, USDC and an allowance for the V2 router."""
    usdc, router = devnet.world.tokens["USDC"].address, devnet.world.contracts["UniswapV2Router02"]
    overrides = StateOverrides().balance(owner, 10**19)
    await pretend_balance(client, overrides, usdc, owner, 10**12)
    return await pretend_allowance(client, overrides, usdc, owner, router, 10**12)


async def test_later_blocks_see_what_earlier_ones_did(devnet: Devnet, chain_client: ChainClient) -> None:
    usdc = devnet.world.tokens["USDC"].address
    router = devnet.world.contracts["UniswapV2Router02"]
    overrides = await pretend_balance(chain_client, StateOverrides().balance(POOR, 10**19), usdc, POOR, 10**12)
    head = await chain_client.head()
    blocks = [
        SimulatedBlock([Call(POOR, usdc, APPROVE.encode(router, 10**12))], overrides),
        SimulatedBlock([swap(devnet, POOR, 10**9, 1), swap(devnet, POOR, 10**9, 1)]),
        SimulatedBlock([Call(POOR, usdc, BALANCE_OF.encode(POOR))], block=BlockOverrides(time_s=FAR + 5)),
        SimulatedBlock([swap(devnet, POOR, 10**9, 1)], block=BlockOverrides(time_s=FAR + 6)),
    ]
    first, second, third, fourth = await simulate(chain_client, blocks)
    assert first.calls[0].succeeded
    amounts = [V2_SWAP.decode(call.output)[0][-1] for call in second.calls]
    assert amounts[0] > amounts[1] > 0
    assert BALANCE_OF.decode(third.calls[0].output) == (10**12 - 2 * 10**9,)
    assert third.time_s == FAR + 5
    assert not fourth.calls[0].succeeded
    assert fourth.calls[0].revert.name == "UniswapV2Router: EXPIRED"
    assert fourth.calls[0].revert.meaning == "mined after the deadline"
    # Geth's first imagined block is the head's child, anvil 1.7.1 gives it the head's own number.
    assert first.number in (head.number, head.number + 1)
    assert [block.number - first.number for block in (first, second, third, fourth)] == [0, 1, 2, 3]
    moved = [log for log in second.calls[0].logs if TRANSFERRED.matches(log.topics) and log.address == usdc]
    assert TRANSFERRED.decode(moved[0].topics, moved[0].data)[2] == 10**9
    assert await chain_client.token_balance(usdc, POOR) == 0


async def test_movements_of_the_coin_come_out_as_logs(devnet: Devnet, chain_client: ChainClient) -> None:
    call = Call(TEST_ADDRESSES[0], POOR, value_wei=123)
    (block,) = await simulate(chain_client, [SimulatedBlock([call])], logs_coin=True)
    (log,) = block.calls[0].logs
    assert log.address == COIN
    assert TRANSFERRED.decode(log.topics, log.data)[2] == 123


async def test_fees_are_checked_when_asked(devnet: Devnet, chain_client: ChainClient) -> None:
    call = Call(POOR, TEST_ADDRESSES[0], value_wei=1)
    with pytest.raises(NodeRefused):
        await simulate(chain_client, [SimulatedBlock([call])], checks_fees=True)


@pytest.mark.parametrize("symbol", ["USDC", "WETH", "WBTC"])
async def test_a_token_says_what_is_pretended(devnet: Devnet, chain_client: ChainClient, symbol: str) -> None:
    token = devnet.world.tokens[symbol].address
    router = devnet.world.contracts["SwapRouter02"]
    overrides = await pretend_balance(chain_client, StateOverrides(), token, POOR, 12345)
    await pretend_allowance(chain_client, overrides, token, POOR, router, 678)
    answer = await chain_client.call(token, BALANCE_OF.encode(POOR), overrides=overrides.accounts)
    assert BALANCE_OF.decode(answer) == (12345,)
    allowance = function("allowance(address,address) returns (uint256)")
    answer = await chain_client.call(token, allowance.encode(POOR, router), overrides=overrides.accounts)
    assert allowance.decode(answer) == (678,)


async def test_what_keeps_no_balances_cannot_pretend_any(devnet: Devnet, chain_client: ChainClient) -> None:
    constant = "0x" + "55" * 20
    # PUSH1 7 PUSH0 MSTORE PUSH1 32 PUSH0 RETURN: a balance that is read from nowhere.
    await chain_client.rpc.request("anvil_setCode", constant, "0x60075f5260205ff3")
    with pytest.raises(InputError, match="not kept in one word"):
        await pretend_balance(chain_client, StateOverrides(), constant, POOR, 1)


async def test_a_trace_leads_to_the_call_that_failed(devnet: Devnet, chain_client: ChainClient) -> None:
    call = swap(devnet, POOR, 10**9, 1)
    frame = await trace_call(chain_client, call, overrides=StateOverrides().balance(POOR, 10**19))
    path = frame.failing_path()
    assert path[0].to == devnet.world.contracts["UniswapV2Router02"]
    assert path[-1].to == devnet.world.tokens["USDC"].address
    assert path[0].failure is not None
    assert path[0].failure.name == "TransferHelper: TRANSFER_FROM_FAILED"
    assert "allowance" in path[0].failure.meaning

    good = await trace_call(chain_client, call, overrides=await rich(devnet, chain_client, POOR))
    assert good.failure is None
    assert good.failing_path() == ()
    paid = [log for frame in good.walk() for log in frame.logs if TRANSFERRED.matches(log.topics)]
    assert {log.address for log in paid} == {devnet.world.tokens[symbol].address for symbol in ("USDC", "WETH")}
    assert V2_SWAP.decode(good.output)[0][0] == 10**9


async def test_running_out_of_gas_is_told_in_the_node_s_words(devnet: Devnet, chain_client: ChainClient) -> None:
    overrides = await rich(devnet, chain_client, POOR)
    call = swap(devnet, POOR, 10**9, 1)
    short = Call(call.sender, call.to, call.data, gas_limit=60_000)
    frame = await trace_call(chain_client, short, overrides=overrides)
    assert frame.failing_path()[-1].failure is not None
    (block,) = await simulate(chain_client, [SimulatedBlock([short], overrides)])
    assert not block.calls[0].succeeded
    assert block.calls[0].revert.name


async def test_a_mined_transaction_is_traced(devnet: Devnet, chain_client: ChainClient) -> None:
    usdc = devnet.world.tokens["USDC"].address
    request = {"from": DEPLOYER, "to": usdc, "data": "0x" + MINT.encode(POOR, 5).hex(), "gas": hex(200_000)}
    tx_hash = await chain_client.rpc.request("eth_sendTransaction", request)
    await chain_client.wait_receipt(tx_hash)
    frame = await trace_transaction(chain_client, tx_hash)
    assert frame.to == usdc
    assert MINT.read(frame.data) == (checksum(POOR), 5)
    assert [TRANSFERRED.decode(log.topics, log.data)[2] for log in frame.logs] == [5]


async def test_changes_of_state_are_told_by_account(devnet: Devnet, chain_client: ChainClient) -> None:
    weth = devnet.world.tokens["WETH"].address
    deposit = function("deposit()")
    changes = await state_changes(
        chain_client,
        Call(POOR, weth, deposit.encode(), value_wei=10**18),
        overrides=StateOverrides().balance(POOR, 10**19),
    )
    assert changes.coin_delta(weth) == 10**18
    assert changes.coin_delta(POOR) == -(10**18)
    words = changes.accounts[weth].storage
    assert list(words.values()) == [(0, 10**18)]
    assert changes.coin_delta("0x" + "99" * 20) == 0


def test_overrides_are_merged_and_checked() -> None:
    one = StateOverrides().balance(POOR, 1).storage(POOR, 1, 10)
    two = StateOverrides().nonce(POOR, 3).storage(POOR, 2, 20).code(TEST_ADDRESSES[0], b"\x00")
    both = one.merged(two).accounts
    assert both[checksum(POOR)]["balance"] == "0x1"
    assert both[checksum(POOR)]["nonce"] == "0x3"
    assert len(both[checksum(POOR)]["stateDiff"]) == 2
    assert len(one.accounts[checksum(POOR)]["stateDiff"]) == 1
    with pytest.raises(InputError):
        StateOverrides().storage(POOR, -1, 0)
