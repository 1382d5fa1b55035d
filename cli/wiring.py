"""Joins the packages for the engine's process: what engine declares as ports, made of cex, dex, custody and chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import ChainClient
from chain.abi import address_word, selector
from chain.devnet import DevnetWorld
from cli.data_dir import DataDir
from cli.settings import Settings
from custody import Custody, Ledger, open_books
from custody.ledger import vault_account
from dex import PoolSpec, devnet_pools
from dex.execution.planning import Routers, plan_approval, plan_swap
from domain import Address, Asset, ChainId, InputError, native_asset, token_asset
from domain.events import SubmitSwap
from engine.setup import ENGINE_POOL_KINDS, pool_label
from runtime import SystemClock
from runtime.database import Database


@dataclass(frozen=True, slots=True)
class ChainBook:
    """What the address book says stands on a chain, as values."""

    chain_id: ChainId
    tokens: Mapping[str, tuple[Asset, Address]]
    """By asset id."""
    pools: Mapping[str, PoolSpec]
    routers: Routers
    native: Asset


def load_chain_book(path: Path, chain_id: int, pools: Sequence[str]) -> ChainBook:
    """Read an address book and pick the pools to follow.

    Raises:
        InputError: Unreadable, of another chain, or without a pool that is named.
    """
    try:
        world = DevnetWorld.from_json(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read the address book {path}: {exc}") from exc
    if world.chain_id != chain_id:
        raise InputError(f"{path} is for chain {world.chain_id}, the settings say {chain_id}")
    chain = ChainId(chain_id)
    specs = {str(pool_id): spec for pool_id, spec in devnet_pools(world).items() if spec.kind in ENGINE_POOL_KINDS}
    if pools:
        by_name = {name: s for s in specs.values() for name in (pool_label(s), str(s.id), str(s.address))}
        if unknown := [name for name in pools if name not in by_name]:
            known = ", ".join(pool_label(s) for s in specs.values())
            raise InputError(f"chain.pools: no {', '.join(unknown)} in {path.name}; there are {known}")
        specs = {str(by_name[name].id): by_name[name] for name in pools}
    tokens = {
        asset.id: (asset, entry.address)
        for symbol, entry in world.tokens.items()
        for asset in (token_asset(chain, entry.address, symbol, entry.decimals),)
    }
    # SwapRouter02 for V3: it exists on every chain Uniswap is on, and it is the one the policy reads.
    routers = Routers(v2=world.contracts.get("UniswapV2Router02"), v3=world.contracts.get("SwapRouter02"))
    return ChainBook(chain, tokens, specs, routers, native_asset(chain))


def open_ledger(settings: Settings, data: DataDir, *, is_current: bool = False) -> tuple[Database, Ledger]:
    """Open the books; paper trading keeps its own, so that it can never be mistaken for money.

    Their schema is brought up to date, unless this process has done that and says so: looking takes 0.1 s.
    """
    if settings.mode == "paper" or settings.custody is None:
        database = Database.at(data.root / "paper.db")
    else:
        url = settings.custody.database
        is_file = url.startswith("sqlite:///")
        database = Database.at(data.root / url.removeprefix("sqlite:///")) if is_file else Database(url)
    if not is_current:
        open_books(database)
    return database, Ledger(database, SystemClock().now_ns)


class CustodyDesk:
    """The engine's `SwapDesk`: plans with dex, decides and executes with custody."""

    def __init__(self, custody: Custody, client: ChainClient, book: ChainBook, account: Address) -> None:
        self._custody = custody
        self._client = client
        self._book = book
        self._account = account

    async def submit(self, swap: SubmitSwap) -> None:
        plan = plan_swap(
            intent_id=swap.intent_id,
            strategy=swap.strategy,
            pool=self._book.pools[swap.pool],
            routers=self._book.routers,
            sender=self._account,
            token_in=swap.token_in,
            amount_in=int(swap.amount_in),
            min_out=int(swap.min_amount_out),
            deadline_s=swap.deadline_s,
        )
        await self._custody.submit(plan)

    async def balances(self) -> Mapping[str, int]:
        found = {self._book.native.id: int(await self._client.balance(self._account))}
        for asset, address in self._book.tokens.values():
            found[asset.id] = await self._client.token_balance(address, self._account)
        return found

    async def approve_routers(self, allowances: Mapping[str, int]) -> None:
        """Give the routers of the followed pools the allowances policy permits, where theirs are used up.

        Args:
            allowances: By asset id, raw units.
        """
        wanted = {
            (token.id, self._book.routers.for_pool(pool)): (token, pool.address_of(token.id))
            for pool in self._book.pools.values()
            for token in (pool.token0, pool.token1)
        }
        for (asset_id, spender), (token, address) in sorted(wanted.items()):
            amount = allowances.get(asset_id, 0)
            left = await _allowance(self._client, address, self._account, spender)
            if amount and left < amount // 2:
                nonce = await self._client.nonce(self._account, "latest")
                plan = plan_approval(
                    # The same until it is mined, another once the account has moved on: never two for one need.
                    intent_id=f"approve-{nonce}-{token.symbol}-{spender[2:10]}",
                    strategy="setup",
                    chain_id=self._book.chain_id,
                    token=token,
                    token_address=address,
                    sender=self._account,
                    spender=spender,
                    amount=amount,
                )
                await self._custody.submit(plan)
        await self._custody.drain(30.0)


async def _allowance(client: ChainClient, token: str, owner: str, spender: str) -> int:
    data = selector("allowance(address,address)") + address_word(owner) + address_word(spender)
    return int.from_bytes(await client.call(token, data), "big")


def differences(ledger: Ledger, found: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Compare the books with what the places say: account → asset id → raw units. Empty when equal to the last unit."""
    result = []
    for account, balances in found.items():
        booked = ledger.balances(account).get(account, {})
        for asset in sorted({*booked, *balances}):
            if booked.get(asset, 0) != balances.get(asset, 0):
                result.append(
                    {
                        "account": account,
                        "asset": asset,
                        "booked": str(booked.get(asset, 0)),
                        "found": str(balances.get(asset, 0)),
                    }
                )
    return result


def vault_of(chain_id: int, account: str) -> str:
    """The ledger's name of the vault."""
    return vault_account(ChainId(chain_id), Address(account))
