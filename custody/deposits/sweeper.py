"""Brings final deposits to the vault: forwarders in batches, key addresses one by one with gas from the tank.

Every transaction goes through custody's door like any other: screened, judged, signed, booked. The sweeper decides and
records; it sends nothing itself, and knows nothing that is not in the database.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass

import structlog

from chain import CallReverted
from custody.deposits.contracts import COIN
from custody.deposits.ports import SweepDesk, SweptChain
from custody.deposits.settings import DepositAsset, DepositSettings
from custody.deposits.sweep_plans import Holding, moved, plan_batch, plan_grant, plan_transfer, token_of
from custody.deposits.sweep_store import OpenSweep, SweepStore
from custody.transactions.lifecycle import State
from custody.transactions.plans import decode_plan
from domain import Address, ChainId, VenueUnavailable
from domain.plans import TransactionPlan
from runtime.database import Database

log = structlog.get_logger(__name__)

Desks = Callable[[Address], SweepDesk | None]
Checkpoint = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What one run did."""

    closed: int
    batches: int
    transfers: int
    grants: int


class Sweeper:
    """Sweeps one chain's deposits.

    Args:
        database: Brought up to date by `custody.open_books`.
        chain: The chain's node.
        settings: Thresholds, contracts and accounts.
        desks: Gives the desk of an account, or None where its key is not at hand: its address waits.
        now_ns: UTC nanoseconds.
        checkpoint: Called around every durable change; for tests that kill the process there.
    """

    def __init__(
        self,
        *,
        database: Database,
        chain: SweptChain,
        settings: DepositSettings,
        desks: Desks,
        now_ns: Callable[[], int] = time.time_ns,
        checkpoint: Checkpoint = lambda _edge: None,
    ) -> None:
        self._chain = chain
        self._settings = settings
        self._desks = desks
        self._now_ns = now_ns
        self._checkpoint = checkpoint
        self.store = SweepStore(database, chain.chain_id, now_ns)

    async def run(self, kinds: Collection[str] = ("forwarder", "key")) -> SweepReport:
        """Close what has ended, then sweep what is due.

        Args:
            kinds: `forwarder` in batches; `key` one by one, with gas from the tank.

        Raises:
            VenueUnavailable: The node does not answer; what is done is done.
        """
        closed = await self.close_ended()
        await asyncio.to_thread(self.store.take_elsewhere)
        due = due_holdings(await asyncio.to_thread(self.store.holdings), self._settings, self._now_ns())
        due = [holding for holding in due if holding.kind in kinds]
        batches = await self._batches([holding for holding in due if holding.kind == "forwarder"])
        grants = transfers = 0
        for holding in (holding for holding in due if holding.kind == "key"):
            sent, given = await self._transfer(holding)
            transfers, grants = transfers + sent, grants + given
        return SweepReport(closed, batches, transfers, grants)

    # --- what has ended

    async def close_ended(self) -> int:
        """Note what became of sweeps whose transactions have come to their end; give how many."""
        closed = 0
        for sweep in await asyncio.to_thread(self.store.open):
            if sweep.state.is_final:
                await self._close_one(sweep)
                closed += 1
        return closed

    async def _close_one(self, sweep: OpenSweep) -> None:
        plan = decode_plan(sweep.plan)
        parts = []
        if sweep.state is State.FINAL:
            receipt = await self._chain.receipt(sweep.tx_hash)
            if receipt is None:
                raise VenueUnavailable(f"the node does not have the final transaction {sweep.tx_hash}")
            parts = moved(plan, receipt, self._settings)
        self._checkpoint("close.before")
        await asyncio.to_thread(self.store.close, sweep, parts)
        self._checkpoint("close.after")
        level = log.info if len(parts) == len(sweep.items) else log.error
        level("sweeps.ended", sweep=sweep.id, state=sweep.state, items=len(sweep.items), moved=len(parts))

    # --- forwarders

    async def _batches(self, due: list[Holding]) -> int:
        account, sweeper, vault = self._settings.sweeping_account, self._settings.sweeper, self._settings.vault
        if not due or account is None or sweeper is None or vault is None:
            return 0
        desk = self._desks(account)
        if desk is None:
            log.warning("sweeps.no_desk", account=account)
            return 0
        count, rest = 0, due
        while rest:
            size = min(len(rest), self._settings.sweep_items_max)
            sweep = f"sweep-{secrets.token_hex(8)}"
            plan = plan_batch(
                sweep, chain_id=self._chain.chain_id, sender=account, sweeper=sweeper, holdings=rest[:size]
            )
            while size > 1 and not await self._fits(plan):
                size //= 2
                plan = plan_batch(
                    sweep, chain_id=self._chain.chain_id, sender=account, sweeper=sweeper, holdings=rest[:size]
                )
            part, rest = rest[:size], rest[size:]
            count += await self._record(desk, sweep, vault, plan, part, [holding.raw for holding in part])
        return count

    async def _fits(self, plan: TransactionPlan) -> bool:
        """Whether the gas of a batch, with the margin that custody adds, stays within the limit."""
        gas = await self._chain.gas_estimate(plan.sender, plan.to, plan.data)
        return gas * 5 // 4 <= self._settings.sweep_gas_max

    # --- key addresses

    async def _transfer(self, holding: Holding) -> tuple[int, int]:
        """Sweep a key address, or give it what it lacks for that; gives sweeps and grants made."""
        vault = self._settings.vault
        desk = self._desks(holding.address) if vault is not None else None
        if vault is None or desk is None:
            log.warning("sweeps.no_desk", account=holding.address)
            return 0, 0
        sweep = f"sweep-{secrets.token_hex(8)}"
        chain_id: ChainId = self._chain.chain_id
        plan = plan_transfer(sweep, chain_id=chain_id, holding=holding, vault=vault, raw=holding.raw)
        is_coin = token_of(holding.asset) == COIN
        try:
            # Of coins, one wei stands for the amount: with all of it there would be nothing left for the gas.
            gas = await self._chain.gas_estimate(plan.sender, plan.to, plan.data, 1 if is_coin else 0)
        except CallReverted as exc:
            log.error("sweeps.would_revert", address=holding.address, asset=holding.asset, reason=exc.reason)
            return 0, 0
        cost = gas * 5 // 4 * int((await self._chain.fees()).max_fee)
        if is_coin:
            raw = holding.raw - cost
            if raw <= 0:
                return 0, 0
            plan = plan_transfer(sweep, chain_id=chain_id, holding=holding, vault=vault, raw=raw)
            return int(await self._record(desk, sweep, vault, plan, [holding], [raw])), 0
        lacking = cost - int(await self._chain.balance(holding.address))
        if lacking > 0:
            return 0, int(await self._grant(holding.address, lacking))
        return int(await self._record(desk, sweep, vault, plan, [holding], [holding.raw])), 0

    async def _grant(self, address: Address, raw: int) -> bool:
        tank = self._settings.gas_tank
        desk = self._desks(tank) if tank is not None else None
        if tank is None or desk is None:
            log.warning("sweeps.no_desk", account=tank or "gas tank")
            return False
        grant = f"gas-{secrets.token_hex(8)}"
        plan = plan_grant(grant, chain_id=self._chain.chain_id, tank=tank, target=address, raw=raw)
        self._checkpoint("grant.before")
        done = await asyncio.to_thread(self.store.grant, desk, grant, plan, self._settings.tank_per_hour_wei)
        self._checkpoint("grant.after")
        if not done:
            log.info("sweeps.gas_waits", address=address, raw=str(raw))
        return done

    async def _record(
        self,
        desk: SweepDesk,
        sweep: str,
        vault: Address,
        plan: TransactionPlan,
        parts: list[Holding],
        amounts: list[int],
    ) -> bool:
        self._checkpoint("record.before")
        done = await asyncio.to_thread(self.store.record, desk, sweep, vault, plan, parts, amounts)
        self._checkpoint("record.after")
        if done:
            log.info("sweeps.sent", sweep=sweep, items=len(parts))
        return done


def due_holdings(holdings: list[Holding], settings: DepositSettings, now_ns: int) -> list[Holding]:
    """Pick what is worth a sweep: enough of it, or old enough."""
    return [
        holding
        for holding in holdings
        if holding.raw >= settings.assets.get(holding.asset, DepositAsset()).sweep_raw
        or now_ns - holding.oldest_ns >= settings.sweep_age_s * 10**9
    ]
