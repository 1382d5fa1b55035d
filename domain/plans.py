"""An unsigned transaction with the promises it makes: what `dex` plans, `custody` decides on, `wallets` signs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from domain.amounts import Amount
from domain.ids import Address, ChainId, IntentId, StrategyId

BroadcastKind: TypeAlias = Literal["public", "private", "bundle"]


@dataclass(frozen=True, slots=True)
class TransactionPlan:
    """One call to one contract, not yet priced, numbered or signed.

    The `intent_id` is chosen before planning; custody executes it at most once. `spends` and `receives_min` are what
    policy judges and what settlement is checked against; for a swap they hold one amount each, for an approval
    `spends` is empty and `approves` names the allowance.
    """

    intent_id: IntentId
    strategy: StrategyId
    purpose: str
    """`swap`, `approve`, `arbitrage` (a cycle through a contract of ours), `transfer`, `sweep` (of deposits, booked by
    whoever planned it), `withdrawal`, `perpetual` (an order at a protocol of perpetuals), or `liquidity` (into and out
    of a pool's position)."""
    chain_id: ChainId
    sender: Address
    to: Address
    value_wei: int
    data: bytes
    gas_limit: int
    deadline_s: int
    """Chain time in seconds after which it must not execute; 0 for none."""
    spends: tuple[Amount, ...] = ()
    receives_min: tuple[Amount, ...] = ()
    approves: tuple[Amount, ...] = ()
    recipient: Address | None = None
    """Who receives the proceeds (of an approval: who is given the allowance); None means the sender. Policy wants the
    sender, or an allow-listed address."""
    broadcast: BroadcastKind = "public"
    """How its bytes reach the chain: `public`, every node; `private`, only endpoints that show them to block builders;
    `bundle`, only relays, for the top of a block. Never another way than this, also when it is sent again, replaced or
    found after a restart."""
    max_block: int = 0
    """The last block it may be in, 0 for any. After it custody uses its nonce up. A bundle needs one."""
