"""The bodies of background tasks, joined from the packages: each opens what it needs and closes it again.

Nothing is kept between runs, so a worker may fork, be killed and start anywhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from api.tables import open_tables
from api.webhooks.events import tell_deposit
from chain import ChainClient
from chain.network import ensure_keys_fit, identify
from chain.paths import Ways
from cli import reconciling
from cli.backtest_jobs import Stopping, run_backtest
from cli.data_dir import DataDir
from cli.private_ways import open_ways
from cli.settings import CustodySettings, Settings
from cli.wiring import open_ledger
from compliance import DenyListScreener
from custody import Custody, DeskOptions, Ledger, Policy
from custody.approvals import DatabaseApprovals
from custody.audit import AuditLog
from custody.deposits.deployment import DepositContracts, check_deposit_contracts
from custody.deposits.jobs import OpenDesks, accounts_to_open, scan_deposits, sweep_deposits
from custody.deposits.scanner import DepositScanner
from custody.deposits.settings import DepositSettings
from custody.deposits.sweep_plans import sweep_booker
from custody.deposits.sweeper import Sweeper
from custody.freeze import Freezes
from custody.policy import BundlePolicy, load_admins
from domain import Address, ChainId, InputError
from runtime import SystemClock
from runtime.database import Database
from wallets import Network, SignerClient

log = structlog.get_logger(__name__)

_DAY_NS = 24 * 3_600 * 10**9


@dataclass(frozen=True, slots=True)
class _Chain:
    """One installation's chain, its books, and what is configured of both."""

    client: ChainClient
    database: Database
    ledger: Ledger
    deposits: DepositSettings
    custody: CustodySettings
    private: Ways | None


