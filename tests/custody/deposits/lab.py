"""A chain on which people pay in, the scanner that watches it, and what the books must say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from bip_utils import Bip39SeedGenerator, Bip44, Bip44Coins

from chain import ChainClient
from chain.abi import address_word, selector, uint_word
from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC, Devnet
from custody import (
    AllowedContract,
    AssetLimits,
    Custody,
    DeskOptions,
    Ledger,
    Policy,
    PolicyGuard,
    PolicySettings,
    open_books,
)
from custody.deposits.addresses import DepositAddresses
from custody.deposits.contracts import forwarder_address, user_id
from custody.deposits.deployment import DepositContracts, deploy_on_devnet
from custody.deposits.scanner import DepositScanner
from custody.deposits.settings import DepositSettings
from custody.deposits.store import Cursor, DepositStore
from custody.deposits.sweep_plans import sweep_booker
from domain import Address, ChainId, native_asset, token_asset
from runtime import Secret
from runtime.database import Database
from tests.custody.desk import JournalledSigner, NoScreening
from tests.world import roll_back
from wallets import HdWallet, Network, SigningJournal
from wallets.watch import WatchOnlyAccount

_FORKS = count(1)
"""Over all tests: the node keeps its coinbase when it is rolled back."""
PAYERS = TEST_ADDRESSES[1:5]
VAULT = TEST_ADDRESSES[5]
CREATOR = TEST_ADDRESSES[6]
SWEEPING, TANK = TEST_ADDRESSES[7:9]
NATIVE = native_asset(ChainId(1337)).id
RELAY_CODE = "600a8060095f395ff3" + "5f5f5f5f345f355af100"
"""Passes the coins it is sent on to the address in its calldata."""


def extended_key() -> str:
    """The second account of the devnet's test phrase: the node gives its addresses nothing."""
    seed = Bip39SeedGenerator(TEST_MNEMONIC).Generate()
    account = Bip44.FromSeed(seed, Bip44Coins.ETHEREUM).Purpose().Coin().Account(1)
    return str(account.PublicKey().ToExtended())


