"""Orders that somebody else ends: a keeper executes or cancels them in a transaction of its own, and pays out.

Nobody here signed that transaction, so the outbox does not follow it. It is booked from its receipt, once an order,
when the block is as deep as transactions of ours have to be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from chain import Block, Receipt
from custody.ledger import Ledger, vault_account
from custody.ledger.postings import perpetual_ended
from custody.transactions.receipts import token_deltas
from domain import Address, ChainId, native_asset


@dataclass(frozen=True, slots=True)
class EndedOrder:
    """An order of ours that has ended, as its protocol's reader found it."""

    key: str
    """Names the order for ever: protocol, chain and the protocol's own key."""
    tx_hash: str
    coins_back_wei: int
    """Coins it gave back to the account; the receipt's Transfer logs say everything else."""
    is_ours: bool = False
    """A transaction of ours ended it (a cancellation): the outbox books its tokens, so only coins are left."""


class ReceiptsPort(Protocol):
    """What is asked of a chain; `chain.ChainClient` has it."""

    @property
    def chain_id(self) -> ChainId: ...

    async def head(self) -> Block: ...

    async def find_block(self, ref: int | str) -> Block | None: ...

    async def receipt(self, tx_hash: str) -> Receipt | None: ...


async def book_ended(
    chain: ReceiptsPort,
    ledger: Ledger,
    account: Address,
    orders: Sequence[EndedOrder],
    *,
    strategy: str,
    assets: Collection[str],
    confirmations: int,
) -> list[str]:
    """Book what orders gave back; gives the keys that are booked now and were not before.

    Orders whose block is not deep enough, or no longer on the chain, are left for the next time.

    Raises:
        VenueUnavailable: No node answers.
    """
    head = await chain.head()
    vault = vault_account(chain.chain_id, account)
    coin = native_asset(chain.chain_id).id
    booked = []
    for order in orders:
        receipt = await chain.receipt(order.tx_hash)
        if receipt is None or not receipt.succeeded or head.number - receipt.block_number + 1 < confirmations:
            continue
        block = await chain.find_block(int(receipt.block_number))
        if block is None or block.hash != receipt.block_hash:
            continue
        deltas = {} if order.is_ours else token_deltas(receipt, chain.chain_id, account, assets)
        if order.coins_back_wei:
            deltas[coin] = deltas.get(coin, 0) + order.coins_back_wei
        entry = perpetual_ended(order.key, strategy, vault, deltas, tx_hash=order.tx_hash)
        if entry is not None and await asyncio.to_thread(ledger.post, entry):
            booked.append(order.key)
    return booked
