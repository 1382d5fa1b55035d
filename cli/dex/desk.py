"""The desk of a dex command: an account, its policy, its books, and the one way to have something signed.

With `--config` it is the installation's own: signer process, policy, screening, ledger. With `--rpc-url` alone it is
made here, on a recognised devnet and nowhere else: a test account's key behind a signer with guard and journal, a
policy of the devnet's contracts, books in a folder. Nothing here signs around custody.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chain import ChainClient, parse_address
from chain.devnet import TEST_ADDRESSES
from chain.fees import access_finder
from chain.network import NetworkKind, chain_id_at, ensure_keys_fit, identify
from cli.data_dir import DataDir
from cli.dex.devnet_policy import NO_MORE, Allowances, devnet_policy
from cli.dex.options import DeskPlace
from cli.private_ways import open_ways
from cli.settings import Settings, load_settings
from cli.wiring import open_ledger
from compliance import DenyListScreener
from custody import Books, Custody, DeskOptions, Ledger, Policy, PolicyGuard, open_books
from custody.approvals import ApprovalUses, DatabaseApprovals
from custody.deposits.sweep_plans import sweep_booker
from custody.ledger import vault_account
from custody.policy import BundlePolicy, Judge, load_admins
from domain import Address, ChainId, InputError, Refused, VenueUnavailable
from domain.events import SwapSettled
from domain.plans import TransactionPlan
from runtime import Secret, SystemClock
from runtime.database import Database
from wallets import (
    DEVNET_MNEMONIC,
    AuthorizationToSign,
    Evidence,
    HdWallet,
    MessageToSign,
    Network,
    Signature,
    SignedAuthorization,
    SignedTransaction,
    Signer,
    SignerClient,
    SignerService,
    SigningJournal,
    TransactionToSign,
    TypedDataToSign,
)

_SETTLED_S: Final = 600.0
"""Many confirmations of slow blocks take minutes."""
_QUIET_S: Final = 60


@dataclass(slots=True)
class DexDesk:
    """An open desk."""

    client: ChainClient
    network: NetworkKind
    root: Path
    """Where its books are; what a command keeps of its own lies beside them."""
    account: Address
    policy: Judge
    custody: Custody
    database: Database
    ledger: Ledger
    confirmations: int = 1
    """Depth at which a transaction is booked."""
    _outcomes: dict[str, SwapSettled] = field(default_factory=dict)
    _told: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def chain_id(self) -> ChainId:
        return self.client.chain_id

    @property
    def is_devnet(self) -> bool:
        return self.network is NetworkKind.DEVNET

    @property
    def vault(self) -> str:
        """The account's name in the ledger."""
        return vault_account(self.chain_id, self.account)

    async def execute(
        self, plan: TransactionPlan, *, timeout_s: float = _SETTLED_S, initiator: str = "dex"
    ) -> SwapSettled:
        """Let custody carry out a plan and wait for its outcome.

        Raises:
            Refused: By custody, a policy or a signer; nothing was sent.
            VenueUnavailable: There is no outcome yet. It may still come: look with `capstan transactions`.
        """
        await self.custody.submit(plan, initiator=initiator)
        settled = await self.outcome(plan.intent_id, timeout_s=timeout_s)
        if settled.status == "refused":
            rule, _, reason = settled.reason.partition(": ")
            raise Refused(f"{settled.intent_id}: {reason or rule}", rule=rule)
        return settled

    async def execute_all(
        self, plans: Sequence[TransactionPlan], *, timeout_s: float = _SETTLED_S, initiator: str = "dex"
    ) -> list[SwapSettled]:
        """Carry out plans one after the other, each when the one before has settled; errors as `execute`.

        Given together, custody would number them in any order: an allowance that is taken back and given anew could
        end up taken back.
        """
        return [await self.execute(plan, timeout_s=timeout_s, initiator=initiator) for plan in plans]

    async def outcome(self, intent_id: str, *, timeout_s: float = _SETTLED_S) -> SwapSettled:
        """Wait for what became of an intent that was submitted.

        Raises:
            VenueUnavailable: There is no outcome yet.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while intent_id not in self._outcomes:
                    self._told.clear()
                    await self._told.wait()
        except TimeoutError:
            raise VenueUnavailable(
                f"{intent_id} has no outcome after {timeout_s:g} s",
                hint=f"it goes on at the next start; capstan transactions show {intent_id} --database …",
            ) from None
        return self._outcomes[intent_id]

    async def balances(self) -> dict[str, int]:
        """What the account holds on chain, by asset id."""
        return await self.custody.balances()

    async def differences(self) -> dict[str, tuple[int, int]]:
        """Where ledger and chain differ, as (ledger, chain) by asset id; empty is what must hold."""
        return await self.custody.reconcile(await self.balances())

    def told(self, settled: SwapSettled) -> None:
        """Take an outcome from custody."""
        self._outcomes[settled.intent_id] = settled
        self._told.set()

    def corrected(self, _before: SwapSettled, after: SwapSettled) -> None:
        """Take another outcome from custody, after a reorganisation."""
        self.told(after)


@asynccontextmanager
async def open_desk(place: DeskPlace, more: Allowances = NO_MORE) -> AsyncIterator[DexDesk]:
    """Open a desk, take over what the account holds the first time, and carry on with what was under way.

    Args:
        place: Where it is.
        more: What a devnet's policy allows besides; an installation's policy stays what it is.

    Raises:
        InputError: Neither or both of `config` and `rpc_url`, an installation that trades on paper, books of another
            devnet, or somebody else serves the account.
        Refused: Not a devnet, and no installation was named.
    """
    _ensure_one(place)
    async with AsyncExitStack() as stack:
        if place.config is not None:
            desk, options = await _installation(stack, place.config, place.address, place.signer_socket)
        else:
            desk, options = await _devnet(stack, place, more)
        await _take_over(desk)
        await desk.custody.start(desk.told, on_corrected=desk.corrected, wait_s=options.lease_s)
        stack.push_async_callback(desk.custody.stop)
        yield desk


async def account_of(place: DeskPlace) -> tuple[str, ChainId, Address]:
    """Say whom a desk would sign for, and where its node is, without opening it: for dry runs.

    Raises:
        InputError: Neither or both of `config` and `rpc_url`, or an installation without an account.
        Refused: Not a devnet, and no installation was named.
    """
    _ensure_one(place)
    if place.config is not None:
        settings = load_settings(place.config)
        if settings.chain is None or settings.custody is None:
            raise InputError(f"{place.config} has no [chain] and [custody]: there is nothing to swap with")
        return settings.chain.endpoints[0], ChainId(settings.chain.chain_id), parse_address(settings.custody.account)
    chain_id = await chain_id_at(place.rpc_url)
    async with ChainClient([place.rpc_url], chain_id) as client:
        _ensure_devnet(place, await identify(client))
    return place.rpc_url, chain_id, TEST_ADDRESSES[place.account]


async def books_of(place: DeskPlace) -> tuple[Path, str]:
    """Say where a desk's books are: its folder, and the database by URL; errors as `account_of`."""
    _ensure_one(place)
    if place.config is not None:
        from cli.books import custody_url

        root, settings = place.config.resolve().parent, load_settings(place.config)
        if settings.custody is None:
            raise InputError(f"{place.config} has no [custody]")
        return root, custody_url(root, settings.custody)
    async with ChainClient([place.rpc_url], await chain_id_at(place.rpc_url)) as client:
        _ensure_devnet(place, await identify(client))
        root = await _root_of(place, client)
    return root, f"sqlite:///{root / 'capstan.db'}"


