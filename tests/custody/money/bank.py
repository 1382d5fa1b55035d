"""A whole bank on the devnet: people pay in, deposits are swept, people are paid out; and what must be true of it.

Everything is put together again from one database whenever it works, so that every piece of work begins with a restart.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, Devnet
from custody import Custody
from custody.audit import AuditLog
from custody.deposits.settings import DepositSettings
from custody.deposits.sweeper import Sweeper
from custody.freeze import ALL, Freezes
from custody.withdrawals import State, Withdrawal
from domain import Address, Asset, InputError, Refused
from tests.custody.deposits.lab import PAYERS, SWEEPING, VAULT, Lab
from tests.custody.reindex import Index, reindex
from tests.custody.withdrawals.house import COIN, RECIPIENT, House, ask, house_of

TANK: Final = TEST_ADDRESSES[9]
"""The lab's own tank is the address that withdrawals go to here."""
FORK_DEPTH_MAX: Final = 60
"""Anvil's finalized block is 64 behind."""
PLACES: Final = (VAULT, SWEEPING, TANK)
_KINDS: Final[Mapping[str, Any]] = {"ann": "forwarder", "bea": "key", "cyd": "forwarder"}
USERS: Final = tuple(_KINDS)


@dataclass
class Bank:
    """Scanner, sweeper, withdrawal desk and transaction desks over one database; a hand on the chain."""

    lab: Lab
    folder: Path
    start: int
    wanted: dict[str, tuple[str, int]] = field(default_factory=dict)
    """Withdrawal id → symbol and raw amount, of all that were taken; no two amounts are equal."""
    marks: list[tuple[str, int, int]] = field(default_factory=list)
    """Snapshot, block number, and how many payments had been made."""
    paid: list[tuple[str, str]] = field(default_factory=list)
    """Payer and raw transaction of everything paid in on the present branch."""

    @classmethod
    async def open(cls, devnet: Devnet, client: ChainClient, folder: Path) -> Bank:
        await devnet.fund(VAULT, tokens={"USDC": 10**12})
        lab = await Lab.open(devnet, client, f"sqlite:///{folder / 'books.db'}", gas_tank=TANK)
        for user, kind in _KINDS.items():
            lab.addresses.assign(user, kind)
        house = house_of(devnet.world, client, folder)
        await house.desk.open_ledger()
        house.desk.database.dispose()
        bank = cls(lab, folder, int((await client.head()).number))
        for user in USERS:
            for symbol, raw in (("USDC", 5 * 10**8), ("ETH", 10**18)):
                await bank.pay_in(user, symbol, raw, PAYERS[0])
        await lab.mine(66)
        await bank.scan()
        bank.paid.clear()
        await bank.mark()
        return bank

    # --- people and the chain

    async def pay_in(self, user: str, symbol: str, raw: int, payer: str) -> None:
        tx_hash = await self.lab.pay(self.lab.addresses.of_user(user)[0].address, symbol, raw, payer=payer)
        self.paid.append((payer, await self.lab.raw(tx_hash)))

    async def mark(self) -> None:
        number = int((await self.lab.client.head()).number)
        self.marks.append((await self.lab.mark(), number, len(self.paid)))

    async def fork(self, choice: int, kept_of: Mapping[str, int], longer: int) -> bool:
        """Replace everything after a mark; of each payer's payments since, the first few are mined again."""
        head = int((await self.lab.client.head()).number)
        near = [at for at, (_, number, _) in enumerate(self.marks) if head - number <= FORK_DEPTH_MAX]
        if not near:
            return False
        at = near[choice % len(near)]
        mark, number, count = self.marks[at]
        lost, self.paid, self.marks = self.paid[count:], self.paid[:count], self.marks[:at]
        kept = []
        for payer in PAYERS:
            kept += [row for row in lost if row[0] == payer][: kept_of.get(payer, 0)]
        await self.lab.fork(mark, max(1, head - number + longer), *(raw for _, raw in kept))
        self.paid += kept
        return True

    # --- the house

    async def scan(self) -> None:
        self.lab.scanner = self.lab.another_scanner()
        await self.lab.scanner.catch_up()

    async def sweep(self) -> None:
        """Sweep what is final, and carry the transactions until they are booked or wait for the chain."""
        desks: dict[str, Custody] = {}

        def desk(address: Address) -> Custody:
            if address not in desks:
                desks[address] = self.lab.desk(address, self.folder)
            return desks[address]

        await self._sweeper(desk).run()
        for address in (SWEEPING, TANK, *(row.address for row in self.lab.addresses.of_user("bea"))):
            desk(address)  # what a former run left is carried on, whoever asks
        await self._carry(list(desks.values()))

    def _sweeper(self, desks: Any) -> Sweeper:
        settings: DepositSettings = self.lab.settings
        return Sweeper(
            database=self.lab.database, chain=self.lab.client, settings=settings, desks=desks, now_ns=self.lab.now_ns
        )

    async def _carry(self, desks: list[Custody]) -> None:
        for desk in desks:
            await desk.start(lambda _settled: None)
        for desk in desks:
            await desk.drain(2.0)
            await desk.stop()

    def house(self) -> House:
        return house_of(self.lab.devnet.world, self.lab.client, self.folder)

    async def work(self, *, turns: int, is_cut: bool) -> None:
        """Pay out for a while. `is_cut` ends it in the middle of whatever it does; otherwise until nothing moves."""
        house = self.house()
        await house.start()
        before, calm = self._states(house), 0
        for _ in range(turns if is_cut else 150):
            await asyncio.sleep(0.004 if is_cut else 0.02)
            now = self._states(house)
            calm, before = (calm + 1 if now == before else 0), now
            if not is_cut and calm >= 6:
                break
        if is_cut:
            for task in (house.withdrawals._task, house.desk.custody._task):
                if task is not None:
                    task.cancel()
            for stop in (house.withdrawals.stop, house.desk.custody.stop):
                with suppress(asyncio.CancelledError):
                    await stop()
        else:
            await house.stop()
        house.desk.database.dispose()

    def _states(self, house: House) -> list[tuple[str, str]]:
        custody = house.desk.custody
        return [
            (w.state.value, str(custody.state(w.id)))  # type: ignore[arg-type]
            for w in house.store.recent()
        ]

    async def ask(self, user: str, symbol: str, raw: int, key: str) -> Withdrawal | None:
        """Ask for a withdrawal; None when it is not to be had."""
        house = self.house()
        try:
            asked = ask(self.asset(symbol, house), raw, key, user=user)
            withdrawal = await house.withdrawals.request(asked)
        except (Refused, InputError):
            return None
        finally:
            house.desk.database.dispose()
        assert self.wanted.setdefault(withdrawal.id, (symbol, raw)) == (symbol, raw)
        return withdrawal

    async def tell(self, word: str, withdrawal_id: str) -> None:
        """Cancel, hold, release or speed up; that it may be too late is no error here."""
        house = self.house()
        try:
            if word == "cancel":
                await house.withdrawals.cancel(withdrawal_id, by="operator")
            elif word == "hold":
                await house.withdrawals.hold(withdrawal_id, by="operator", reason="looks odd")
            elif word == "release":
                await house.withdrawals.release(withdrawal_id, by="operator")
            else:
                await house.desk.custody.speed_up(withdrawal_id)  # type: ignore[arg-type]
        except (InputError, Refused):
            return
        finally:
            house.desk.database.dispose()

    def freezes(self) -> Freezes:
        return Freezes(self.lab.database, AuditLog(self.lab.database, self.lab.now_ns), self.lab.now_ns)

    def freeze(self) -> None:
        self.freezes().impose(ALL, source="operator:test", reason="a rehearsal")

    def unfreeze(self) -> None:
        freezes = self.freezes()
        for found in freezes.standing():
            for operator in ("first", "second"):
                freezes.lift(found.id, operator=operator, reason="over")

    @staticmethod
    def asset(symbol: str, house: House) -> Asset:
        return COIN if symbol == "ETH" else house.usdc

    def withdrawals(self) -> list[Withdrawal]:
        house = self.house()
        try:
            return house.store.recent(limit=10_000)
        finally:
            house.desk.database.dispose()

    # --- what must be true

    def check_books(self) -> None:
        """At any moment: entries balance, and no user has less than nothing in any part."""
        assert self.lab.ledger.verify().is_sound
        assert not any(self.lab.ledger.trial_balance().values())
        for user in USERS:
            for symbol in ("USDC", "ETH"):
                for part in ("pending", "available", "held"):
                    assert self.lab.owed(user, part, symbol) >= 0, (user, part, symbol)

    async def finish(self) -> None:
        """Let everything that was begun come to its end."""
        self.unfreeze()
        for withdrawal in self.withdrawals():
            if withdrawal.state is State.HELD:
                await self.tell("release", withdrawal.id)
        for _ in range(12):
            await self.scan()
            await self.sweep()
            await self.work(turns=0, is_cut=False)
            await self.lab.mine(70)
            if all(w.state.has_ended for w in self.withdrawals()) and not self._open_sweeps():
                break
        await self.scan()

    def _open_sweeps(self) -> bool:
        return bool(self._sweeper(lambda _address: None).store.open())

    async def check_end(self) -> None:
        """After `finish`: books equal the chain to the unit, and whoever was to be paid was paid once."""
        self.check_books()
        withdrawals = self.withdrawals()
        assert {w.id for w in withdrawals} == set(self.wanted)
        assert all(w.state.has_ended for w in withdrawals), [(w.id, w.state, w.reason) for w in withdrawals]
        index = await reindex(self.lab.client, VAULT, after=self.start)
        paid = Counter({self.wanted[w.id]: 1 for w in withdrawals if w.state is State.BOOKED})
        assert await self._payments() == paid
        assert self.lab.ledger.balances("inflight") == {}
        assert self.lab.ledger.balances("suspense") == {}
        for user in USERS:
            for symbol in ("USDC", "ETH"):
                assert self.lab.owed(user, "held", symbol) == self.lab.owed(user, "pending", symbol) == 0
        await self.lab.check()
        for place in PLACES:  # what they held before is in the books since their desks first began
            for symbol in ("USDC", "ETH"):
                booked = self.lab.ledger.balance(f"chain/1337/{place}", self.lab.asset(symbol))
                assert await self.lab.chain_balance(place, symbol) == booked, (place, symbol)
        await self._check_nonces(index)

    async def _payments(self) -> Counter[tuple[str, int]]:
        """Every payment out of the vault to the one recipient, found by reading the chain."""
        client, found = self.lab.client, Counter[tuple[str, int]]()
        usdc = self.lab.devnet.world.tokens["USDC"].address.lower()
        topics = [None, "0x" + VAULT[2:].lower().rjust(64, "0"), "0x" + RECIPIENT[2:].lower().rjust(64, "0")]
        asked = {"fromBlock": hex(self.start + 1), "toBlock": "latest", "address": usdc, "topics": topics}
        for log in await client.rpc.request("eth_getLogs", asked):
            found["USDC", int(log["data"], 16)] += 1
        head = int((await client.head()).number)
        for number in range(self.start + 1, head + 1):
            block = await client.rpc.request("eth_getBlockByNumber", hex(number), True)
            for tx in block["transactions"]:
                if tx["from"].lower() == VAULT.lower() and (tx["to"] or "").lower() == RECIPIENT.lower():
                    found["ETH", int(tx["value"], 16)] += 1
        return found

    async def _check_nonces(self, index: Index) -> None:
        assert all(len(hashes) == 1 for hashes in index.nonces.values())
        if index.nonces:
            assert sorted(index.nonces) == list(range(min(index.nonces), await self.lab.client.nonce(VAULT)))