class Jobs:
    """What an installation's worker does. Every method is a task's body: synchronous, its arguments are ids."""

    def __init__(self, settings: Settings, data: DataDir) -> None:
        self._settings = settings
        self._data = data
        self._clock = SystemClock()
        self._has_tables = False
        self.stopping = Stopping()

    def open_database(self) -> Database:
        """The books' database, whose locks keep two runs of one task apart."""
        return self._open_books()[0]

    # --- deposits

    def scan(self, chain_id: int) -> None:
        """Read a chain up to its newest block; credit and finalize what is due."""
        asyncio.run(self._scan(chain_id, only_confirm=False))

    def confirm(self, chain_id: int) -> None:
        """Credit and finalize what is due, without reading on."""
        asyncio.run(self._scan(chain_id, only_confirm=True))

    def sweep(self, chain_id: int) -> None:
        """Sweep forwarders; carry on and close what is under way."""
        asyncio.run(self._sweep(chain_id, "forwarder"))

    def give_gas(self, chain_id: int) -> None:
        """Sweep key addresses, and give them the gas for it from the tank."""
        asyncio.run(self._sweep(chain_id, "key"))

    async def _scan(self, chain_id: int, *, only_confirm: bool) -> None:
        async with self._open(chain_id) as opened:
            scanner = self._scanner(opened)
            if only_confirm:
                await scanner.confirm()
                await scanner.finalize()
                return
            freezes = Freezes(opened.database, AuditLog(opened.database, self._clock.now_ns), now_ns=self._clock.now_ns)
            await scan_deposits(scanner, freezes, ChainId(chain_id))

    async def _sweep(self, chain_id: int, kind: str) -> None:
        async with self._open(chain_id) as opened:
            desks: OpenDesks | None = None

            def desk(address: Address) -> Custody | None:
                return None if desks is None else desks.desk(address)

            sweeper = Sweeper(
                database=opened.database,
                chain=opened.client,
                settings=opened.deposits,
                desks=desk,
                now_ns=self._clock.now_ns,
            )
            wanted = await asyncio.to_thread(accounts_to_open, sweeper, opened.deposits)
            desks = OpenDesks(await self._desks(opened, wanted))
            store = self._scanner(opened).store

            def final_block() -> int:
                cursor = store.cursor()
                return -1 if cursor is None else cursor.finalized

            report = await sweep_deposits(sweeper, desks, final_block, kinds=(kind,))
            log.info("sweeps.run", kind=kind, closed=report.closed, batches=report.batches, transfers=report.transfers)

    async def _desks(self, opened: _Chain, wanted: set[Address]) -> dict[Address, Custody]:
        """Desks of the accounts whose keys the signer holds."""
        network = Network((await identify(opened.client)).value)
        policy = self._policy(opened.custody)
        rules = policy.current if isinstance(policy, BundlePolicy) else lambda: policy
        found = {}
        for address in sorted(wanted):
            try:
                signer = await SignerClient.connect(self._data.root / opened.custody.signer_socket, address)
            except InputError as exc:
                log.warning("sweeps.no_key", account=address, reason=str(exc))
                continue
            found[address] = Custody(
                database=opened.database,
                ledger=opened.ledger,
                policy=policy,
                screener=DenyListScreener(self._data.root / opened.custody.deny_list),
                signer=signer,
                chain=opened.client,
                network=network,
                now_ns=self._clock.now_ns,
                options=DeskOptions(confirmations=self._settings.chain.confirmations if self._settings.chain else 1),
                approvals=DatabaseApprovals(opened.database, rules=rules, now_ns=self._clock.now_ns),
                booker=sweep_booker(opened.deposits),
                private=opened.private,
            )
        return found

    def _policy(self, part: CustodySettings) -> Policy | BundlePolicy:
        root = self._data.root
        if part.policy is not None:
            return Policy(part.policy)
        admins, state = load_admins(root / part.policy_admins), root / "worker-policy.json"
        return BundlePolicy(root / part.policy_bundle, admins, state=state, now_ns=self._clock.now_ns)

    def _scanner(self, opened: _Chain) -> DepositScanner:
        return DepositScanner(
            database=opened.database,
            ledger=opened.ledger,
            chain=opened.client,
            settings=opened.deposits,
            screener=DenyListScreener(self._data.root / opened.custody.deny_list),
            now_ns=self._clock.now_ns,
            observe=tell_deposit,
        )

    @asynccontextmanager
    async def _open(self, chain_id: int) -> AsyncIterator[_Chain]:
        chain, custody = self._settings.chain, self._settings.custody
        deposits = None if custody is None else custody.deposits
        if chain is None or custody is None or deposits is None or {chain.chain_id, deposits.chain_id} != {chain_id}:
            raise InputError(f"no deposits are configured on chain {chain_id}")
        async with (
            ChainClient(list(chain.endpoints), chain_id) as client,
            open_ways(chain, client, self._data.root) as private,
        ):
            database, ledger = await asyncio.to_thread(self._open_books)
            try:
                yield _Chain(client, database, ledger, deposits, custody, private)
            finally:
                database.dispose()

    def _open_books(self) -> tuple[Database, Ledger]:
        """The books, and beside them the API's tables; both are brought up to date once a process."""
        database, ledger = open_ledger(self._settings, self._data, is_current=self._has_tables)
        if not self._has_tables:
            open_tables(database)
            self._has_tables = True
        return database, ledger

    # --- the rest

    def check_installation(self) -> None:
        """Before anything runs: the chain is the settings', and its deposit contracts are ours.

        Raises:
            InputError: They are not.
            VenueUnavailable: The node does not answer.
        """
        custody = self._settings.custody
        if custody is not None and custody.deposits is not None:
            asyncio.run(self._check(custody.deposits))

    async def _check(self, deposits: DepositSettings) -> None:
        async with self._open(deposits.chain_id) as opened:
            own = {deposits.sweeping_account, deposits.gas_tank} - {None}
            ensure_keys_fit(await identify(opened.client), tuple(account for account in own if account))
            if deposits.factory is not None and deposits.sweeper is not None and deposits.vault is not None:
                contracts = DepositContracts(deposits.vault, deposits.factory, deposits.sweeper)
                await check_deposit_contracts(opened.client, contracts)

    def refresh_shares(self, wallet: str) -> None:
        """Give the parties of the MPC committee new shares of a key, and destroy the old ones."""
        custody = self._settings.custody
        if custody is None or wallet not in custody.mpc_wallets:
            raise InputError(f"no MPC key {wallet} is configured")
        asyncio.run(self._refresh(custody, wallet))

    async def _refresh(self, custody: CustodySettings, wallet: str) -> None:
        from wallets.mpc import PartyLink, read_coordinator, refresh_wallet

        committee, tls = read_coordinator(self._data.root / custody.committee)
        links = [PartyLink(card, tls, timeout_s=60) for card in committee.cards]
        try:
            epoch = await refresh_wallet(links, wallet, threshold=committee.threshold)
        finally:
            for link in links:
                await link.close()
        log.info("mpc.refreshed", wallet=wallet, epoch=epoch)

    def deliver_webhooks(self) -> None:
        """Send the webhooks that are due, and tell the channels of alerts."""
        from api.alerts.services import make_tellers
        from api.core.keys import ServerKey
        from api.webhooks import Deliverer

        database = self.open_database()
        try:
            key, settings, now_ns = ServerKey.at(self._data.api_key), self._settings, self._clock.now_ns
            tellers = make_tellers(key, settings.api, settings.alerts, self._data.root, now_ns)
            asyncio.run(Deliverer(database, tellers, now_ns).run())
        finally:
            database.dispose()

    def pulse(self) -> None:
        """Say that schedule, queue and worker do their work: `/readyz` looks for it."""
        from api.health.checks import WORKER
        from api.health.tables import note_pulse

        database = self.open_database()
        try:
            with database.transaction() as session:
                note_pulse(session, WORKER, self._clock.now_ns())
        finally:
            database.dispose()

    def run_backtest(self, slot: int) -> None:
        """Run the next backtest that waits, to its end."""
        database = self.open_database()
        try:
            run_backtest(self._settings, self._data, database, self._clock, self.stopping, slot)
        finally:
            database.dispose()

    def watch_alerts(self) -> None:
        """Look how things stand, and raise, escalate and resolve alerts by it."""
        from api.alerts.watch import Watch
        from api.engine_door import EngineDoor
        from cli.probing import probe

        database = self.open_database()
        try:
            engine, looking = EngineDoor(self._data.control), partial(probe, self._settings, self._data)
            asyncio.run(Watch(database, engine, self._clock.now_ns, looking).run())
        finally:
            database.dispose()

    def forget_webhooks(self) -> None:
        """Forget what was told long ago, and alerts that were over long ago."""
        from api.alerts.book import AlertBook
        from api.webhooks.retention import PIECE, Forgetter

        database = self.open_database()
        try:
            tasks, now_ns = self._settings.tasks, self._clock.now_ns
            Forgetter(database, now_ns, tasks.webhooks_kept_days).run()
            with database.transaction() as session:
                before_ns = now_ns() - tasks.alerts_kept_days * _DAY_NS
                AlertBook(database, now_ns).forget(session, before_ns, PIECE)
        finally:
            database.dispose()

    def forget_keys(self) -> None:
        """Forget Idempotency-Keys of long ago."""
        from api.core.effects import forget_keys

        database = self.open_database()
        try:
            log.info("effects.forgotten", keys=forget_keys(database, self._clock.now_ns))
        finally:
            database.dispose()

    def checkpoint_audit(self) -> None:
        """Sign how far the audit log has come."""
        reconciling.checkpoint_audit(self._data.root)

    def reconcile(self) -> None:
        """Compare the books with every place; what nothing explains freezes what leaves it."""
        found = reconciling.reconcile(self._data.root)
        log.info("ledger.reconciled", clean=found["clean"], unread=found["unread"], compared=found["compared"])

    def check_solvency(self) -> None:
        """Compare what is held with what is owed; freeze everything when it is less."""
        reconciling.check_solvency(self._data.root)
