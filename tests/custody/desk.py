"""A whole desk on the devnet: database, policy, signer with journal and guard, and plans to give it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import ChainClient
from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC, DevnetWorld
from custody import (
    AllowedContract,
    AssetLimits,
    Books,
    Custody,
    DeskOptions,
    Ledger,
    Policy,
    PolicyGuard,
    PolicySettings,
    open_books,
    postings,
)
from custody.ports import ChainPort
from dex import PoolSpec, devnet_pools, devnet_routers, plan_approval, plan_swap
from domain import Address, Asset, ChainId, native_asset, token_asset
from domain.events import SwapSettled
from domain.plans import TransactionPlan
from runtime import Secret
from runtime.database import Database
from tests.databases import books_at
from wallets import Evidence, HdWallet, KeySigner, Network, SignedTransaction, SigningJournal, TransactionToSign

VAULT = TEST_ADDRESSES[5]
FAR = 2**40
"""A deadline no test reaches; policies here allow it."""


class NoScreening:
    """The screener of tests that are about something else."""

    async def screen(self, addresses: object) -> None:
        return None


class JournalledSigner:
    """What the signer process does, in this process: guard and journal before the key."""

    def __init__(self, key: KeySigner, journal: SigningJournal, guard: PolicyGuard) -> None:
        self._key, self._journal, self._guard = key, journal, guard
        self.asked = 0

    @property
    def address(self) -> Address:
        return self._key.address

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        self.asked += 1
        self._journal.record(
            self.address,
            tx,
            lambda spent: self._guard.check_transaction(
                self.address, tx, network=network, spent=spent, evidence=evidence
            ),
        )
        return await self._key.sign_transaction(tx, network=network)

    async def sign_message(self, message: Any, *, network: Network, evidence: Evidence | None = None) -> Any:
        raise NotImplementedError

    sign_typed_data = sign_message


def assets(world: DevnetWorld) -> dict[str, Asset]:
    """The devnet's tokens by symbol."""
    chain = ChainId(world.chain_id)
    return {symbol: token_asset(chain, t.address, symbol, t.decimals) for symbol, t in world.tokens.items()}


def policy_settings(world: DevnetWorld, **changes: Any) -> PolicySettings:
    """What the demo allows: three routers, approvals for them, generous amounts."""
    routers = [world.contracts[name] for name in ("UniswapV2Router02", "SwapRouter", "SwapRouter02")]
    methods = frozenset({"swapExactTokensForTokens", "exactInputSingle"})
    limits = AssetLimits(per_transaction_raw=10**24, per_day_raw=10**25, approval_raw=10**26)
    fields: dict[str, Any] = {
        "chain_id": world.chain_id,
        "assets": {asset.id: limits for asset in assets(world).values()},
        "contracts": (
            *(AllowedContract(address=router, methods=methods) for router in routers),
            *(AllowedContract(address=t.address, methods=frozenset({"approve"})) for t in world.tokens.values()),
        ),
        "spenders": tuple(routers),
        "deadline_s_max": 2 * FAR,
    }
    return PolicySettings.model_validate(fields | changes)


@dataclass
class TestDesk:
    """A desk and what stands around it."""

    __test__ = False

    custody: Custody
    ledger: Ledger
    signer: JournalledSigner
    world: DevnetWorld
    settled: list[SwapSettled]
    database: Database

    async def start(self) -> None:
        await self.custody.start(self.settled.append)

    async def open_ledger(self) -> None:
        """Take the account's present balances over, before anything is submitted."""
        account = postings.vault_account(ChainId(self.world.chain_id), VAULT)
        await Books(self.ledger, account).open_balances("chain", await self.custody.balances())

    async def differences(self) -> dict[str, tuple[int, int]]:
        """Where the ledger and the chain disagree; empty is what must hold."""
        return await self.custody.reconcile(await self.custody.balances())

    def outcome(self, intent_id: str) -> SwapSettled:
        """The one outcome told for an intent."""
        told = [settled for settled in self.settled if settled.intent_id == intent_id]
        assert len(told) == 1, told
        return told[0]


