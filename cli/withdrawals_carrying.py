"""Carrying withdrawals in the process that holds the vault's key: `capstan withdrawals serve`, or the engine's."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cli.data_dir import DataDir
from cli.settings import Settings
from cli.withdrawals_desk import CONTROL, open_counter
from custody import Custody, Ledger
from custody.policy.judge import Judge
from custody.withdrawals import WithdrawalDesk
from custody.withdrawals.requests import is_withdrawal_id
from domain import InputError
from domain.events import SwapSettled
from runtime.control import serve_control
from runtime.database import Database


@asynccontextmanager
async def carrying(root: Path, custody: Custody, desk: WithdrawalDesk) -> AsyncIterator[None]:
    """Carry withdrawals, and look at once when somebody says `wake` on the installation's socket for it."""

    async def answer(request: dict[str, Any]) -> dict[str, Any]:
        if request.get("command") != "wake":
            raise InputError("the only command is `wake`")
        custody.wake()
        desk.notify()
        return {}

    await desk.start()
    try:
        async with serve_control(root / CONTROL, answer):
            yield
    finally:
        await desk.stop()


class Beside:
    """The withdrawals of an engine: its custody holds the account that pays, and there cannot be another holder."""

    def __init__(
        self, settings: Settings, data: DataDir, books: tuple[Database, Ledger], policy: Judge, custody: Custody
    ) -> None:
        self._root = data.root
        self._custody = custody
        self._desk = open_counter(settings, data, books=books, policy=policy, desk_of=lambda *_: custody).desk

    def settled(self, emit: Callable[[SwapSettled], None]) -> Callable[[SwapSettled], None]:
        """Who is told of custody's outcomes: the desk of withdrawals, the engine of everything else."""

        def tell(outcome: SwapSettled) -> None:
            if is_withdrawal_id(outcome.intent_id):
                self._desk.notify()
            else:
                emit(outcome)

        return tell

    @asynccontextmanager
    async def carrying(self) -> AsyncIterator[None]:
        """Carry them for as long as the block runs, custody being started."""
        async with carrying(self._root, self._custody, self._desk):
            yield
