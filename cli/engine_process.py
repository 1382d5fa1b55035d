"""The engine's process: builds every part from the settings, runs them, and ends with the truth about the books."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
from pydantic import ValidationError

from api.tables import open_tables
from api.webhooks.events import tell_approval
from cex import CcxtVenue
from cex.markets import Market
from chain import ChainClient, parse_address
from chain.fees import access_finder
from chain.network import NetworkKind, ensure_keys_fit, identify
from cli.data_dir import DataDir, write_json
from cli.engine_changing import Changing
from cli.engine_doors import Doors
from cli.engine_freeze import Freezer
from cli.engine_join import with_created
from cli.engine_result import book_paper_swaps, final_result, write_html
from cli.engine_status import LatencyFile, StatusBoard
from cli.private_ways import open_ways
from cli.ramp_state import StartStage, ramps_of
from cli.settings import CustodySettings, Settings, load_settings
from cli.wiring import ChainBook, CustodyDesk, load_chain_book, open_ledger, vault_of
from cli.withdrawals_carrying import Beside
from compliance import DenyListScreener
from custody import Books, Custody, DeskOptions, Ledger, Policy
from custody.approvals import DatabaseApprovals
from custody.audit import AuditLog
from custody.deposits.sweep_plans import sweep_booker
from custody.policy import BundlePolicy, Judge, load_admins
from custody.withdrawals import AddressBook
from dex import PoolFollower
from domain import Address, ChainId, InputError, InvariantError, VenueUnavailable, parse_units
from domain import events as e
from engine.journal import Journal, read_journal
from engine.native import NativeKernel
from engine.paper import PaperDesk, PaperTrading, PaperVenue
from engine.ports import ExchangeVenue, SwapDesk
from engine.runner import LiveRunner
from engine.sdk import Signal
from engine.settings import EngineSettings
from engine.setup import RunConfig, build_kernel, continued, pool_label
from engine.signal_log import SignalLog
from engine.simulation import Simulator
from engine.wiring import Wiring
from runtime import SystemClock, configure_logging, tracing
from runtime.database import Database
from runtime.processes import spare_the_collector, stop_on_signals
from wallets import Network, SignerClient

log = structlog.get_logger(__name__)

STATUS_S = 0.25
SIGNER_S = 15.0
OnStep = Callable[[e.Event, list[e.Command]], None]
NO_VAULT = "chain/none"
"""Where balances on chain are booked when there is no chain: nowhere, because there are none."""


class Relay:
    """Holds events that come before the runner exists, and passes the others on."""

    def __init__(self) -> None:
        self._early: list[e.Event] | None = []
        self._emit: Any = None

    def emit(self, event: e.Event) -> None:
        if self._early is not None:
            self._early.append(event)
        else:
            self._emit(event)

    def connect(self, emit: Any) -> None:
        early, self._early, self._emit = self._early or [], None, emit
        for event in early:
            emit(event)


@dataclass(slots=True)
class World:
    """What the engine is connected to."""

    venues: dict[str, ExchangeVenue]
    client: ChainClient | None
    book: ChainBook | None
    network: NetworkKind | None


def _begin_to_tell(settings: Settings, data: DataDir) -> Callable[[], None]:
    """Begin to log and to trace; give what ends the traces."""
    configure_logging(level=settings.log.level, file=data.logs / "engine.log")
    return tracing.start("capstan-engine", settings.tracing, trusts_caller=True)


async def run_engine(data: DataDir) -> None:
    """Run until SIGTERM or SIGINT; write `result.json` and `report.html` on a clean end.

    Raises:
        PlatformError: A part could not be started or an invariant failed.
    """
    settings, stop = load_settings(data.settings), asyncio.Event()
    stop_on_signals(stop)
    data.engine_pid.write_text(str(os.getpid()))
    clock, relay = SystemClock(), Relay()
    async with AsyncExitStack() as stack:
        stack.callback(_begin_to_tell(settings, data))
        paper = PaperTrading(clock, {}) if settings.mode == "paper" else None
        world = await _connect(stack, settings, data, relay, paper)
        database, ledger = await asyncio.to_thread(_open_books, settings, data)
        stack.callback(database.dispose)
        stage = await asyncio.to_thread(StartStage.of, settings.engine, ramps_of(database, clock.now_ns, settings.mode))
        wanted = _configure(settings, stage.settings, data, world)
        config = _begun(data, wanted)
        kernel = build_kernel(config, data.root)
        journal = stack.enter_context(closing(Journal.open(data.journal, config.to_header())))
        await asyncio.to_thread(stage.note, config.run)
        custody, desk = await _open_desk(stack, settings, data, world, database, ledger, clock, relay, paper)
        wiring = Wiring(
            venues=world.venues,
            desk=desk,
            bookkeeper=Books(ledger, _vault(settings) or NO_VAULT),
            clock=clock,
            timer_ms=settings.engine.timer_ms,
            queue_max=settings.engine.queue_max,
        )
        _let_freeze(settings, data, database, clock, wiring)
        runner = LiveRunner(kernel, journal, wiring)
        changing = Changing.of(runner, database, data.strategies, clock.now_ns)
        board = StatusBoard(runner, {spec.id: pool_label(spec) for spec in config.pools}, ramp=stage.shown())
        latencies = LatencyFile(data.root / "latency.bin", runner.tick_to_order)
        doors = Doors(runner, board, world.venues, changing, database, clock.now_ns)
        wiring.bookkeeper = doors.keeping_history(wiring.bookkeeper)
        wiring.on_step = doors.on_step
        await changing.keep_limits(wiring)
        signals = _log_signals(stack, data, wiring, board)
        if paper is not None:
            _trade_on_paper(paper, settings, runner, wiring)
        relay.connect(runner.emit)
        wiring.prepare = _preparation(stack, settings, world, runner, desk, clock, stop)
        await stack.enter_async_context(doors.open(data.control))
        await stack.enter_async_context(_write_status(data, board, latencies, signals))

        def started() -> None:
            board.state = "trading"
            log.info("engine.trading", run=config.run, mode=settings.mode)
            changing.begin(stage.settings.strategies, wanted.settings.strategies)
            spare_the_collector()

        await runner.run(stop, started=started)
        board.state = "ended"
        latencies.save()
        if custody is not None:
            await custody.drain(30.0)
        if paper is not None and settings.chain is not None and (vault := _vault(settings)) is not None:
            await asyncio.to_thread(book_paper_swaps, data, config, ledger, vault, ChainId(settings.chain.chain_id))
        result, summary = await final_result(
            data, config, runner, world.venues, desk, custody, ledger, _vault(settings)
        )
        await asyncio.to_thread(write_html, data, config, summary, result)
        write_json(data.result, result)


# --- parts


def _both(first: OnStep, second: OnStep) -> OnStep:
    def call(event: e.Event, commands: list[e.Command]) -> None:
        first(event, commands)
        second(event, commands)

    return call


def _open_books(settings: Settings, data: DataDir) -> tuple[Database, Ledger]:
    """The books, and beside them the API's tables, which hold the history of orders and trades."""
    database, ledger = open_ledger(settings, data)
    return open_tables(database), ledger


