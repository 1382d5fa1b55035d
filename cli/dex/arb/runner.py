"""Finds cycles block by block, has custody carry them out, and writes down what was predicted and what came of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import structlog

from chain import FeeQuote
from chain.subscriptions import PendingSeen, StreamEvent, Subscriptions
from cli.dex.arb.place import ArbPlace
from cli.dex.arb.words import path_words
from cli.dex.desk import DexDesk
from dex.arbitrage.journal import Ended, Found, OpportunityLog
from dex.arbitrage.pending import comes_before, read_waiting, state_behind
from dex.arbitrage.planning import Bounds, plan_arbitrage
from dex.arbitrage.searcher import Costs, Opportunity, Searcher
from dex.replicas.decoding import LogRoutes
from dex.replicas.follower import PoolFollower
from domain import Address, Asset, InvariantError, PlatformError, Refused, VenueUnavailable
from domain.events import BlockSeen, Event, SwapSettled
from domain.plans import BroadcastKind, TransactionPlan

log = structlog.get_logger(__name__)

STRATEGY: Final = "arbitrage"
_REFRESH_S: Final = 5.0
"""How old what is known of lenders and tips may be."""
_OUTCOME_S: Final = 30.0
_WAITING_MAX: Final = 64
"""How many waiting transactions are looked at: the newest."""
_MARKET_MOVED: Final = ("simulation", "deadline")
"""Refusals that say nothing worse than that somebody was faster."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """How picky a run is."""

    executor: Address
    start: Sequence[Asset]
    legs_max: int = 3
    tolerance_bps: int = 100
    """How much less than predicted a profit may be; below that the transaction reverts."""
    margin_wei: int = 0
    """What must be left after gas."""
    tip_bps: int = 0
    broadcast: BroadcastKind = "public"
    blocks_ahead: int = 25
    """A transaction that is not mined within so many blocks never is."""
    deadline_s: int = 60
    dry_run: bool = False
    follows_waiting: bool = False
    """Whether waiting transactions are followed within their block; needs the node's WebSocket."""


