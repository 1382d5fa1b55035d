"""GMX v2: what is encoded is its public ABI's; orders live their two phases on a double that holds real tokens."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chain import ChainClient, NodeRefused
from chain.devnet import Devnet
from dex.perps.gmx import (
    ExecutionGas,
    GmxBook,
    GmxOrder,
    OrderKind,
    OrderState,
    created_order,
    load_book,
    plan_cancel,
    plan_order,
)
from dex.perps.gmx.abi import CREATE_ORDER, EVENT_LOG_2, MULTICALL, SEND_TOKENS, SEND_WNT
from dex.perps.gmx.orders import price_raw, price_usd
from domain import InputError, InvariantError, Refused
from tests.dex.perps.gmx_world import KEEPER, TRADER, GmxWorld, send

LIVE = load_book(42161)


# --- the ABI


def test_selectors_and_topics_are_those_of_the_public_abi() -> None:
    # As others' transactions and logs on Arbitrum have them.
    assert CREATE_ORDER.selector.hex() == "f59c48eb"
    assert SEND_WNT.selector.hex() == "7d39aaf1"
    assert SEND_TOKENS.selector.hex() == "e6d66ac8"
    assert MULTICALL.selector.hex() == "ac9650d8"
    assert EVENT_LOG_2.topic == "0x468a25a7ba624ceea6e540ad6f49171b52495b648417ae91bca21676d8a24dc5"


def test_an_order_is_written_as_another_encoder_writes_it() -> None:
    market = LIVE.market("ETH/USD")
    usdc = market.short_token.address
    order = GmxOrder(
        market=market,
        kind=OrderKind.LIMIT_INCREASE,
        is_long=False,
        size_usd=Decimal("12345.678"),
        collateral=usdc,
        collateral_raw=1_000_000_001,
        acceptable_price=Decimal("2987.654321"),
        trigger_price=Decimal("3000.5"),
    )
    plan = plan_order(
        intent_id="i", strategy="s", book=LIVE, order=order, sender=TRADER, execution_fee_wei=1_234_567_890
    )
    zero = "0x" + "00" * 20
    expected = encode(
        [
            "((address,address,address,address,address,address,address[]),(uint256,uint256,uint256,uint256,uint256,"
            "uint256,uint256,uint256),uint8,uint8,bool,bool,bool,bytes32,bytes32[])"
        ],
        [
            (
                (TRADER, TRADER, zero, zero, market.address, usdc, []),
                (
                    12_345_678 * 10**27,
                    1_000_000_001,
                    3_000_500 * 10**9,
                    2_987_654_321 * 10**6,
                    1_234_567_890,
                    0,
                    0,
                    0,
                ),
                3,
                0,
                False,
                False,
                False,
                bytes(32),
                [],
            )
        ],
    )
    calls = [
        bytes.fromhex("7d39aaf1") + encode(["address", "uint256"], [LIVE.order_vault, 1_234_567_890]),
        bytes.fromhex("e6d66ac8") + encode(["address", "address", "uint256"], [usdc, LIVE.order_vault, 1_000_000_001]),
        bytes.fromhex("f59c48eb") + expected,
    ]
    assert plan.data == bytes.fromhex("ac9650d8") + encode(["bytes[]"], [calls])
    assert plan.value_wei == 1_234_567_890
    assert [amount.raw for amount in plan.spends] == [1_000_000_001, 1_234_567_890]


@given(st.decimals(min_value="0.000001", max_value="10000000", places=9), st.booleans())
def test_prices_are_read_back_and_never_loosened(price: Decimal, is_up: bool) -> None:
    market = LIVE.market("BTC/USD")
    raw = price_raw(price, market, is_up=is_up)
    assert price_usd(raw, market) == price  # 22 decimals hold what people write.
    fine = price + Decimal("1e-30")
    assert (
        price_usd(price_raw(fine, market, is_up=False), market)
        <= fine
        <= price_usd(price_raw(fine, market, is_up=True), market)
    )


# --- bad input


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size_usd": Decimal(-1)}, "must not be negative"),
        ({"size_usd": Decimal("NaN")}, "must not be negative"),
        ({"size_usd": Decimal(0), "collateral_raw": 0}, "an order of nothing"),
        ({"collateral_raw": 0}, "pays collateral in"),
        ({"acceptable_price": Decimal(0)}, "a worst price is needed"),
        ({"trigger_price": Decimal(5)}, "market orders none"),
        ({"collateral": "0x" + "11" * 20}, "takes WETH and USDC"),
        ({"size_usd": Decimal("1e60")}, "does not fit"),
    ],
)
def test_impossible_orders_are_refused(changes: dict[str, object], words: str) -> None:
    world = GmxWorld(None, LIVE, None, LIVE.markets[0].short_token.address, "")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=words):
        _ = world.order(OrderKind.MARKET_INCREASE, **changes).size_raw


def test_a_book_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no deployment of GMX on chain 5"):
        load_book(5)
    with pytest.raises(InputError, match="cannot read"):
        load_book(42161, tmp_path / "missing.toml")
    broken = tmp_path / "broken.toml"
    broken.write_text('[[deployment]]\nchain_id = 7\nversion = "1"\n')
    with pytest.raises(InputError, match="lacks 'tokens'"):
        load_book(7, broken)
    with pytest.raises(InputError, match=r"no market DOGE/USD; there are ETH/USD, BTC/USD"):
        LIVE.market("DOGE/USD")
    with pytest.raises(InputError, match="a key has 32 bytes"):
        plan_cancel(intent_id="c", strategy="s", book=LIVE, key=b"", sender=TRADER)


# --- on the devnet


@pytest.fixture
async def gmx(devnet: Devnet, chain_client: ChainClient) -> GmxWorld:
    return await GmxWorld.open(devnet, chain_client)


async def status(gmx: GmxWorld, key: bytes, block: int) -> tuple[OrderState, str]:
    found = await gmx.reader.order(key, TRADER, since_block=block)
    return found.state, found.reason


@pytest.mark.anvil
async def test_a_position_is_opened_and_closed_with_its_profit(gmx: GmxWorld) -> None:
    before = await gmx.usdc_of(TRADER)
    key, block = await gmx.create(gmx.order(OrderKind.MARKET_INCREASE))
    assert await status(gmx, key, block) == (OrderState.OPEN, "")
    await gmx.keep(key, 3_000)
    assert await status(gmx, key, block) == (OrderState.EXECUTED, "")
    position = await gmx.reader.position(TRADER, gmx.market, gmx.usdc, is_long=True)
    assert (position.size_usd_raw, position.size_tokens, position.collateral_raw) == (
        30_000 * 10**30,
        10 * 10**18,
        5_000 * 10**6,
    )
    key, block = await gmx.create(gmx.order(OrderKind.MARKET_DECREASE))
    await gmx.keep(key, 3_100)
    assert await status(gmx, key, block) == (OrderState.EXECUTED, "")
    assert not (await gmx.reader.position(TRADER, gmx.market, gmx.usdc, is_long=True)).is_open
    assert await gmx.usdc_of(TRADER) - before == 1_000 * 10**6


@pytest.mark.anvil
async def test_a_market_order_beyond_its_worst_price_is_cancelled_and_the_collateral_returns(gmx: GmxWorld) -> None:
    before = await gmx.usdc_of(TRADER)
    key, block = await gmx.create(gmx.order(OrderKind.MARKET_INCREASE, acceptable_price=Decimal(3_010)))
    assert await gmx.usdc_of(TRADER) == before - 5_000 * 10**6
    await gmx.keep(key, 3_011)
    state, reason = await status(gmx, key, block)
    assert state is OrderState.CANCELLED
    assert reason.startswith("OrderNotFulfillableAtAcceptablePrice(price=")
    assert await gmx.usdc_of(TRADER) == before


@pytest.mark.anvil
async def test_a_limit_that_cannot_be_filled_is_frozen_and_can_be_taken_back(gmx: GmxWorld) -> None:
    before = await gmx.usdc_of(TRADER)
    limit = gmx.order(OrderKind.LIMIT_INCREASE, trigger_price=Decimal(2_900), acceptable_price=Decimal(2_800))
    key, block = await gmx.create(limit)
    await gmx.keep(key, 2_890)
    state, reason = await status(gmx, key, block)
    assert (state, reason[:24]) == (OrderState.FROZEN, "OrderNotFulfillableAtAcc")
    cancel = plan_cancel(intent_id="c1", strategy="perps", book=gmx.book, key=key, sender=TRADER)
    await gmx.send(cancel)
    assert await status(gmx, key, block) == (OrderState.CANCELLED, "USER_INITIATED_CANCEL")
    assert await gmx.usdc_of(TRADER) == before


@pytest.mark.anvil
async def test_a_market_order_cannot_be_taken_back_at_once(gmx: GmxWorld) -> None:
    key, block = await gmx.create(gmx.order(OrderKind.MARKET_INCREASE))
    cancel = plan_cancel(intent_id="c1", strategy="perps", book=gmx.book, key=key, sender=TRADER)
    with pytest.raises(NodeRefused):
        await gmx.client.gas_estimate(TRADER, cancel.to, cancel.data)
    await gmx.client.rpc.request("evm_increaseTime", 301)
    await gmx.client.rpc.request("evm_mine")
    await gmx.send(cancel)
    assert (await status(gmx, key, block))[0] is OrderState.CANCELLED


@pytest.mark.anvil
async def test_the_least_fee_is_what_the_contract_wants_to_the_wei(gmx: GmxWorld) -> None:
    gas = await ExecutionGas.read(gmx.client, gmx.book)
    price = 2 * 10**9
    head = await gmx.client.head()
    # What a transaction pays per gas: the next block's base fee and the tip, at most its cap.
    paid = min(price, int(head.base_fee_wei) * 9 // 8 + 10**9)
    order = gmx.order(OrderKind.MARKET_INCREASE)
    for is_increase in (True, False):
        assert gas.fee_up(paid, is_increase=is_increase, margin_bps=0) == gas.units(is_increase=is_increase) * paid
    short = await gmx.plan(order, fee=gas.units(is_increase=True) * 10**8)
    with pytest.raises(AssertionError, match="reverted"):
        await gmx.send(short)
    assert (await gmx.send(await gmx.plan(order))).succeeded
    # The refused price is a person's mistake, not the chain's.
    with pytest.raises(InputError, match="impossible"):
        gas.fee_up(0, is_increase=True)


@pytest.mark.anvil
async def test_a_router_that_is_not_the_books_is_refused(gmx: GmxWorld) -> None:
    await gmx.book.ensure_current(gmx.client)
    for changes in ({"router_code_hash": ""}, {"router_code_hash": "0x" + "11" * 32}, {"exchange_router": KEEPER}):
        other: GmxBook = replace(gmx.book, **changes)  # type: ignore[arg-type]
        with pytest.raises(Refused) as refusal:
            await other.ensure_current(gmx.client)
        assert refusal.value.rule == "stale_address_book"
    with pytest.raises(Refused, match="is no DataStore"):
        await ExecutionGas.read(gmx.client, replace(gmx.book, data_store=gmx.usdc))
    await gmx.client.rpc.request("anvil_setCode", KEEPER, "0x5f5f5260205ff3")  # Answers every question with 0.
    with pytest.raises(Refused, match="DataStore has no ESTIMATED_GAS_FEE_BASE_AMOUNT_V2_1"):
        await ExecutionGas.read(gmx.client, replace(gmx.book, data_store=KEEPER))


@pytest.mark.anvil
async def test_an_order_nobody_knows_is_unknown_not_ended(gmx: GmxWorld) -> None:
    assert await status(gmx, bytes(31) + b"\x01", 1) == (OrderState.UNKNOWN, "")
    receipt = await send(gmx.client, TRADER, TRADER, b"")
    with pytest.raises(InvariantError, match="created 0 orders"):
        created_order(receipt.logs, gmx.book, TRADER)