def _let_freeze(settings: Settings, data: DataDir, database: Database, clock: SystemClock, wiring: Wiring) -> None:
    if (freezer := Freezer.of(settings, data.root, database, clock.now_ns)) is not None:
        wiring.freeze = freezer.by_engine


def _trade_on_paper(paper: PaperTrading, settings: Settings, runner: LiveRunner, wiring: Wiring) -> None:
    kernel = runner.kernel
    paper.balances = _paper_balances(settings, kernel)
    paper.connect(Simulator(kernel.markets), runner.emit, kernel.portfolio.balances)
    wiring.on_step = _both(wiring.on_step, paper.on_step)


def _log_signals(stack: AsyncExitStack, data: DataDir, wiring: Wiring, board: StatusBoard) -> SignalLog:
    """Show and keep what strategies signal."""
    signals = SignalLog(data.signals)
    stack.callback(signals.close)

    def take(signal: Signal) -> None:
        board.take(signal)
        signals.write(signal)

    wiring.on_signal = take
    return signals


async def _connect(
    stack: AsyncExitStack, settings: Settings, data: DataDir, relay: Relay, paper: PaperTrading | None
) -> World:
    """Connect to chain and venues; both check that they are what the settings say."""
    client = book = network = None
    if settings.chain is not None:
        chain = settings.chain
        book = load_chain_book(data.root / chain.address_book, chain.chain_id, chain.pools)
        client = ChainClient(list(chain.endpoints), chain.chain_id)
        await client.connect()
        stack.push_async_callback(client.close)
        network = await identify(client)
    venues: dict[str, ExchangeVenue] = {}
    for part in settings.venues:
        venue = CcxtVenue(part, clock=SystemClock(), base_dir=data.root, state_dir=data.venues)
        await venue.start(relay.emit)
        stack.push_async_callback(venue.stop)
        refuse_contracts(venue.markets.values())
        if str(venue.id) in venues:
            raise InputError(f"two venues are called {venue.id}")
        venues[str(venue.id)] = PaperVenue(venue, paper) if paper is not None else venue
    return World(venues, client, book, network)


