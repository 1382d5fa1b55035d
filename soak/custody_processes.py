"""The processes of `soak.custody`: the desk, a signer, a cosigner. Each may be killed at any instant.

They are started from a fork server that has imported everything once, so that a kill and a start take a fraction of a
second; what they run is what `capstan` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC, DevnetWorld
from custody import (
    AssetLimits,
    Custody,
    DeskOptions,
    Ledger,
    Policy,
    PolicyGuard,
    PolicySettings,
    open_books,
)
from dex import devnet_pools, devnet_routers, plan_swap
from domain import (
    Address,
    Amount,
    ChainId,
    InputError,
    IntentId,
    StrategyId,
    VenueUnavailable,
    native_asset,
    token_asset,
)
from domain.plans import TransactionPlan
from runtime import Secret, SystemClock, configure_logging
from runtime.database import Database
from runtime.processes import die_with_parent
from wallets import HdWallet, Network, Signer, SignerClient, SignerService, SigningJournal
from wallets.mpc import Cosigner, MpcSigner, PartyLink, PartyStore, open_home, read_coordinator, serve

_T = TypeVar("_T")

forkserver: Final = multiprocessing.get_context("forkserver")
_PRELOADED: Final = ("soak.custody_processes", "bip_utils", "alembic.command", "sqlalchemy.dialects.sqlite")
forkserver.set_forkserver_preload(list(_PRELOADED))

RECIPIENT: Final = TEST_ADDRESSES[7]
HD_INDEX: Final = 5
FAR: Final = 2**40
WALLET: Final = "treasury"
OPTIONS: Final = DeskOptions(poll_s=0.01, settled_poll_s=0.05, rebroadcast_s=0.3, gap_s=0.2, lease_s=5)
_CONNECT_S: Final = 30
_ODDS: Final = 14
"""One edge in so many is deadly."""


@dataclass(frozen=True)
class Orders:
    """What one run of the desk is to do."""

    world: bytes
    rpc_url: str
    folder: Path
    signer: Path
    """A signer's socket, or a coordinator's folder."""
    sender: Address
    seed: str
    is_doomed: bool
    """Whether it is to kill itself at some edge."""
    swaps: tuple[tuple[str, int], ...]
    """Intent ids with amounts of WETH to sell."""
    transfers: tuple[tuple[str, int], ...]
    """Intent ids with wei to send."""
    wishes: tuple[tuple[str, str], ...]
    """(`cancel` or `speed_up`, intent id): asked for as soon as they are recorded."""


def settings_of(world: DevnetWorld) -> PolicySettings:
    """What desk, signer and cosigners allow."""
    chain = ChainId(world.chain_id)
    routers = [world.contracts[name] for name in ("SwapRouter", "SwapRouter02")]
    limits = AssetLimits(per_transaction_raw=10**24, per_day_raw=10**26, approval_raw=10**26)
    assets = [token_asset(chain, t.address, s, t.decimals).id for s, t in world.tokens.items()]
    return PolicySettings.model_validate(
        {
            "chain_id": world.chain_id,
            "assets": dict.fromkeys([*assets, native_asset(chain).id], limits),
            "contracts": [
                *({"address": router, "methods": ["exactInputSingle"]} for router in routers),
                *({"address": t.address, "methods": ["approve"]} for t in world.tokens.values()),
            ],
            "spenders": routers,
            "recipients": [RECIPIENT],
            "deadline_s_max": 2 * FAR,
        }
    )


def transfer_plan(chain_id: ChainId, sender: Address, intent_id: str, wei: int) -> TransactionPlan:
    """Send coins; no two intents of a run send the same amount, so the chain tells which was executed how often."""
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId("soak"),
        purpose="transfer",
        chain_id=chain_id,
        sender=sender,
        to=RECIPIENT,
        value_wei=wei,
        data=b"",
        gas_limit=21_000,
        deadline_s=0,
        spends=(Amount(native_asset(chain_id), wei),),
        recipient=RECIPIENT,
    )


def swap_plan(world: DevnetWorld, sender: Address, intent_id: str, raw: int) -> TransactionPlan:
    """Sell so much WETH for whatever it brings."""
    address = world.pool("v3", "WETH", "USDC", 500).address
    token = world.tokens["WETH"]
    return plan_swap(
        intent_id=intent_id,
        strategy="soak",
        pool=next(spec for spec in devnet_pools(world).values() if spec.address == address),
        routers=devnet_routers(world),
        sender=sender,
        token_in=token_asset(ChainId(world.chain_id), token.address, "WETH", token.decimals).id,
        amount_in=raw,
        min_out=1,
        deadline_s=FAR,
    )


class NoScreening:
    """Screening is another soak's subject."""

    async def screen(self, addresses: object) -> None:
        return None


