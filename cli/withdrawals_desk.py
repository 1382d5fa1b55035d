"""Joins what a withdrawal needs: the desk that carries them, and the same desk for a command that only writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cex import CcxtWithdrawals
from cli.data_dir import DataDir
from cli.settings import CustodySettings, Settings
from cli.wiring import load_chain_book, open_ledger, vault_of
from compliance import DenyListScreener
from custody import Ledger, Policy
from custody.approvals import DatabaseApprovals
from custody.audit import AuditLog
from custody.freeze import Freezes
from custody.policy import BundlePolicy, load_admins
from custody.policy.judge import Judge
from custody.transactions.outbox import Outbox
from custody.transactions.records import Wish
from custody.withdrawals import (
    AddressBook,
    FileEnvelopes,
    HsmSealer,
    OwnAsset,
    TransactionDesk,
    VenueDesk,
    VenueSecrets,
    WithdrawalDesk,
    WithdrawalRequest,
    WithdrawalStore,
)
from custody.withdrawals.settings import WithdrawalSettings
from domain import Address, ChainId, InputError
from runtime import SystemClock
from runtime.database import Database
from runtime.secrets import resolve_secret

if TYPE_CHECKING:
    from sqlmodel import Session

    from domain.plans import TransactionPlan

CONTROL = "withdrawals.sock"


@dataclass(frozen=True, slots=True)
class Counter:
    """Where withdrawals are asked for: the desk, and what stands around it."""

    desk: WithdrawalDesk
    store: WithdrawalStore
    addresses: AddressBook
    secrets: VenueSecrets | None
    approvals: DatabaseApprovals
    database: Database
    ledger: Ledger
    policy: Judge


class WishingDesk:
    """A transaction desk for a process that holds no key: it records and asks, the holder of the key does.

    Satisfies `custody.withdrawals.TransactionDesk`.
    """

    def __init__(self, database: Database, ledger: Ledger, chain_id: ChainId, account: Address) -> None:
        self.chain_id = chain_id
        self.address = account
        self._outbox = Outbox(
            database,
            ledger,
            chain_id=chain_id,
            sender=account,
            now_ns=SystemClock().now_ns,
            fence=lambda _session: None,
        )

    def record_in(self, session: Session, plan: TransactionPlan, *, initiator: str, vault: str) -> bool:
        return self._outbox.record_in(session, plan, initiator=initiator, vault=vault)

    def wake(self) -> None:
        return None

    async def cancel(self, intent_id: str) -> None:
        self._outbox.wish(intent_id, Wish.CANCEL)

    async def hold(self, intent_id: str) -> None:
        self._outbox.wish(intent_id, Wish.HOLD)

    async def release(self, intent_id: str) -> None:
        self._outbox.wish(intent_id, Wish.RELEASE)


def custody_part(settings: Settings, data: DataDir) -> CustodySettings:
    """Give the installation's custody.

    Raises:
        InputError: It has none.
    """
    if settings.custody is None or settings.chain is None or settings.mode != "live":
        raise InputError(f"{data.root} has no custody: withdrawals need [chain], [custody] and mode = 'live'")
    return settings.custody


def open_policy(part: CustodySettings, data: DataDir, state: str) -> Judge:
    """Open the policy that is active; `state` names the process's own memory of a signed one."""
    if part.policy is not None:
        return Policy(part.policy)
    admins = load_admins(data.root / part.policy_admins)
    return BundlePolicy(data.root / part.policy_bundle, admins, state=data.root / state, now_ns=SystemClock().now_ns)


def open_counter(
    settings: Settings,
    data: DataDir,
    *,
    desk_of: Callable[[Database, Ledger, Judge, DatabaseApprovals, AddressBook], TransactionDesk] | None = None,
    state: str = "withdrawals-policy.json",
) -> Counter:
    """Put the withdrawal desk together.

    Args:
        settings: Of the installation.
        data: Its folder.
        desk_of: Makes the desk that holds the vault's key; a `WishingDesk` stands in for it in a process without.
        state: See `open_policy`.
    """
    part, now_ns = custody_part(settings, data), SystemClock().now_ns
    database, ledger = open_ledger(settings, data)
    audit, own = AuditLog(database, now_ns), part.withdrawals
    policy = open_policy(part, data, state)
    approvals = DatabaseApprovals(database, rules=lambda: policy, now_ns=now_ns)
    store = WithdrawalStore(database, ledger, audit, now_ns)
    screener = DenyListScreener(data.root / part.deny_list)
    addresses = AddressBook(database, audit, now_ns, cool_down_s=own.cool_down_s, is_required=own.known_addresses_only)
    sealer = _sealer(own, data)
    secrets = None if sealer is None else VenueSecrets(database, sealer, audit, now_ns)
    venues = None
    if secrets is not None and settings.venues:
        venues = VenueDesk(
            store=store,
            venues={venue.id: CcxtWithdrawals(venue) for venue in settings.venues},
            secrets=secrets,
            policy=policy,
            screener=screener,
            freezes=Freezes(database, audit, now_ns),
            approvals=approvals,
            known_since=addresses.first_seen_s,
            rules=lambda: policy,
            own=_own_assets(settings, data, part),
            now_ns=now_ns,
        )
    chain_id = ChainId(settings.chain.chain_id if settings.chain is not None else 0)
    if desk_of is None:
        from chain import parse_address

        transactions: TransactionDesk = WishingDesk(database, ledger, chain_id, parse_address(part.account))
    else:
        transactions = desk_of(database, ledger, policy, approvals, addresses)
    desk = WithdrawalDesk(
        database=database,
        ledger=ledger,
        audit=audit,
        screener=screener,
        addresses=addresses,
        transactions={(chain_id, own.vault): transactions},
        venues=venues,
        fees=_fees(own.fees),
        now_ns=now_ns,
    )
    return Counter(desk, store, addresses, secrets, approvals, database, ledger, policy)


def _sealer(own: WithdrawalSettings, data: DataDir) -> FileEnvelopes | HsmSealer | None:
    """What seals exchanges' withdrawal keys here, if anything."""
    if (hsm := own.hsm_kek) is not None:
        return HsmSealer(hsm.module, hsm.token, resolve_secret(hsm.pin, base_dir=data.root), kek=hsm.label)
    return FileEnvelopes(data.root / own.kek) if own.kek else None


def _own_assets(settings: Settings, data: DataDir, part: CustodySettings) -> Callable[[str, str], OwnAsset | None]:
    """The vault's address, and what an exchange's coins are called there."""
    chain = settings.chain
    if chain is None:
        return lambda _address, _code: None
    book = load_chain_book(data.root / chain.address_book, chain.chain_id, ())
    tokens = {asset.symbol: asset for asset, _ in book.tokens.values()} | {book.native.symbol: book.native}

    def own(address: str, code: str) -> OwnAsset | None:
        asset = tokens.get(code)
        if address.lower() != part.account.lower() or asset is None:
            return None
        return OwnAsset(vault_of(chain.chain_id, part.account), asset.id, asset.decimals)

    return own


def _fees(fees: Mapping[str, int]) -> Callable[[WithdrawalRequest], int]:
    return lambda request: fees.get(request.asset.id, 0)
