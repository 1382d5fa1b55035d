"""A house that pays withdrawals out on the devnet: the desk of tests/custody/desk.py, and what stands before it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, Devnet, DevnetWorld
from custody import AllowedContract, DeskOptions, Ledger, open_books
from custody.audit import AuditLog
from custody.ledger import Entry, Posting, user_account
from custody.policy import Rulebook, rulebook_of
from custody.ports import ChainPort
from custody.withdrawals import (
    AddressBook,
    ChainDestination,
    WithdrawalDesk,
    WithdrawalOptions,
    WithdrawalRequest,
    WithdrawalStore,
)
from domain import Asset, ChainId, native_asset
from runtime.database import Database
from tests.custody.desk import NoScreening, TestDesk, assets, build_desk, policy_settings
from tests.databases import books_at

RECIPIENT = TEST_ADDRESSES[8]
CHAIN = ChainId(1337)
COIN = native_asset(CHAIN)
USER = "ulla"


def paying_policy(world: DevnetWorld, **changes: Any) -> Any:
    """The desk's policy, with transfers of coins and USDC to one recipient."""
    settings = policy_settings(world)
    usdc = AllowedContract(address=world.tokens["USDC"].address, methods=frozenset({"approve", "transfer"}))
    others = tuple(contract for contract in settings.contracts if contract.address != usdc.address)
    limits = settings.assets[assets(world)["USDC"].id]
    fields: dict[str, Any] = {
        "recipients": (RECIPIENT,),
        "contracts": (*others, usdc),
        "assets": {**settings.assets, COIN.id: limits},
    }
    return settings.model_copy(update=fields | changes)


def wary_policy(world: DevnetWorld) -> Rulebook:
    """Coins to the one recipient, once it has been known for an hour."""
    allow = {
        "id": "pay",
        "effect": "allow",
        "when": {"kind": "transfer", "recipient": RECIPIENT},
        "limits": {"amounts": [{"per_transaction": str(10**19)}]},
    }
    deny = {"id": "too-new", "effect": "deny", "when": {"kind": "transfer", "younger_than": "1h"}}
    return rulebook_of({"version": 1, "chains": {CHAIN: {}}, "rules": [allow, deny]})


def resting_policy(world: DevnetWorld) -> Rulebook:
    """Coins to the one recipient, each after an hour's rest."""
    return rulebook_of(
        {
            "version": 1,
            "chains": {CHAIN: {}},
            "rules": [
                {
                    "id": "pay",
                    "effect": "allow",
                    "when": {"kind": "transfer", "recipient": RECIPIENT},
                    "limits": {"amounts": [{"per_transaction": str(10**19)}]},
                },
                {"id": "rest", "effect": "delay", "delay": "1h", "when": {"kind": "transfer"}},
            ],
        }
    )


@dataclass
class House:
    """Everything that pays."""

    desk: TestDesk
    withdrawals: WithdrawalDesk
    addresses: AddressBook
    database: Database
    ledger: Ledger
    world: DevnetWorld

    async def start(self) -> None:
        await self.desk.custody.start(self._settled)
        await self.withdrawals.start()

    async def stop(self) -> None:
        await self.withdrawals.stop()
        await self.desk.custody.stop()

    def _settled(self, settled: Any) -> None:
        self.desk.settled.append(settled)
        self.withdrawals.notify(settled)

    @property
    def store(self) -> WithdrawalStore:
        return WithdrawalStore(self.database, self.ledger, AuditLog(self.database, time.time_ns), time.time_ns)

    @property
    def usdc(self) -> Asset:
        return assets(self.world)["USDC"]

    def grant(self, asset: Asset, raw: int, user: str = USER) -> None:
        """Owe a user something out of what the house opened with."""
        legs = (Posting(user_account(user), asset.id, -raw), Posting("equity/opening", asset.id, raw))
        self.ledger.post(Entry(f"grant/{user}/{asset.symbol}", "grant", legs))

    def owed(self, asset: Asset, part: Any = "available", user: str = USER) -> int:
        return -self.ledger.balance(user_account(user, part), asset.id)


def house_of(
    world: DevnetWorld,
    chain: ChainPort,
    folder: Path,
    *,
    now_ns: Callable[[], int] | None = None,
    checkpoint: Callable[[str], None] = lambda _edge: None,
    desk_checkpoint: Callable[[str], None] = lambda _edge: None,
    screener: Any = None,
    cool_down_s: int = 0,
    fee_raw: int = 0,
    venues: Any = None,
    **changes: Any,
) -> House:
    """Put a house together, or together again over what a former one left in `folder`."""
    now = now_ns or time.time_ns
    changes.setdefault("settings", paying_policy(world))
    changes.setdefault("options", DeskOptions(poll_s=0.005, settled_poll_s=0.05))
    url = changes.get("database_url")
    database = open_books(Database(url)) if url else books_at(folder / "books.db")
    addresses = AddressBook(database, AuditLog(database, now), now, cool_down_s=cool_down_s)
    desk = build_desk(
        world,
        chain,
        folder,
        now_ns=now,
        checkpoint=desk_checkpoint,
        known_since=addresses.first_seen_s,
        **changes,
    )
    audit = AuditLog(desk.database, now)
    withdrawals = WithdrawalDesk(
        database=desk.database,
        ledger=desk.ledger,
        audit=audit,
        screener=screener or NoScreening(),
        addresses=addresses,
        transactions={(CHAIN, "default"): desk.custody},
        venues=venues,
        fees=lambda _request: fee_raw,
        now_ns=now,
        options=WithdrawalOptions(look_s=0.02, retry_s=0.02),
        checkpoint=checkpoint,
    )
    return House(desk, withdrawals, addresses, desk.database, desk.ledger, world)


def ask(asset: Asset, raw: int, key: str = "k-1", **changes: Any) -> WithdrawalRequest:
    """A request of the user's to the one recipient."""
    fields: dict[str, Any] = {
        "client": "shop",
        "key": key,
        "user": USER,
        "asset": asset,
        "raw": raw,
        "destination": ChainDestination(CHAIN, RECIPIENT),
    }
    return WithdrawalRequest(**(fields | changes))


async def opened(devnet: Devnet, client: ChainClient, folder: Path, **changes: Any) -> House:
    """A house that runs on a funded vault and owes the user 5 coins and 1,000 USDC."""
    house = house_of(devnet.world, client, folder, **changes)
    await house.desk.open_ledger()
    house.grant(COIN, 5 * COIN.unit)
    house.grant(house.usdc, 1000 * house.usdc.unit)
    await house.start()
    return house