def _ensure_one(place: DeskPlace) -> None:
    if (place.config is None) == (not place.rpc_url):
        raise InputError("give either --config or --rpc-url", hint="--rpc-url alone opens a desk on a devnet")


def _ensure_devnet(place: DeskPlace, network: NetworkKind) -> None:
    if network is not NetworkKind.DEVNET:
        raise Refused(
            f"{place.rpc_url} is no devnet: a desk needs its installation",
            rule="test_keys",
            hint="--config capstan.toml, whose signer holds the key",
        )


async def _root_of(place: DeskPlace, client: ChainClient) -> Path:
    if place.data is not None:
        return place.data.resolve()
    return await _folder_of(client, TEST_ADDRESSES[place.account])


async def _take_over(desk: DexDesk) -> None:
    """Book what the account holds before the books begin. Later this would book what was traded for as found."""
    booked = await asyncio.to_thread(desk.ledger.balances, desk.vault)
    if not booked.get(desk.vault):
        await Books(desk.ledger, desk.vault).open_balances("chain", await desk.custody.balances())


async def _installation(
    stack: AsyncExitStack, path: Path, address: str, signer_socket: str
) -> tuple[DexDesk, DeskOptions]:
    root = path.resolve().parent
    settings = load_settings(path)
    chain, part = settings.chain, settings.custody
    if chain is None or part is None:
        raise InputError(f"{path} has no [chain] and [custody]: there is nothing to swap with")
    if settings.mode != "live":
        raise InputError(f"{path} trades on paper: nothing is sent", hint='mode = "live"')
    client = await stack.enter_async_context(ChainClient(list(chain.endpoints), chain.chain_id))
    network, account, clock = await identify(client), parse_address(address or part.account), SystemClock()
    ensure_keys_fit(network, (account,))
    database, ledger = await asyncio.to_thread(open_ledger, settings, DataDir(root))
    stack.callback(database.dispose)
    policy = _policy_of(settings, root, clock)
    rules = policy.current if isinstance(policy, BundlePolicy) else lambda: policy
    options = DeskOptions(confirmations=chain.confirmations)
    custody = Custody(
        database=database,
        ledger=ledger,
        policy=policy,
        screener=DenyListScreener(root / part.deny_list),
        signer=await SignerClient.connect(root / (signer_socket or part.signer_socket), account),
        chain=client,
        network=Network(network.value),
        now_ns=clock.now_ns,
        options=options,
        approvals=DatabaseApprovals(database, rules=rules, now_ns=clock.now_ns),
        booker=sweep_booker(part.deposits) if part.deposits is not None else None,
        private=await stack.enter_async_context(open_ways(chain, client, root)),
        access=access_finder(client) if chain.access_lists else None,
    )
    return DexDesk(client, network, root, account, policy, custody, database, ledger, chain.confirmations), options