def build_desk(
    world: DevnetWorld,
    chain: ChainPort,
    folder: Path,
    *,
    database_url: str = "",
    settings: PolicySettings | None = None,
    signer_settings: PolicySettings | None = None,
    options: DeskOptions | None = None,
    screener: Any = None,
    now_ns: Callable[[], int] | None = None,
    signer: Any = None,
    policy: Policy | None = None,
    checkpoint: Callable[[str], None] = lambda _edge: None,
    **more: Any,
) -> TestDesk:
    """Put a desk together, or put it together again over what a former one left in `folder`."""
    import time

    now = now_ns or time.time_ns
    database = open_books(Database(database_url)) if database_url else books_at(folder / "books.db")
    ledger = Ledger(database, now)
    settings = settings or policy_settings(world)
    journalled = JournalledSigner(
        HdWallet(Secret(TEST_MNEMONIC)).signer(5),
        SigningJournal(folder / "journal.db", now_ns=now),
        PolicyGuard(Policy(signer_settings or settings)),
    )
    custody = Custody(
        database=database,
        ledger=ledger,
        policy=policy or Policy(settings),
        screener=screener or NoScreening(),
        signer=signer or journalled,
        chain=chain,
        network=Network.DEVNET,
        now_ns=now,
        options=options or DeskOptions(poll_s=0.005),
        checkpoint=checkpoint,
        **more,
    )
    return TestDesk(custody, ledger, journalled, world, [], database)


def pool(world: DevnetWorld, kind: str = "v3", fee: int = 500) -> PoolSpec:
    """The devnet's WETH/USDC pool of a kind."""
    address = world.pool(kind, "WETH", "USDC", fee).address
    return next(spec for spec in devnet_pools(world).values() if spec.address == address)


def swap(
    world: DevnetWorld,
    intent_id: str,
    *,
    kind: str = "v3",
    fee: int = 500,
    sell: str = "WETH",
    amount: int = 10**17,
    min_out: int = 1,
    deadline_s: int = FAR,
) -> TransactionPlan:
    """Plan a swap on the devnet as `dex` does."""
    return plan_swap(
        intent_id=intent_id,
        strategy="arb",
        pool=pool(world, kind, fee),
        routers=devnet_routers(world),
        sender=VAULT,
        token_in=assets(world)[sell].id,
        amount_in=amount,
        min_out=min_out,
        deadline_s=deadline_s,
    )


def approval(world: DevnetWorld, symbol: str, kind: str, *, amount: int = 10**24) -> TransactionPlan:
    """Plan an allowance for a router."""
    return plan_approval(
        intent_id=f"approve-{symbol}-{kind}",
        strategy="arb",
        chain_id=world.chain_id,
        token=assets(world)[symbol],
        token_address=world.tokens[symbol].address,
        sender=VAULT,
        spender=devnet_routers(world).for_pool(pool(world, kind, 500 if kind == "v3" else 3000)),
        amount=amount,
    )


def approvals(world: DevnetWorld) -> list[TransactionPlan]:
    """What the swaps of these tests need."""
    return [approval(world, s, r) for s in ("WETH", "USDC") for r in ("v3", "v2")]


async def nonce_and_transactions(client: ChainClient, address: Address) -> tuple[int, Mapping[int, list[str]]]:
    """The account's nonce, and every transaction of its on the chain by nonce."""
    found: dict[int, list[str]] = {}
    head = await client.head()
    for number in range(int(head.number) + 1):
        for tx_hash in (await client.block(number)).transactions:
            seen = await client.transaction(tx_hash)
            if seen is not None and seen.sender == address:
                found.setdefault(seen.nonce, []).append(tx_hash)
    return await client.nonce(address), found


NATIVE = native_asset(ChainId(1337)).id