def refuse_contracts(markets: Iterable[Market]) -> None:
    """Stop a run that would count contracts as if they were coins: its books and limits are spot's.

    Raises:
        InputError: One is followed.
    """
    for market in markets:
        if not market.is_spot:
            raise InputError(
                f"{market.id} is a contract, which the engine does not trade yet",
                hint="name spot markets in [[venues]]; `capstan data record` follows contracts",
            )


def _configure(settings: Settings, engine: EngineSettings, data: DataDir, world: World) -> RunConfig:
    """The run of this data directory: a new one, or the one its journal began."""
    run, is_new = f"c{secrets.token_hex(4)}", True
    if data.journal.exists() and data.journal.stat().st_size:
        run, is_new = str(read_journal(data.journal)[0]["run"]), False
    return RunConfig(
        run=run,
        mode=settings.mode,
        settings=with_created(engine, data.strategies, is_new_run=is_new),
        instruments=tuple(i for v in world.venues.values() for i in v.instruments.values()),
        pools=tuple(world.book.pools.values()) if world.book else (),
        gas_asset=world.book.native if world.book else None,
    )


def _begun(data: DataDir, wanted: RunConfig) -> RunConfig:
    """How the run of this data directory began, where it may go on with what the settings say now.

    Raises:
        InputError: It began at another stage of the ramp.
    """
    if not data.journal.exists() or not data.journal.stat().st_size:
        return wanted
    try:
        started = RunConfig.from_header(read_journal(data.journal)[0])
        config = continued(started, wanted)
    except (InputError, ValidationError):
        return wanted  # Another release's: the journal refuses, and says in what it differs.
    if wanted.settings.ramp is not None and started.settings.risk != wanted.settings.risk:
        raise InputError(
            f"run {started.run} in {data.journal.name} has other limits than the stage of the ramp that holds now",
            hint=f"once it has ended cleanly, move it to journal-{started.run}.bin and start again",
        )
    return config


async def _open_desk(
    stack: AsyncExitStack,
    settings: Settings,
    data: DataDir,
    world: World,
    database: Database,
    ledger: Ledger,
    clock: SystemClock,
    relay: Relay,
    paper: PaperTrading | None,
) -> tuple[Custody | None, SwapDesk | None]:
    if paper is not None:
        return None, PaperDesk(paper)
    if settings.custody is None or settings.chain is None:
        return None, None
    if world.client is None or world.book is None or world.network is None:
        raise InvariantError("custody is configured, but the chain is not connected")
    part = settings.custody
    account = parse_address(part.account)
    ensure_keys_fit(world.network, (account,))
    policy = _policy(part, data.root, clock)
    rules = policy.current if isinstance(policy, BundlePolicy) else lambda: policy
    custody = Custody(
        database=database,
        ledger=ledger,
        policy=policy,
        screener=DenyListScreener(data.root / part.deny_list),
        signer=await reach_signer(data.root / part.signer_socket, account),
        chain=world.client,
        network=Network(world.network.value),
        now_ns=clock.now_ns,
        options=DeskOptions(confirmations=settings.chain.confirmations),
        approvals=DatabaseApprovals(database, rules=rules, now_ns=clock.now_ns, observe=tell_approval),
        known_since=AddressBook(database, AuditLog(database, clock.now_ns), clock.now_ns).first_seen_s,
        # The account may be the one that sweeps.
        booker=sweep_booker(part.deposits) if part.deposits is not None else None,
        private=await stack.enter_async_context(open_ways(settings.chain, world.client, data.root)),
        access=access_finder(world.client) if settings.chain.access_lists else None,
    )
    withdrawals = Beside(settings, data, (database, ledger), policy, custody)
    await custody.start(withdrawals.settled(relay.emit))
    stack.push_async_callback(custody.stop)
    await stack.enter_async_context(withdrawals.carrying())
    return custody, CustodyDesk(custody, world.client, world.book, account)


