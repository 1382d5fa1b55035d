"""The process that pays withdrawals: the vault's transaction desk and the withdrawal desk, joined."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from chain import ChainClient, parse_address
from chain.network import identify
from cli import output
from cli.data_dir import DataDir
from cli.engine_process import reach_signer
from cli.private_ways import open_ways
from cli.settings import load_settings
from cli.withdrawals_carrying import carrying
from cli.withdrawals_desk import custody_part, open_counter
from compliance import DenyListScreener
from custody import Books, Custody, DeskOptions, Ledger
from custody.approvals import DatabaseApprovals
from custody.ledger import vault_account
from custody.policy.judge import Judge
from custody.withdrawals import AddressBook
from domain import ChainId, InputError
from runtime import SystemClock, configure_logging
from runtime.database import Database
from runtime.processes import stop_on_signals
from wallets import Network

_POLL_S = 0.02


async def run(root: Path, *, as_json: bool) -> None:
    """Serve the installation's withdrawals until a signal.

    Raises:
        InputError: Another process serves the account, or something in the settings is missing.
        VenueUnavailable: The chain or the signer is not there.
    """
    data = DataDir(root)
    settings = load_settings(data.settings)
    part = custody_part(settings, data)
    if settings.chain is None:
        raise InputError(f"{root} has no [chain]")
    configure_logging(level=settings.log.level)
    stop = asyncio.Event()
    stop_on_signals(stop)
    account, chain_id = parse_address(part.account), ChainId(settings.chain.chain_id)
    async with AsyncExitStack() as opened:
        client = await opened.enter_async_context(ChainClient(list(settings.chain.endpoints), chain_id))
        network = Network((await identify(client)).value)
        private = await opened.enter_async_context(open_ways(settings.chain, client, root))
        signer = await reach_signer(root / part.signer_socket, account)
        held: list[Custody] = []

        def desk_of(
            database: Database, ledger: Ledger, policy: Judge, approvals: DatabaseApprovals, addresses: AddressBook
        ) -> Custody:
            held.append(
                Custody(
                    database=database,
                    ledger=ledger,
                    policy=policy,
                    screener=DenyListScreener(root / part.deny_list),
                    signer=signer,
                    chain=client,
                    network=network,
                    now_ns=SystemClock().now_ns,
                    approvals=approvals,
                    known_since=addresses.first_seen_s,
                    private=private,
                    options=DeskOptions(confirmations=settings.chain.confirmations, poll_s=_POLL_S),  # type: ignore[union-attr]
                )
            )
            return held[0]

        counter = open_counter(settings, data, desk_of=desk_of)
        custody = held[0]
        # What the vault held before the books began; later openings are ignored.
        await Books(counter.ledger, vault_account(chain_id, account)).open_balances("chain", await custody.balances())
        await custody.start(counter.desk.notify, wait_s=15)
        opened.push_async_callback(custody.stop)
        await opened.enter_async_context(carrying(root, custody, counter.desk))
        if as_json:
            output.emit({"ready": True, "account": account, "chain_id": chain_id})
        else:
            output.say(f"paying withdrawals from {account} on chain {chain_id}")
        await stop.wait()
