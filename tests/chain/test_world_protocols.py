"""Balancer, Aave, Safe, ERC-4337 and Multicall3 stand on the devnet with what their constructors make."""

from __future__ import annotations

import pytest

from chain import ChainClient, Receipt
from chain.abi import (
    Dynamic,
    address_at,
    address_word,
    bytes_words,
    compose,
    selector,
    uint_at,
    uint_word,
    words,
)
from chain.devnet import TEST_ADDRESSES, Devnet
from chain.devnet.aave import FLASH_LOAN_PREMIUM_BPS
from chain.devnet.artifacts import artifact_code
from chain.devnet.node import node_modules

pytestmark = pytest.mark.anvil

TRADER = TEST_ADDRESSES[5]


async def _send(client: ChainClient, to: str | None, data: bytes) -> Receipt:
    request = {"from": TRADER, "data": "0x" + data.hex(), "gas": hex(3_000_000)} | ({} if to is None else {"to": to})
    receipt = await client.wait_receipt(await client.rpc.request("eth_sendTransaction", request), poll_s=0.002)
    assert receipt.succeeded
    return receipt


@pytest.mark.parametrize(
    ("contract", "method", "address"),
    [
        ("BalancerVault", "getProtocolFeesCollector()", "0xce88686553686DA562CE7Cea497CE749DA109f9F"),
        ("AavePoolAddressesProvider", "getPool()", "0x87870Bca3F3fD6335C3F4ce8392D69350B4fA4E2"),
        ("AavePoolAddressesProvider", "getPoolConfigurator()", "0x64b761D848206f447Fe2dd461b0c635Ec39EbB27"),
        ("EntryPoint", "senderCreator()", "0x449ED7C3e6Fee6a97311d4b55475DF59C44AdD33"),
        ("SimpleAccountFactory", "accountImplementation()", "0x28426D752372D68d34340Bd94390950DCE3c9EC3"),
    ],
)
async def test_what_a_contract_creates_stands_where_mainnet_has_it(
    devnet: Devnet, chain_client: ChainClient, contract: str, method: str, address: str
) -> None:
    answer = await chain_client.call(devnet.world.contracts[contract], selector(method))
    assert address_at(answer, 0).lower() == address.lower()
    assert len(await chain_client.code(address)) > 500


@pytest.mark.parametrize(
    ("kind", "sell", "buy", "amount", "least", "most"),
    [
        # 10,000 USDC for DAI: 0.04 % fee and a flat curve.
        ("balancer-stable", "USDC", "DAI", 10_000 * 10**6, 9_995 * 10**18, 9_996 * 10**18),
        # 1 WBTC for WETH at 60,000 to 3,000: 0.3 % fee and the impact of 1.5 % of the balance.
        ("balancer-weighted", "WBTC", "WETH", 10**8, 195 * 10**17, 198 * 10**17),
    ],
)
async def test_a_balancer_pool_trades_near_the_markets_price(
    devnet: Devnet,
    chain_client: ChainClient,
    kind: str,
    sell: str,
    buy: str,
    amount: int,
    least: int,
    most: int,
) -> None:
    world = devnet.world
    (pool,) = (p for p in world.pools if p.kind == kind)
    assert {pool.token0, pool.token1, *pool.more_tokens} >= {world.tokens[s].address for s in (sell, buy)}
    await devnet.fund(TRADER, 0, {sell: amount})
    vault, token = world.contracts["BalancerVault"], world.tokens[buy].address
    approve = selector("approve(address,uint256)") + address_word(vault) + uint_word(amount)
    await _send(chain_client, world.tokens[sell].address, approve)
    before = await chain_client.token_balance(token, TRADER)
    swap = compose(
        bytes.fromhex(pool.pool_id[2:]),
        uint_word(0) + address_word(world.tokens[sell].address) + address_word(token) + uint_word(amount),
        Dynamic(bytes_words(b"")),
    )
    funds = address_word(TRADER) + uint_word(0) + address_word(TRADER) + uint_word(0)
    method = "swap((bytes32,uint8,address,address,uint256,bytes),(address,bool,address,bool),uint256,uint256)"
    await _send(chain_client, vault, selector(method) + compose(Dynamic(swap), funds, uint_word(0), uint_word(2**40)))
    assert least < await chain_client.token_balance(token, TRADER) - before < most


async def test_aave_lends_a_flash_loan_and_takes_its_premium(devnet: Devnet, chain_client: ChainClient) -> None:
    contracts, usdc, amount = devnet.world.contracts, devnet.world.tokens["USDC"].address, 10**12
    receiver = await _send(
        chain_client,
        None,
        artifact_code(
            "@aave/core-v3/artifacts/contracts/mocks/flashloan/MockSimpleFlashLoanReceiver.sol/"
            "MockFlashLoanSimpleReceiver.json",
            node_modules(),
        )
        + address_word(contracts["AavePoolAddressesProvider"]),
    )
    assert receiver.created is not None
    words = address_word(receiver.created) + address_word(usdc) + uint_word(amount)
    call = compose(words, Dynamic(bytes_words(b"")), uint_word(0))
    loan = await _send(
        chain_client,
        contracts["AavePool"],
        selector("flashLoanSimple(address,address,uint256,bytes,uint16)") + call,
    )
    paid = [uint_at(log.data, 0) for log in loan.logs if log.address == usdc]
    assert amount in paid
    assert amount * (10_000 + FLASH_LOAN_PREMIUM_BPS) // 10_000 in paid


async def test_aave_lends_every_token(devnet: Devnet, chain_client: ChainClient) -> None:
    listed = await chain_client.call(devnet.world.contracts["AavePool"], selector("getReservesList()"))
    found = {address_at(word, 0) for word in words(listed)[2:]}
    assert found == {token.address for token in devnet.world.tokens.values()}


async def test_multicall3_answers_many_questions_at_once(devnet: Devnet, chain_client: ChainClient) -> None:
    tokens = [token.address for token in devnet.world.tokens.values()]
    asked = [
        Dynamic(compose(address_word(token), uint_word(1), Dynamic(bytes_words(selector("decimals()")))))
        for token in tokens
    ]
    call = compose(Dynamic(uint_word(len(asked)) + compose(*asked)))
    answer = await chain_client.call(
        devnet.world.contracts["Multicall3"], selector("aggregate3((address,bool,bytes)[])") + call
    )
    # Offset, count, an offset each; then per answer: success, offset, length, the word.
    told = words(answer)[2 + len(tokens) :]
    assert [int.from_bytes(told[4 * i + 3], "big") for i in range(len(tokens))] == [18, 6, 8, 18, 6]
    assert all(int.from_bytes(told[4 * i], "big") == 1 for i in range(len(tokens)))
