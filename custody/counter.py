"""The counter of an installation's custody: where things are asked for and looked at, in a process without keys.

What is asked for here stands in the database; the process that holds the vault's key does it when it next looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from custody.approvals import DatabaseApprovals
from custody.deposits.addresses import DepositAddresses
from custody.deposits.store import DepositStore
from custody.freeze import Freezes
from custody.ledger import Ledger
from custody.policy import Admins
from custody.policy.judge import Judge
from custody.policy.rulebook import Rulebook
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


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """Where a signed policy comes from: who may sign it, and the file in which the processes look for it."""

    admins: Admins
    bundle: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Counter:
    """The desk, and what stands around it."""

    database: Database
    ledger: Ledger
    policy: Judge
    rulebook: Callable[[], Rulebook]
    """The document of the policy that is active now; raises as `policy` does."""
    signed_policy: SignedPolicy | None
    """None: the policy stands in the settings."""
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
    arrivals: DepositStore | None
    """What arrived at them."""
    check_deposits: Callable[[], Awaitable[None]]
    """Raises unless the deposit contracts on the chain are ours: before a forwarder is given out."""
    freezes: Freezes
    wake: Callable[[], Awaitable[None]]
    """Tells whoever carries withdrawals to look now; nobody there is no error: it will find out."""

    @property
    def chains(self) -> frozenset[ChainId]:
        """Where it has something."""
        return frozenset({self.vault.chain_id} | ({self.arrivals.chain_id} if self.arrivals else set()))