def _policy(part: CustodySettings, root: Path, clock: SystemClock) -> Judge:
    if part.policy is not None:
        return Policy(part.policy)
    admins, state = load_admins(root / part.policy_admins), root / "engine-policy.json"
    return BundlePolicy(root / part.policy_bundle, admins, state=state, now_ns=clock.now_ns)


async def reach_signer(socket: Path, account: Address) -> SignerClient:
    """Connect to the signer, which may be starting beside us.

    Raises:
        VenueUnavailable: It does not answer within `SIGNER_S`.
    """
    deadline = asyncio.get_running_loop().time() + SIGNER_S
    while True:
        try:
            return await SignerClient.connect(socket, account)
        except VenueUnavailable as exc:
            if asyncio.get_running_loop().time() > deadline:
                raise VenueUnavailable(
                    f"no signer answers at {socket}", hint="start it: capstan signer serve --data-dir …"
                ) from exc
            await asyncio.sleep(0.1)


def _approvals(settings: Settings, desk: SwapDesk | None) -> Any:
    if not isinstance(desk, CustodyDesk) or settings.custody is None:
        return None
    if settings.custody.policy is None:
        return None  # A signed policy's allowances are given on purpose, not at every start.
    allowances = {asset: limits.approval_raw for asset, limits in settings.custody.policy.assets.items()}
    return lambda: desk.approve_routers(allowances)


def _preparation(
    stack: AsyncExitStack,
    settings: Settings,
    world: World,
    runner: LiveRunner,
    desk: SwapDesk | None,
    clock: SystemClock,
    stop: asyncio.Event,
) -> Callable[[], Awaitable[None]]:
    """What a start does last: approvals, then the pools.

    In this order: approvals take a block or two, and pools read before them would reach the strategies as a backlog,
    oldest state first, to be traded on.
    """
    approve = _approvals(settings, desk)

    async def prepare() -> None:
        if approve is not None:
            await approve()
        if world.client is None or world.book is None or settings.chain is None:
            return
        pools, chain = list(world.book.pools.values()), settings.chain
        follower = PoolFollower(world.client, pools, clock.now_ns, poll_s=chain.poll_ms / 1000, ws_url=chain.ws_url)
        stack.push_async_callback(follower.stop)
        await follower.start(runner.emit)
        watch = asyncio.create_task(_stop_without_pools(follower, stop), name="engine.pools")
        stack.callback(watch.cancel)

    return prepare


async def _stop_without_pools(follower: PoolFollower, stop: asyncio.Event) -> None:
    """End the run cleanly when the pools can no longer be followed: what does not know refuses, and says so."""
    try:
        await follower.wait()
    except Exception as exc:  # Whatever it was, its own log has the details.
        log.critical("engine.pools_lost", error=str(exc))
        stop.set()


@asynccontextmanager
async def _write_status(
    data: DataDir, board: StatusBoard, latencies: LatencyFile, signals: SignalLog
) -> AsyncIterator[None]:
    async def write() -> None:
        while True:
            write_json(data.status, board.render())
            latencies.save()
            signals.flush()
            await asyncio.sleep(STATUS_S)

    task = asyncio.create_task(write(), name="engine.status")
    try:
        yield
    finally:
        task.cancel()
        write_json(data.status, board.render())


def _vault(settings: Settings) -> str | None:
    if settings.custody is None or settings.chain is None:
        return None
    return vault_of(settings.chain.chain_id, settings.custody.account)


def _paper_balances(settings: Settings, kernel: NativeKernel) -> Mapping[str, int]:
    """What a paper account starts with, in raw units.

    Raises:
        InputError: An asset that is not traded here.
    """
    raw = {}
    for asset_id, amount in settings.paper_balances.items():
        if not kernel.portfolio.knows(asset_id):
            raise InputError(f"paper_balances: {asset_id} is not among {', '.join(kernel.portfolio.assets())}")
        raw[asset_id] = parse_units(str(amount), kernel.portfolio.assets()[asset_id].decimals)
    return raw
