"""Reconciliation, solvency and audit checkpoints of an installation: plain functions for commands and for workers.

Each opens what it needs from the settings of a data directory, does its work once, and gives JSON. They may run as
often as you like, and by several processes at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domain import InputError

if TYPE_CHECKING:
    from cex import VenueSettings
    from cli.data_dir import DataDir
    from cli.settings import CustodySettings, Settings
    from custody.reconciliation import ChainReconciler, Reconciliation, VenueReconciler
    from domain.events import Event
    from runtime.database import Database


def reconcile(root: Path) -> dict[str, Any]:
    """Compare the books with every place; freeze what nothing explains. See `Reconciliation.reconcile`."""

    async def run() -> dict[str, Any]:
        async with open_reconciliation(root) as opened:
            report = await opened.reconcile()
        return {
            "clean": report.is_clean,
            "pinned": report.pinned,
            "unread": report.unread,
            "compared": len(report.comparisons),
            "mismatches": [item.to_wire() for item in report.mismatches],
            "explained": [item.to_wire() for item in report.comparisons if item.explanations and not item.is_mismatch],
        }

    return asyncio.run(run())


def check_solvency(root: Path) -> dict[str, Any]:
    """Compare what is held now with what is owed; freeze everything when it is less."""

    async def run() -> dict[str, Any]:
        async with open_reconciliation(root) as opened:
            found = await opened.check_solvency()
        return {
            "solvent": all(item.is_solvent for item in found),
            "assets": [
                {"name": item.name, "held": str(item.held_raw), "owed": str(item.owed_raw), "solvent": item.is_solvent}
                for item in found
            ],
        }

    return asyncio.run(run())


def checkpoint_audit(root: Path) -> dict[str, Any]:
    """Sign how far the audit log has come, if that is due by the settings, and export what is not exported yet.

    Raises:
        InputError: `[custody.audit]` names no key.
    """
    from custody.audit import CheckpointKeeper, CommandExporter, DirectoryExporter, Ed25519CheckpointSigner, Exporter
    from runtime import SystemClock
    from runtime.secrets import resolve_secret

    settings, data, custody = _live(root)
    part = custody.audit
    if not part.key:
        raise InputError("[custody.audit] names no key", hint="`capstan audit create-key FILE` makes one")
    signer = Ed25519CheckpointSigner(resolve_secret(part.key, base_dir=data.root))
    exporters: list[Exporter] = []
    if part.directory:
        exporters.append(DirectoryExporter(data.root / part.directory))
    if part.command:
        exporters.append(CommandExporter(part.command))
    database = _books(settings, data)
    try:
        keeper = CheckpointKeeper(database, signer, SystemClock().now_ns, exporters)
        made = keeper.run(every_records=part.every_records, every_s=part.every_s)
    finally:
        database.dispose()
    return {"count": made and made.count, "root": made and made.root, "key": signer.key}


@asynccontextmanager
async def open_reconciliation(root: Path) -> AsyncIterator[Reconciliation]:
    """Connect to everything an installation has value at.

    Raises:
        InputError: It trades on paper, or the settings are wrong.
        VenueError: A place does not let itself be opened: about it nothing is known, so nothing is compared.
    """
    from custody.audit import AuditLog
    from custody.reconciliation import AssetGroup, Reconciliation
    from runtime import SystemClock

    settings, data, custody = _live(root)
    now_ns = SystemClock().now_ns
    async with AsyncExitStack() as stack:
        database = await asyncio.to_thread(_books, settings, data)
        stack.callback(database.dispose)
        chains = [await _chain(stack, settings, data, custody, database)] if settings.chain is not None else []
        venues = [
            await _venue(stack, part, custody, data, database) for part in settings.venues if part.api_key is not None
        ]
        groups = [AssetGroup(name, members) for name, members in custody.reconciliation.groups.items()]
        yield Reconciliation(database, AuditLog(database, now_ns), now_ns, chains=chains, venues=venues, groups=groups)


async def _chain(
    stack: AsyncExitStack, settings: Settings, data: DataDir, custody: CustodySettings, database: Database
) -> ChainReconciler:
    from chain import ChainClient, parse_address
    from cli.wiring import load_chain_book
    from custody.deposits.contracts import COIN
    from custody.deposits.sweep_plans import sweep_booker, token_of
    from custody.reconciliation import ChainPlaces, ChainReconciler, unbooked_transactions

    chain = settings.chain
    if chain is None:
        raise InputError("the settings name no chain")
    book = load_chain_book(data.root / chain.address_book, chain.chain_id, chain.pools)
    client = await stack.enter_async_context(ChainClient(list(chain.endpoints), chain.chain_id))
    part = custody.reconciliation
    swapping = (settings.swaps.account,) if settings.swaps.account else ()
    own = dict.fromkeys(parse_address(text) for text in (custody.account, *swapping, *part.addresses))
    tokens = {asset: address for asset, (_, address) in book.tokens.items()}
    booker, finality_depth = None, part.finality_depth
    if (deposits := custody.deposits) is not None:
        own |= dict.fromkeys(a for a in (deposits.vault, deposits.sweeping_account, deposits.gas_tank) if a is not None)
        tokens |= {asset: token for asset in deposits.assets if (token := token_of(asset)) != COIN}
        booker, finality_depth = sweep_booker(deposits), finality_depth or deposits.finality_depth
    places = ChainPlaces(tuple(own), tokens, part.surplus_raw)
    return ChainReconciler(
        client,
        database,
        places,
        unbooked=(unbooked_transactions(book.chain_id, tokens, booker),),
        lookback_s=part.lookback_s,
        finality_depth=finality_depth,
    )


async def _venue(
    stack: AsyncExitStack, part: VenueSettings, custody: CustodySettings, data: DataDir, database: Database
) -> VenueReconciler:
    from cex import CcxtVenue
    from custody.reconciliation import VenueReconciler
    from runtime import SystemClock

    def ignore(event: Event) -> None:
        """Only balances are asked for."""

    venue = CcxtVenue(part, clock=SystemClock(), base_dir=data.root, state_dir=data.venues)
    await venue.connect(ignore)
    stack.push_async_callback(venue.stop)
    surplus_raw = custody.reconciliation.surplus_raw
    return VenueReconciler(str(venue.id), venue.balances, database, surplus_raw=surplus_raw)


def _live(root: Path) -> tuple[Settings, DataDir, CustodySettings]:
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    data = DataDir(root.resolve())
    settings = load_settings(data.settings)
    if settings.mode == "paper" or settings.custody is None:
        raise InputError(f"{root} trades on paper: there is nothing to compare its books with")
    return settings, data, settings.custody


def _books(settings: Settings, data: DataDir) -> Database:
    from cli.wiring import open_ledger

    return open_ledger(settings, data)[0]