def _policy_of(settings: Settings, root: Path, clock: SystemClock) -> Policy | BundlePolicy:
    part = settings.custody
    if part is None:
        raise InputError("there is no [custody]")
    if part.policy is not None:
        return Policy(part.policy)
    admins, state = load_admins(root / part.policy_admins), root / "dex-policy.json"
    return BundlePolicy(root / part.policy_bundle, admins, state=state, now_ns=clock.now_ns)


async def _devnet(stack: AsyncExitStack, place: DeskPlace, more: Allowances) -> tuple[DexDesk, DeskOptions]:
    chain_id = await chain_id_at(place.rpc_url)
    client = await stack.enter_async_context(ChainClient([place.rpc_url], chain_id))
    network = await identify(client)
    _ensure_devnet(place, network)
    clock, account = SystemClock(), TEST_ADDRESSES[place.account]
    root = await _root_of(place, client)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    policy = Policy(await devnet_policy(client, more))
    database = Database.at(root / "capstan.db")
    stack.callback(database.dispose)
    await asyncio.to_thread(open_books, database)
    ledger = Ledger(database, clock.now_ns)
    signer = _signer(stack, root, policy, place.account)
    await _check_same_chain(client, root, account, database)
    (root / "deny-list.txt").touch()
    await _catch_up(client)
    options = DeskOptions(poll_s=0.01, settled_poll_s=0.2, lease_s=3.0)
    custody = Custody(
        database=database,
        ledger=ledger,
        policy=policy,
        screener=DenyListScreener(root / "deny-list.txt"),
        signer=signer,
        chain=client,
        network=Network.DEVNET,
        now_ns=clock.now_ns,
        options=options,
    )
    return DexDesk(client, network, root, account, policy, custody, database, ledger), options


def _signer(stack: AsyncExitStack, root: Path, policy: Policy, index: int) -> Signer:
    """TEST ONLY: a published key, behind the guard and the journal that a signer process has."""
    clock = SystemClock()
    journal = stack.enter_context(SigningJournal(root / "signer-journal.db", now_ns=clock.now_ns))
    uses = ApprovalUses(root / "signer-approvals.db")
    stack.callback(uses.close)
    key = HdWallet(Secret(DEVNET_MNEMONIC)).signer(index)
    return ServedSigner(
        SignerService([key], guard=PolicyGuard(policy, uses=uses, now_ns=clock.now_ns), journal=journal), key.address
    )


async def devnet_folder(place: DeskPlace) -> Path:
    """Where a devnet desk keeps its books unless `data` says so.

    Raises:
        InputError: No node was named.
        VenueUnavailable: It does not answer.
    """
    if not place.rpc_url:
        raise InputError("give --config, --data or --rpc-url")
    async with ChainClient([place.rpc_url], await chain_id_at(place.rpc_url)) as client:
        return await _folder_of(client, TEST_ADDRESSES[place.account])


async def _folder_of(client: ChainClient, account: Address) -> Path:
    """A folder for this very devnet: another one that is started later has other books."""
    known: Mapping[str, Any] = await client.rpc.request("anvil_metadata")
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "capstan" / "devnets" / f"{str(known['instanceId'])[2:18]}-{account[2:10].lower()}"


async def _catch_up(client: ChainClient) -> None:
    """Mine a block where none came for long: policy measures deadlines from the newest one, routers from the next."""
    newest, following = await client.batch([("eth_getBlockByNumber", [tag, False]) for tag in ("latest", "pending")])
    if int(following["timestamp"], 16) - int(newest["timestamp"], 16) > _QUIET_S:
        await client.rpc.request("evm_mine")


async def _check_same_chain(client: ChainClient, root: Path, account: Address, database: Database) -> None:
    """Refuse books that know more of the account than the chain does: they are another devnet's."""
    from custody.transactions.operations import Operations

    sent = [
        line.nonce
        for line in Operations(database, SystemClock().now_ns).transactions(with_final=True, limit=10_000)
        if line.nonce is not None and line.tx_hash
    ]
    if sent and max(sent) >= await client.nonce(account, "pending"):
        raise InputError(
            f"{root} holds the books of another devnet: {account} has sent {max(sent) + 1} transactions there",
            hint="--data another folder, or none",
        )


class ServedSigner:
    """A `Signer` for one key of a service in this process."""

    def __init__(self, service: SignerService, address: Address) -> None:
        self._service = service
        self._address = address

    @property
    def address(self) -> Address:
        return self._address

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        return await self._service.sign_transaction(self._address, tx, network=network, evidence=evidence)

    async def sign_message(
        self, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        return await self._service.sign_message(self._address, message, network=network, evidence=evidence)

    async def sign_typed_data(
        self, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        return await self._service.sign_typed_data(self._address, data, network=network, evidence=evidence)

    async def sign_authorization(
        self, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedAuthorization:
        return await self._service.sign_authorization(self._address, authorization, network=network, evidence=evidence)