class ArbRun:
    """One run on an open desk.

    Args:
        desk: Signs and keeps books.
        place: The chain's pools and contracts.
        options: How picky it is.
        now_ns: UTC nanoseconds.
        journal: Where findings and outcomes are written.
        name: Part of each intent's id: no two runs share one.
        ws_url: The node's WebSocket, to hear of blocks at once.
        told: Called with what is written down.
    """

    def __init__(
        self,
        desk: DexDesk,
        place: ArbPlace,
        options: RunOptions,
        now_ns: Callable[[], int],
        journal: OpportunityLog,
        name: str,
        *,
        ws_url: str = "",
        told: Callable[[Found | Ended], None] = lambda _entry: None,
    ) -> None:
        self.blocks = 0
        self.ids: list[str] = []
        """Of what this run found, in order."""
        self.reactions_ns: list[int] = []
        """From hearing of a block to handing a plan to custody."""
        self._desk, self._place, self._options = desk, place, options
        self._now_ns, self._journal, self._name, self._told = now_ns, journal, name, told
        self._follower = PoolFollower(desk.client, place.pools, now_ns, ws_url=ws_url)
        self._searcher = place.searcher(self._follower.replicas, options.start, legs_max=options.legs_max)
        self._seen: BlockSeen | None = None
        self._heard = asyncio.Event()
        self._fees: FeeQuote | None = None
        self._busy: dict[str, frozenset[str]] = {}
        self._free_from: dict[str, int] = {}
        """Intents that have ended: their pools are free once this block is in the replicas."""
        self._failure: PlatformError | None = None
        self._stream = Subscriptions(ws_url, desk.client, pending=True) if options.follows_waiting else None
        self._routes = LogRoutes(place.pools)
        self._announced: deque[str] = deque(maxlen=_WAITING_MAX)
        self._waits = asyncio.Event()

    @property
    def searcher(self) -> Searcher:
        return self._searcher

    @property
    def is_following(self) -> asyncio.Event:
        """Set once waiting transactions are heard of.

        Raises:
            InvariantError: They are not asked for.
        """
        if self._stream is None:
            raise InvariantError("this run does not follow waiting transactions")
        return self._stream.connected

    async def run(self, stop: asyncio.Event) -> None:
        """Search until told to stop, then wait for what is under way.

        Raises:
            VenueUnavailable: No node answers.
            Refused: Custody or its policy refused something for another reason than that the market had moved.
        """
        await self._refresh()
        await self._follower.start(self._hear)
        try:
            async with asyncio.TaskGroup() as carrying:
                watched = [asyncio.ensure_future(self._follower.wait()), asyncio.ensure_future(self._refresh_often())]
                if self._stream is not None:
                    watched.append(asyncio.ensure_future(self._stream.run(self._hear_waiting)))
                    watched.append(asyncio.ensure_future(self._follow_waiting(carrying)))
                try:
                    while True:  # What stands when it begins is looked at, however short the run.
                        if self._heard.is_set():
                            self._heard.clear()
                            self._act(carrying)
                        if stop.is_set() or self._failure is not None:
                            break
                        await self._wait(stop, *watched)
                finally:
                    for task in watched:
                        task.cancel()
        finally:
            await self._follower.stop()
        if self._failure is not None:
            raise self._failure

    def _hear(self, event: Event) -> None:
        if isinstance(event, BlockSeen):
            self._seen = event
            self.blocks += 1
            self._heard.set()
            self._waits.set()
        elif (pool := getattr(event, "pool", "")) in self._searcher.pools:
            self._searcher.note(pool)

    async def _wait(self, stop: asyncio.Event, *watched: asyncio.Future[None]) -> None:
        """Wait for a block, the end, or one of the tasks that must not end."""
        waits: list[asyncio.Future[Any]] = [asyncio.ensure_future(event.wait()) for event in (self._heard, stop)]
        try:
            await asyncio.wait([*waits, *watched], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        for task in watched:
            if task.done():
                task.result()
                raise InvariantError("the pools are not followed any more")

    # --- one block

    def _act(self, carrying: asyncio.TaskGroup) -> None:
        seen = self._seen
        if seen is None:
            return
        for name, block in list(self._free_from.items()):
            if seen.number >= block:
                del self._free_from[name], self._busy[name]
        for opportunity in self._searcher.find(self._costs(seen), self._under_way()):
            self.reactions_ns.append(self._now_ns() - seen.time_ns)
            self._begin(carrying, opportunity, seen)

    def _begin(self, carrying: asyncio.TaskGroup, opportunity: Opportunity, seen: BlockSeen, behind: str = "") -> None:
        """Write an opportunity down and have it carried out."""
        entry = self._entry(opportunity, seen, behind)
        self._write(entry)
        self.ids.append(entry.id)
        if not self._options.dry_run:
            self._busy[entry.id] = opportunity.pools
            carrying.create_task(self._carry_out(opportunity, entry, seen), name=f"arb.{entry.id}")

    async def _carry_out(self, opportunity: Opportunity, entry: Found, seen: BlockSeen) -> None:
        """Have one cycle carried out and write down what came of it. Its pools are busy until that is known."""
        settled: SwapSettled | None = None
        try:
            await self._desk.custody.submit(self._plan(opportunity, entry.id, seen), initiator=STRATEGY)
            settled = await self._desk.outcome(entry.id, timeout_s=_OUTCOME_S)
            self._write(_ended(settled))
            rule = settled.reason.partition(": ")[0] if settled.status == "refused" else ""
            if rule in _MARKET_MOVED:
                self._searcher.forget(opportunity.optimum)
            elif rule:
                self._failure = Refused(f"{entry.id}: {settled.reason.partition(': ')[2] or rule}", rule=rule)
        except VenueUnavailable as exc:
            self._write(Ended(id=entry.id, time_ns=self._now_ns(), status="unknown", reason=str(exc)))
        except PlatformError as exc:
            self._write(Ended(id=entry.id, time_ns=self._now_ns(), status="refused", reason=str(exc)))
            self._failure = exc
        # Before the block it was mined in is here, the replicas would show the same opportunity again.
        self._free_from[entry.id] = (settled.block_number if settled is not None else None) or seen.number
        self._follower.wake()
        self._heard.set()

    def _plan(self, opportunity: Opportunity, intent_id: str, seen: BlockSeen) -> TransactionPlan:
        options = self._options
        return plan_arbitrage(
            intent_id=intent_id,
            strategy=STRATEGY,
            chain_id=self._desk.chain_id,
            executor=options.executor,
            sender=self._desk.account,
            optimum=opportunity.optimum,
            steps=opportunity.steps,
            loan=opportunity.loan,
            token=opportunity.token,
            bounds=Bounds(
                tolerance_bps=options.tolerance_bps,
                deadline_s=seen.block_time_s + options.deadline_s,
                block_max=seen.number + options.blocks_ahead,
                tip_bps=options.tip_bps,
                broadcast=options.broadcast,
            ),
        )

    def _entry(self, opportunity: Opportunity, seen: BlockSeen, behind: str) -> Found:
        return Found(
            id=f"arb-{self._name}-{len(self.ids) + 1}",
            time_ns=self._now_ns(),
            block_number=seen.number,
            token=opportunity.token.id,
            symbol=opportunity.token.symbol,
            decimals=opportunity.token.decimals,
            pools=tuple(leg.pool for leg in opportunity.optimum.cycle.legs),
            path=path_words(opportunity, self._searcher),
            funding=opportunity.loan.funding.name.lower().replace("_", "-"),
            amount_in=str(opportunity.optimum.amount_in),
            profit=str(opportunity.profit),
            gas_units=opportunity.gas_units,
            gas_cost=str(opportunity.gas_cost),
            token_wei=float(opportunity.token_wei),
            behind=behind,
        )

    def _write(self, entry: Found | Ended) -> None:
        self._journal.append(entry)
        self._told(entry)

    def _costs(self, seen: BlockSeen) -> Costs:
        priority = self._fees.priority if self._fees is not None else 0
        return Costs(seen.base_fee_wei + priority, self._options.margin_wei)

    def _under_way(self) -> frozenset[str]:
        return frozenset[str]().union(*self._busy.values())

    # --- behind transactions that wait

    async def _hear_waiting(self, event: StreamEvent) -> None:
        if isinstance(event, PendingSeen):
            self._announced.append(event.tx_hash)
            self._waits.set()

    async def _follow_waiting(self, carrying: asyncio.TaskGroup) -> None:
        """Whenever something new waits, search on the state that all that comes before us will leave."""
        while True:
            await self._waits.wait()
            self._waits.clear()
            try:
                await self._look_behind(carrying)
            except PlatformError as exc:  # The next transaction or block is another chance.
                log.info("arb.not_followed", reason=str(exc))

    async def _look_behind(self, carrying: asyncio.TaskGroup) -> None:
        seen, client, fees = self._seen, self._desk.client, self._fees
        if seen is None or fees is None or not self._announced:
            return
        found = await read_waiting(client, list(self._announced), seen.base_fee_wei)
        still = {waiting.hash for waiting in found}
        for tx_hash in [tx_hash for tx_hash in self._announced if tx_hash not in still]:
            self._announced.remove(tx_hash)
        before_us = [one for one in found if comes_before(one, fees) and one.sender != self._desk.account]
        before_us.sort(key=lambda one: -one.priority_wei)
        if not before_us:
            return
        state = await state_behind(client, before_us, self._routes, self._follower.replicas, seen.number)
        if not state or self._seen is not seen:
            return
        for opportunity in self._searcher.behind(state, self._costs(seen), self._under_way()):
            self._begin(carrying, opportunity, seen, behind=before_us[-1].hash)

    # --- what changes slowly

    async def _refresh_often(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_S)
            try:
                await self._refresh()
            except VenueUnavailable as exc:
                log.warning("arb.not_refreshed", error=str(exc))

    async def _refresh(self) -> None:
        client, options = self._desk.client, self._options
        self._fees = await client.fees()
        await self._place.refresh_lenders(client, self._searcher, options.executor, options.start)


def _ended(settled: SwapSettled) -> Ended:
    return Ended(
        id=settled.intent_id,
        time_ns=settled.time_ns,
        status=settled.status,
        profit=settled.amount_out,
        gas_cost_wei=settled.gas_cost_wei,
        tx_hash=settled.tx_hash or "",
        block_number=settled.block_number,
        reason=settled.reason,
    )
