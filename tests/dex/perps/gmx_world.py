"""A GMX of one market on the devnet: the double, its book, a keeper, and an account with collateral."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from chain import ChainClient, Receipt
from chain.abi import address_word, selector, uint_word
from chain.devnet import TEST_ADDRESSES, Devnet
from chain.keccak import keccak256
from dex.perps.gmx import ExecutionGas, GmxBook, GmxMarket, GmxOrder, GmxReader, OrderKind, created_order, plan_order
from dex.perps.gmx.book import GmxToken
from dex.perps.gmx.orders import price_raw
from domain import token_asset
from domain.plans import TransactionPlan

TRADER, KEEPER = TEST_ADDRESSES[3], TEST_ADDRESSES[4]
MARKET = TEST_ADDRESSES[9]
"""Only an address to the double."""
_ARTIFACT = Path(__file__).resolve().parents[3] / "contracts/out/GmxExchangeDouble.sol/GmxExchangeDouble.json"


@dataclass
class GmxWorld:
    client: ChainClient
    book: GmxBook
    reader: GmxReader
    usdc: str
    weth: str

    @classmethod
    async def open(cls, devnet: Devnet, client: ChainClient) -> GmxWorld:
        if not _ARTIFACT.is_file():
            pytest.skip("the contracts are not built: run `make install`")
        weth, usdc = (devnet.world.tokens[symbol].address for symbol in ("WETH", "USDC"))
        code = bytes.fromhex(json.loads(_ARTIFACT.read_text())["bytecode"]["object"][2:])
        built = await send(client, TRADER, None, code + b"".join(address_word(a) for a in (weth, usdc, MARKET, KEEPER)))
        assert built.created is not None
        double = built.created
        chain = devnet.world.chain_id
        tokens = {
            symbol: GmxToken(token_asset(chain, address, symbol, decimals), address)
            for symbol, address, decimals in (("WETH", weth, 18), ("USDC", usdc, 6))
        }
        book = GmxBook(
            version="double",
            chain_id=chain,
            exchange_router=double,
            router=double,
            order_vault=double,
            data_store=double,
            event_emitter=double,
            wrapped=weth,
            router_code_hash="0x" + keccak256(await client.code(double)).hex(),
            markets=(GmxMarket("ETH/USD", MARKET, 18, tokens["WETH"], tokens["USDC"]),),
        )
        await devnet.fund(TRADER, 0, {"USDC": 100_000 * 10**6, "WETH": 50 * 10**18})
        await devnet.fund(double, 0, {"USDC": 1_000_000 * 10**6})
        for token in (usdc, weth):
            await send(
                client, TRADER, token, selector("approve(address,uint256)") + address_word(double) + uint_word(2**255)
            )
        # What the market holds is no trader's collateral.
        await send(client, TRADER, double, selector("recordHoldings()"))
        return cls(client, book, GmxReader(client, book), usdc, weth)

    @property
    def market(self) -> GmxMarket:
        return self.book.markets[0]

    def order(self, kind: OrderKind, **changes: object) -> GmxOrder:
        """An order for 30,000 dollars long on 5,000 USDC, at any price."""
        is_increase = kind.is_increase
        values: dict[str, object] = {
            "market": self.market,
            "kind": kind,
            "is_long": True,
            "size_usd": Decimal(30_000),
            "collateral": self.usdc,
            "collateral_raw": 5_000 * 10**6 if is_increase else 0,
            "acceptable_price": Decimal(10**6) if is_increase else Decimal("0.01"),
            "trigger_price": None if kind.is_market else Decimal(2_900),
        }
        return GmxOrder(**(values | changes))  # type: ignore[arg-type]

    async def fee(self, *, is_increase: bool = True) -> int:
        gas = await ExecutionGas.read(self.client, self.book)
        return gas.fee_up(2 * 10**9, is_increase=is_increase)

    async def plan(self, order: GmxOrder, *, fee: int | None = None) -> TransactionPlan:
        return plan_order(
            intent_id="o1",
            strategy="perps",
            book=self.book,
            order=order,
            sender=TRADER,
            execution_fee_wei=await self.fee(is_increase=order.kind.is_increase) if fee is None else fee,
        )

    async def create(self, order: GmxOrder) -> tuple[bytes, int]:
        """Create an order as the account itself; give its key and block."""
        receipt = await self.send(await self.plan(order))
        return created_order(receipt.logs, self.book, TRADER), int(receipt.block_number)

    async def send(self, plan: TransactionPlan) -> Receipt:
        return await send(self.client, TRADER, plan.to, plan.data, value=plan.value_wei)

    async def keep(self, key: bytes, usd: int) -> None:
        """Let the keeper execute an order at a price."""
        price = price_raw(Decimal(usd), self.market, is_up=False)
        await send(
            self.client,
            KEEPER,
            self.book.exchange_router,
            selector("executeOrder(bytes32,uint256)") + key + uint_word(price),
        )

    async def usdc_of(self, account: str) -> int:
        return await self.client.token_balance(self.usdc, account)


async def send(client: ChainClient, sender: str, to: str | None, data: bytes, *, value: int = 0) -> Receipt:
    """Send from one of the node's own accounts and see it mined."""
    request = {
        "from": sender,
        "data": "0x" + data.hex(),
        "value": hex(value),
        "gas": hex(12_000_000),
        "maxFeePerGas": hex(2 * 10**9),
        "maxPriorityFeePerGas": hex(10**9),
    } | ({} if to is None else {"to": to})
    receipt = await client.wait_receipt(await client.rpc.request("eth_sendTransaction", request), poll_s=0.002)
    assert receipt.succeeded, f"{sender} to {to} reverted"
    return receipt
