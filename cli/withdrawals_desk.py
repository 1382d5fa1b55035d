"""Joins what a withdrawal needs: the desk that carries them, and the same desk for a command that only writes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from api.tables import open_tables
from api.webhooks.events import tell_approval, tell_deposit, tell_withdrawal
from cex import CcxtWithdrawals
from cli.data_dir import DataDir
from cli.settings import CustodySettings, Settings
from cli.wiring import load_chain_book, open_ledger, vault_of
from compliance import DenyListScreener
from custody import Ledger, Policy
from custody.approvals import DatabaseApprovals
from custody.audit import AuditLog
from custody.counter import Counter, SignedPolicy, Vault
from custody.deposits.addresses import DepositAddresses
from custody.deposits.settings import DepositSettings
from custody.deposits.store import DepositStore
from custody.freeze import Freezes
from custody.policy import BundlePolicy, load_admins
from custody.policy.judge import Judge
from custody.policy.rulebook import Rulebook
from custody.transactions.wishing import WishingDesk
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
from custody.withdrawals.assets import AssetNames
from custody.withdrawals.settings import WithdrawalSettings
from domain import ChainId, InputError, InvariantError, PlatformError
from runtime import SystemClock
from runtime.control import ask_control
from runtime.database import Database
from runtime.secrets import resolve_secret

CONTROL = "withdrawals.sock"


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
    books: tuple[Database, Ledger] | None = None,
    policy: Judge | None = None,
    desk_of: Callable[[Database, Ledger, Judge, DatabaseApprovals, AddressBook], TransactionDesk] | None = None,
    state: str = "withdrawals-policy.json",
) -> Counter:
    """Put the withdrawal desk together, with what stands around it.

    Args:
        settings: Of the installation.
        data: Its folder.
        books: Opened already, with the API's tables beside them; else they are opened here.
        policy: Opened already; else it is opened here.
        desk_of: Makes the desk that holds the vault's key; a `WishingDesk` stands in for it in a process without.
        state: See `open_policy`.
    """
    part, now_ns = custody_part(settings, data), SystemClock().now_ns
    database, ledger = books or _open_books(settings, data)
    audit, own = AuditLog(database, now_ns), part.withdrawals
    policy = policy or open_policy(part, data, state)
    approvals = DatabaseApprovals(database, rules=lambda: policy, now_ns=now_ns, observe=tell_approval)
    store = WithdrawalStore(database, ledger, audit, now_ns, tell_withdrawal)
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
    vault = vault_part(settings, part)
    if desk_of is None:
        transactions: TransactionDesk = WishingDesk(database, ledger, vault.chain_id, vault.address, now_ns)
    else:
        transactions = desk_of(database, ledger, policy, approvals, addresses)
    desk = WithdrawalDesk(
        database=database,
        ledger=ledger,
        audit=audit,
        screener=screener,
        addresses=addresses,
        transactions={(vault.chain_id, own.vault): transactions},
        venues=venues,
        fees=_fees(own.fees),
        now_ns=now_ns,
        observe=tell_withdrawal,
    )
    return Counter(
        database=database,
        ledger=ledger,
        policy=policy,
        rulebook=lambda: rulebook_of(policy),
        signed_policy=_signed_policy(part, data),
        vault=vault,
        assets=asset_names(settings, data),
        desk=desk,
        store=store,
        addresses=addresses,
        secrets=secrets,
        approvals=approvals,
        deposits=deposit_addresses(part.deposits, database, now_ns),
        arrivals=None if part.deposits is None else DepositStore(database, ledger, part.deposits, now_ns, tell_deposit),
        check_deposits=_deposit_check(settings, data),
        freezes=Freezes(database, audit, now_ns, operators=part.operators),
        wake=lambda: wake(data.root),
    )


def rulebook_of(policy: Judge) -> Rulebook:
    """The document that a policy judges by now.

    Raises:
        Refused: Rule `no-policy`: none is active yet.
    """
    if isinstance(policy, BundlePolicy):
        return policy.current().rulebook
    if not isinstance(policy, Policy):
        raise InvariantError(f"{type(policy).__name__} has no document")
    return policy.rulebook


def _signed_policy(part: CustodySettings, data: DataDir) -> SignedPolicy | None:
    if not part.policy_bundle:
        return None
    return SignedPolicy(load_admins(data.root / part.policy_admins), data.root / part.policy_bundle)


async def wake(root: Path) -> None:
    """Tell the process that carries withdrawals, if it runs; else it will find out."""
    with contextlib.suppress(PlatformError):
        await ask_control(root / CONTROL, {"command": "wake"}, timeout_s=1)


def vault_part(settings: Settings, part: CustodySettings) -> Vault:
    """The account that pays withdrawals on the chain."""
    from chain import parse_address

    if settings.chain is None:
        raise InputError("withdrawals need [chain]")
    chain_id = ChainId(settings.chain.chain_id)
    return Vault(name=part.withdrawals.vault, chain_id=chain_id, address=parse_address(part.account))


def asset_names(settings: Settings, data: DataDir) -> AssetNames:
    """Every asset of the address book, and how exchanges count."""
    chain = settings.chain
    venues = {part.id: part.asset_decimals for part in settings.venues}
    if chain is None:
        return AssetNames((), venues)
    book = load_chain_book(data.root / chain.address_book, chain.chain_id, ())
    return AssetNames((book.native, *(asset for asset, _ in book.tokens.values())), venues)


def deposit_addresses(
    part: DepositSettings | None, database: Database, now_ns: Callable[[], int]
) -> DepositAddresses | None:
    """Who gives deposit addresses out, where deposits are configured."""
    if part is None:
        return None
    from wallets.watch import WatchOnlyAccount

    return DepositAddresses(
        database,
        chain_id=ChainId(part.chain_id),
        factory=part.factory,
        keys=WatchOnlyAccount(part.extended_key) if part.extended_key else None,
        now_ns=now_ns,
    )


def _deposit_check(settings: Settings, data: DataDir) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        from cli.jobs import Jobs

        await asyncio.to_thread(Jobs(settings, data).check_installation)

    return check


def _open_books(settings: Settings, data: DataDir) -> tuple[Database, Ledger]:
    """The books, and beside them the API's tables: whoever has webhooks is told in the transaction of what happened."""
    database, ledger = open_ledger(settings, data)
    return open_tables(database), ledger


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
