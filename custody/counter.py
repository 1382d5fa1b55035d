"""The counter of an installation's custody: where things are asked for and looked at, in a process without keys.

What is asked for here stands in the database; the process that holds the vault's key does it when it next looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from custody.approvals import DatabaseApprovals
from custody.deposits.addresses import DepositAddresses
from custody.ledger import Ledger
from custody.policy.judge import Judge
from custody.withdrawals import AddressBook, VenueSecrets, WithdrawalDesk, WithdrawalStore
from custody.withdrawals.assets import AssetNames
from domain import Address, ChainId
from runtime.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Vault:
    """An account of ours on a chain, as policy names it."""

    name: str
    chain_id: ChainId
    address: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """The desk, and what stands around it."""

    database: Database
    ledger: Ledger
    policy: Judge
    vault: Vault
    """Whose transactions pay."""
    assets: AssetNames
    desk: WithdrawalDesk
    store: WithdrawalStore
    addresses: AddressBook
    secrets: VenueSecrets | None
    approvals: DatabaseApprovals
    deposits: DepositAddresses | None
    """Gives deposit addresses out, where deposits are configured."""
    check_deposits: Callable[[], Awaitable[None]]
    """Raises unless the deposit contracts on the chain are ours: before a forwarder is given out."""
    wake: Callable[[], Awaitable[None]]
    """Tells whoever carries withdrawals to look now; nobody there is no error: it will find out."""