async def until(condition: Callable[[], bool], *, timeout_s: float = 60) -> None:
    """Wait for something that another task brings about."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for happens in a database
            await asyncio.sleep(0.01)


@dataclass
class Lab:
    """Contracts on the devnet, a database, and a scanner over both."""

    devnet: Devnet
    client: ChainClient
    contracts: DepositContracts
    database_url: str
    settings: DepositSettings
    screener: Any = field(default_factory=NoScreening)
    checkpoint: Callable[[str], None] = lambda _edge: None
    ns: int = 10**18
    mines: bool = True

    def __post_init__(self) -> None:
        self.database = open_books(Database(self.database_url))
        self.ledger = Ledger(self.database, self.now_ns)
        self.addresses = DepositAddresses(
            self.database,
            chain_id=self.client.chain_id,
            factory=self.settings.factory,
            keys=WatchOnlyAccount(self.settings.extended_key) if self.settings.extended_key else None,
            now_ns=self.now_ns,
        )
        self.scanner = self.another_scanner()

    @classmethod
    async def open(cls, devnet: Devnet, client: ChainClient, database_url: str, **changes: Any) -> Lab:
        contracts = await deploy_on_devnet(client, CREATOR, VAULT)
        for payer in PAYERS:
            await devnet.fund(payer, tokens={"USDC": 10**15, "WBTC": 10**12})
        fields: dict[str, Any] = {
            "chain_id": client.chain_id,
            "assets": {cls.asset_in(devnet, "USDC"): {"minimum_raw": 100}, NATIVE: {"minimum_raw": 1000}},
            "factory": contracts.factory,
            "sweeper": contracts.sweeper,
            "vault": VAULT,
            "sweeping_account": SWEEPING,
            "gas_tank": TANK,
            "extended_key": extended_key(),
            "confirmations": 3,
            "start_block": int((await client.head()).number) + 1,
        }
        parts = {name: changes.pop(name) for name in ("screener", "checkpoint") if name in changes}
        return cls(devnet, client, contracts, database_url, DepositSettings(**fields | changes), **parts)

    @staticmethod
    def asset_in(devnet: Devnet, symbol: str) -> str:
        token = devnet.world.tokens[symbol]
        return token_asset(ChainId(devnet.world.chain_id), token.address, symbol, token.decimals).id

    def now_ns(self) -> int:
        return self.ns

    def asset(self, symbol: str) -> str:
        return NATIVE if symbol == "ETH" else self.asset_in(self.devnet, symbol)

    def another_scanner(self, chain: Any = None) -> DepositScanner:
        """A scanner that knows nothing but the database, as after a restart."""
        return DepositScanner(
            database=self.database,
            ledger=self.ledger,
            chain=chain or self.client,
            settings=self.settings,
            screener=self.screener,
            now_ns=self.now_ns,
            checkpoint=self.checkpoint,
        )

    @property
    def store(self) -> DepositStore:
        return self.scanner.store

    # --- sweeping

    def policy(self, **changes: Any) -> PolicySettings:
        """What sweeps need: the sweeper, token transfers, and coins to the vault and to key addresses."""
        limits = AssetLimits(per_transaction_raw=10**24, per_day_raw=10**25)
        keys = [row for user in set(self.users()) for row in self.addresses.of_user(user) if row.kind == "key"]
        usdc = self.devnet.world.tokens["USDC"].address
        fields: dict[str, Any] = {
            "chain_id": self.client.chain_id,
            "assets": {self.asset("USDC"): limits, NATIVE: limits},
            "contracts": (
                AllowedContract(address=self.contracts.sweeper, methods=frozenset({"sweep"})),
                AllowedContract(address=usdc, methods=frozenset({"transfer"})),
            ),
            "recipients": (VAULT, self.contracts.sweeper, *(row.address for row in keys)),
            "gas_limit_max": 2_000_000,
        }
        return PolicySettings.model_validate(fields | changes)

    def users(self) -> list[str]:
        self.scanner._book.refresh()
        return list(self.scanner._book.users.values())

    def desk(self, address: str, folder: Path, **changes: Any) -> Custody:
        """The desk of an account of the test phrase, with its own signer."""
        wallet = HdWallet(Secret(TEST_MNEMONIC))
        if address in TEST_ADDRESSES:
            key = wallet.signer(TEST_ADDRESSES.index(Address(address)))
        else:
            found = self.addresses.find(address)
            assert found is not None
            key = HdWallet(Secret(TEST_MNEMONIC), is_test_key=True).signer(found.number, account=1)
        assert key.address == address
        policy = Policy(changes.pop("policy", None) or self.policy())
        journal = SigningJournal(folder / f"journal-{address}.db", now_ns=self.now_ns)
        return Custody(
            database=self.database,
            ledger=self.ledger,
            policy=policy,
            screener=NoScreening(),
            signer=JournalledSigner(key, journal, PolicyGuard(policy)),
            chain=self.client,
            network=Network.DEVNET,
            now_ns=self.now_ns,
            options=DeskOptions(poll_s=0.005, settled_poll_s=0.01),
            booker=sweep_booker(self.settings),
            **changes,
        )

    # --- what people do

    async def transaction(self, sender: str, to: str | None, *, data: bytes = b"", value_wei: int = 0) -> str:
        """Send from an account the node knows, and wait for its block if blocks come by themselves."""
        request: dict[str, Any] = {
            "from": sender,
            "data": "0x" + data.hex(),
            "value": hex(value_wei),
            "gas": "0x100000",
        }
        if to is not None:
            request["to"] = to
        tx_hash = str(await self.client.rpc.request("eth_sendTransaction", request))
        if self.mines:
            await self.client.wait_receipt(tx_hash, poll_s=0.002)
        return tx_hash

    async def automine(self, on: bool) -> None:
        """Mine every transaction at once, or only when `mine` is called."""
        self.mines = on
        await self.client.rpc.request("evm_setAutomine", on)

    async def pay(self, to: str, symbol: str, raw: int, *, payer: str = PAYERS[0]) -> str:
        """Pay in, by a transaction of the payer's."""
        if symbol == "ETH":
            return await self.transaction(payer, to, value_wei=raw)
        data = selector("transfer(address,uint256)") + address_word(to) + uint_word(raw)
        return await self.transaction(payer, self.devnet.world.tokens[symbol].address, data=data)

    async def relay(self) -> Address:
        """A contract that pays on what it is paid."""
        tx_hash = await self.transaction(PAYERS[0], None, data=bytes.fromhex(RELAY_CODE))
        receipt = await self.client.wait_receipt(tx_hash)
        assert receipt.created is not None
        return receipt.created

    async def mine(self, count: int = 1) -> None:
        await self.client.rpc.request("anvil_mine", hex(count))

    async def mark(self) -> str:
        """Remember this block, to fork here later. (anvil_reorg forgets contracts' code once it has pruned states.)"""
        return str(await self.client.rpc.request("evm_snapshot"))

    async def fork(self, mark: str, blocks: int, *kept: str) -> None:
        """Replace everything after a mark by so many other blocks; the first has the kept raw transactions."""
        await roll_back(self.client, mark)
        # Never the same block again, not even when it is as empty and as old.
        await self.client.rpc.request("anvil_setCoinbase", f"0x{next(_FORKS):040x}")
        await self.automine(False)
        for raw in kept:
            await self.client.rpc.request("eth_sendRawTransaction", raw)
        await self.mine(blocks)
        await self.automine(True)

    async def raw(self, tx_hash: str) -> str:
        return str(await self.client.rpc.request("eth_getRawTransactionByHash", tx_hash))

    # --- what the books say

    def forwarder(self, user: str) -> Address:
        return forwarder_address(self.contracts.factory, user_id(f"{user}/"))

    def owed(self, user: str, part: str, symbol: str) -> int:
        return -self.ledger.balance(f"user/{user}/{part}", self.asset(symbol))

    def states(self, user: str | None = None) -> list[tuple[str, int]]:
        return [(deposit.state.value, deposit.raw) for deposit in self.store.deposits(user)]

    def cursor(self) -> Cursor:
        found = self.store.cursor()
        assert found is not None
        return found

    async def check(self) -> None:
        """The books are sound, and every deposit address holds on the chain what it holds in the books."""
        assert self.ledger.verify().is_sound
        held = self.ledger.balances(f"chain/{self.client.chain_id}")
        for address in self.scanner._book.users:
            booked = held.get(f"chain/{self.client.chain_id}/{address}", {})
            for symbol in ("USDC", "ETH"):
                if self.asset(symbol) in self.settings.assets:
                    assert booked.get(self.asset(symbol), 0) == await self.chain_balance(address, symbol), address

    async def chain_balance(self, address: str, symbol: str, block: int | str = "latest") -> int:
        if symbol == "ETH":
            return int(await self.client.balance(address, block))
        return await self.client.token_balance(self.devnet.world.tokens[symbol].address, address, block)
