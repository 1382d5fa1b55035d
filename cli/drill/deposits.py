"""The drill's deposit: an address for a user, what arrives there credited, and swept to the vault by the HSM's key."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from chain import ChainClient
from compliance import DenyListScreener
from custody import Custody, DeskOptions, Ledger, open_books
from custody.deposits.addresses import DepositAddresses
from custody.deposits.scanner import DepositScanner
from custody.deposits.settings import DepositSettings
from custody.deposits.sweep_plans import sweep_booker
from custody.deposits.sweeper import Sweeper, SweepReport
from custody.policy import BundlePolicy, load_admins
from domain import Address, ChainId, VenueUnavailable
from runtime import SystemClock
from runtime.database import Database
from wallets import Network, SignerClient

_SETTLED_S = 20.0


@dataclass(frozen=True, slots=True)
class DepositDesk:
    """Takes deposits in for an installation."""

    house: Path
    rpc_url: str
    settings: DepositSettings

    def address_of(self, user: str) -> Address:
        """Give a user's deposit address."""
        database = self._database()
        book = DepositAddresses(
            database,
            chain_id=ChainId(self.settings.chain_id),
            factory=self.settings.factory,
            keys=None,
            now_ns=SystemClock().now_ns,
        )
        return book.assign(user).address

    def scan(self) -> None:
        """Read the chain up to its newest block; credit and finalize what is due."""

        async def run() -> None:
            async with ChainClient([self.rpc_url], ChainId(self.settings.chain_id)) as client:
                database = self._database()
                scanner = DepositScanner(
                    database=database,
                    ledger=Ledger(database, SystemClock().now_ns),
                    chain=client,
                    settings=self.settings,
                    screener=DenyListScreener(self.house / "deny-list.txt"),
                )
                await scanner.catch_up()

        asyncio.run(run())

    def sweep(self, account: Address) -> SweepReport:
        """Sweep what is due, signed by `account`, and see the transactions into blocks."""

        async def run() -> SweepReport:
            async with ChainClient([self.rpc_url], ChainId(self.settings.chain_id)) as client:
                database = self._database()
                custody = Custody(
                    database=database,
                    ledger=Ledger(database, SystemClock().now_ns),
                    policy=BundlePolicy(
                        self.house / "policy.json",
                        load_admins(self.house / "policy-admins.yaml"),
                        state=self.house / "sweeps-policy.json",
                        now_ns=SystemClock().now_ns,
                    ),
                    screener=DenyListScreener(self.house / "deny-list.txt"),
                    signer=await SignerClient.connect(self.house / "signer.sock", account),
                    chain=client,
                    network=Network.DEVNET,
                    options=DeskOptions(poll_s=0.02, settled_poll_s=0.1),
                    booker=sweep_booker(self.settings),
                )
                sweeper = Sweeper(
                    database=database,
                    chain=client,
                    settings=self.settings,
                    desks=lambda wanted: custody if wanted == account else None,
                )
                await custody.start(lambda _settled: None)
                try:
                    report = await sweeper.run()
                    if not await custody.drain(_SETTLED_S):
                        raise VenueUnavailable(f"the sweep was not mined within {_SETTLED_S:g} s")
                finally:
                    await custody.stop()
                return report

        return asyncio.run(run())

    def _database(self) -> Database:
        return open_books(Database.at(self.house / "capstan.db"))
