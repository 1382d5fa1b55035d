"""Deposits and sweeps as background work: bounded runs over what the database says is to be done."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping

import structlog

from custody.deposits.scanner import DepositScanner
from custody.deposits.settings import DepositSettings
from custody.deposits.sweeper import Sweeper, SweepReport
from custody.freeze import Freezes, chain_scope
from custody.transactions.desk import Custody
from custody.transactions.lifecycle import State
from domain import Address, ChainId, InputError, InvariantError

log = structlog.get_logger(__name__)

SOURCE = "deposits"
_POLL_S = 0.05


async def scan_deposits(scanner: DepositScanner, freezes: Freezes, chain_id: ChainId) -> int:
    """Read a chain up to its newest block; give the number of blocks read.

    Raises:
        VenueUnavailable: The node did not answer; try again.
        InvariantError: The chain went back on what was final. Everything on it is frozen: whatever was credited by it
            must not leave before somebody has looked.
    """
    try:
        return await scanner.catch_up()
    except InvariantError as exc:
        await asyncio.to_thread(freezes.impose, chain_scope(chain_id), source=SOURCE, reason=str(exc))
        raise


def accounts_to_open(sweeper: Sweeper, settings: DepositSettings) -> set[Address]:
    """The accounts whose desks a run of sweeps may need."""
    wanted = sweeper.store.senders()
    wanted |= {holding.address for holding in sweeper.store.holdings() if holding.kind == "key"}
    return wanted | {account for account in (settings.sweeping_account, settings.gas_tank) if account is not None}


class OpenDesks:
    """The desks of one run. An account that another process serves is only recorded for: that process carries on."""

    def __init__(self, desks: Mapping[Address, Custody]) -> None:
        self._desks = dict(desks)
        self._started: list[Custody] = []

    def desk(self, address: Address) -> Custody | None:
        return self._desks.get(address)

    async def start(self) -> None:
        for address, desk in self._desks.items():
            try:
                await desk.start(lambda _settled: None)
            except InputError:
                log.info("sweeps.served_elsewhere", account=address)
            else:
                self._started.append(desk)

    async def drain(self, timeout_s: float) -> None:
        """Let everything recorded come to an outcome, as far as the time goes."""
        for desk in self._started:
            if not await desk.drain(timeout_s):
                log.warning("sweeps.waiting", account=desk.address, in_flight=await desk.in_flight())

    async def stop(self) -> None:
        for desk in self._started:
            await desk.stop()
        self._started.clear()


async def sweep_deposits(
    sweeper: Sweeper,
    desks: OpenDesks,
    final_block: Callable[[], int],
    *,
    kinds: Collection[str] = ("forwarder", "key"),
    timeout_s: float = 30.0,
) -> SweepReport:
    """Carry on what is under way, sweep what is due, and close what has become final meanwhile.

    Args:
        sweeper: With `desks.desk` as its desks.
        desks: Not started yet.
        final_block: The newest final block's number, as the scanner knows it.
        kinds: See `Sweeper.run`.
        timeout_s: How long to wait for what was recorded; it goes on in the next run.

    Raises:
        VenueUnavailable: The node did not answer; what is done is done.
    """
    await desks.start()
    try:
        report = await sweeper.run(kinds)
        await desks.drain(timeout_s)
        await _until_final(sweeper, await asyncio.to_thread(final_block), timeout_s)
        closed = await sweeper.close_ended()
    finally:
        await desks.stop()
    return SweepReport(report.closed + closed, report.batches, report.transfers, report.grants)


async def _until_final(sweeper: Sweeper, final_block: int, timeout_s: float) -> None:
    """Wait until the desks have seen that what lies in final blocks is final."""

    def is_waiting() -> bool:
        return any(
            sweep.state is State.SAFE and sweep.block_number is not None and sweep.block_number <= final_block
            for sweep in sweeper.store.open()
        )

    try:
        async with asyncio.timeout(timeout_s):
            # The desk that sees it may be another process's.
            while await asyncio.to_thread(is_waiting):  # noqa: ASYNC110
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        log.info("sweeps.not_final_yet", final_block=final_block)