def build_custody(
    world: DevnetWorld,
    chain: ChainClient,
    folder: Path,
    signer: Signer,
    checkpoint: Callable[[str], None] = lambda _edge: None,
) -> tuple[Custody, Ledger, Database]:
    """Put a desk together over whatever a former one left."""
    clock = SystemClock()
    database = open_books(Database.at(folder / "books.db"))
    ledger = Ledger(database, clock.now_ns)
    custody = Custody(
        database=database,
        ledger=ledger,
        policy=Policy(settings_of(world)),
        screener=NoScreening(),
        signer=signer,
        chain=chain,
        network=Network.DEVNET,
        options=OPTIONS,
        checkpoint=checkpoint,
    )
    return custody, ledger, database


# --- the desk


class Doom:
    """Kills its own process at one edge in fourteen."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def __call__(self, _edge: str) -> None:
        if self._random.random() * _ODDS < 1:
            os.kill(os.getpid(), signal.SIGKILL)


def run_desk(orders: Orders) -> None:
    """Do what is ordered, wait until all has an outcome that stands, end with 0. Or die."""
    die_with_parent()
    configure_logging(level="WARNING", file=orders.folder / "desk.log")
    asyncio.run(_desk(orders))


async def _desk(orders: Orders) -> None:
    world = DevnetWorld.from_json(orders.world)
    chain_id = ChainId(world.chain_id)
    plans = [swap_plan(world, orders.sender, name, raw) for name, raw in orders.swaps]
    plans += [transfer_plan(chain_id, orders.sender, name, wei) for name, wei in orders.transfers]
    random.Random(orders.seed).shuffle(plans)
    async with AsyncExitStack() as stack:
        client = ChainClient([orders.rpc_url], world.chain_id, request_timeout_s=3)
        stack.push_async_callback(client.close)
        await _persistently(client.connect)
        signer = await _signer(orders, stack)
        doom: Callable[[str], None] = Doom(orders.seed) if orders.is_doomed else lambda _edge: None
        custody, _, _ = build_custody(world, client, orders.folder, signer, doom)
        await custody.start(lambda _settled: None, wait_s=20)
        for plan in plans:
            await custody.submit(plan)
            for wish, name in orders.wishes:
                if name == plan.intent_id:
                    with contextlib.suppress(InputError):  # It was quicker.
                        await (custody.cancel(name) if wish == "cancel" else custody.speed_up(name))
        if not await custody.drain(90) or not await custody.wait_steady(30) or not await custody.drain(30):
            raise AssertionError(f"the desk hangs with {await custody.in_flight()}")
        await custody.stop()


async def _signer(orders: Orders, stack: AsyncExitStack) -> Signer:
    if orders.signer.suffix == ".sock":
        return SignerClient(orders.signer, orders.sender, timeout_s=3)
    committee, tls = read_coordinator(orders.signer)
    links = [PartyLink(card, tls, timeout_s=3) for card in committee.cards]
    for link in links:
        stack.push_async_callback(link.close)
    return await _persistently(lambda: MpcSigner.connect(links, committee, wallet=WALLET, address=orders.sender))


async def _persistently(connect: Callable[[], Awaitable[_T]]) -> _T:
    """Connect as a supervised process does: what was just killed, or loses answers, is tried again."""
    async with asyncio.timeout(_CONNECT_S):
        while True:
            try:
                return await connect()
            except VenueUnavailable:
                await asyncio.sleep(0.1)


# --- those who sign


def run_signer(world: bytes, folder: Path) -> None:
    """Serve the vault's key at `folder`/signer.sock until killed."""
    die_with_parent()
    configure_logging(level="ERROR", file=folder / "signer.log")

    async def main() -> None:
        with SigningJournal(folder / "signer-journal.db", now_ns=SystemClock().now_ns) as journal:
            guard = PolicyGuard(Policy(settings_of(DevnetWorld.from_json(world))))
            service = SignerService([HdWallet(Secret(TEST_MNEMONIC)).signer(HD_INDEX)], guard=guard, journal=journal)
            await service.serve(folder / "signer.sock", asyncio.Event())

    asyncio.run(main())


def run_cosigner(world: bytes, root: Path) -> None:
    """Serve one party until killed."""
    die_with_parent()
    configure_logging(level="ERROR", file=root / "party.log")

    async def main() -> None:
        now_ns, home = SystemClock().now_ns, open_home(root)
        with (
            PartyStore(root / "party.db", now_ns=now_ns) as store,
            SigningJournal(root / "journal.db", now_ns=now_ns) as journal,
        ):
            guard = PolicyGuard(Policy(settings_of(DevnetWorld.from_json(world))))
            cosigner = Cosigner(home, store=store, journal=journal, guard=guard)
            await serve(cosigner, home, asyncio.Event(), ready=asyncio.Event())

    asyncio.run(main())


def doomed(orders: Orders, *, seed: str) -> Orders:
    """The same orders for a desk that will not live."""
    return replace(orders, is_doomed=True, seed=seed)
