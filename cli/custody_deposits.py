"""`capstan custody deposits`: addresses, what arrived at them, and what screening held back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from domain import InputError

if TYPE_CHECKING:
    from cli.data_dir import DataDir
    from cli.settings import Settings
    from custody.deposits.settings import DepositSettings
    from custody.deposits.store import Deposit, DepositStore

app = typer.Typer(no_args_is_help=True, help="Deposit addresses, and what arrived at them.")

DataDirOption = Annotated[Path, typer.Option(help="The installation.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]


@app.command()
def address(
    user: Annotated[str, typer.Option(help="Your name for the user.")],
    kind: Annotated[str, typer.Option(help="forwarder (a contract, no key) or key (under the extended key).")] = (
        "forwarder"
    ),
    label: Annotated[str, typer.Option(help="Tells several addresses of one user apart.")] = "",
    data_dir: DataDirOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Give a user a deposit address, the same one whenever it is asked for.

    A forwarder's address is given out only after the factory on the chain was found to be ours, to the byte.
    """
    from cli.jobs import Jobs
    from custody.deposits.addresses import DepositAddresses
    from domain import ChainId
    from runtime import SystemClock
    from wallets.watch import WatchOnlyAccount

    settings, data, deposits = _deposits(data_dir)
    if kind not in ("forwarder", "key"):
        raise InputError(f"no kind {kind} of deposit address", hint="forwarder and key are known")
    jobs = Jobs(settings, data)
    if kind == "forwarder":
        jobs.check_installation()
    database = jobs.open_database()
    try:
        given = DepositAddresses(
            database,
            chain_id=ChainId(deposits.chain_id),
            factory=deposits.factory,
            keys=WatchOnlyAccount(deposits.extended_key) if deposits.extended_key else None,
            now_ns=SystemClock().now_ns,
        ).assign(user, "forwarder" if kind == "forwarder" else "key", label=label)
    finally:
        database.dispose()
    if as_json:
        output.emit(
            {
                "user": given.user,
                "address": given.address,
                "network": given.network,
                "kind": given.kind,
                "label": given.label,
            }
        )
    else:
        typer.echo(f"{given.address} on {given.network} only")


@app.command("list")
def list_deposits(
    user: Annotated[str | None, typer.Option(help="Only this user's.")] = None,
    state: Annotated[str | None, typer.Option(help="Only in this state: pending, suspended, ….")] = None,
    data_dir: DataDirOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """List what arrived, oldest first."""

    def read(store: DepositStore) -> list[Deposit]:
        return store.deposits(user)

    found = [_row(row) for row in _with_store(data_dir, read) if state in (None, row.state.value)]
    if as_json:
        output.emit(found)
        return
    for row in found:
        typer.echo(
            f"{row['id']:>8} {row['state']:10} {row['user']:24} {row['raw']:>28} {row['asset']} {row['tx_hash']}"
        )


@app.command()
def clear(
    deposit: Annotated[int, typer.Argument(help="Its number, as `list` shows it.")],
    operator: Annotated[str, typer.Option(help="Who decided it.")],
    reason: Annotated[str, typer.Option(help="Why; it is in the audit log for ever.")],
    data_dir: DataDirOption = Path(),
    as_json: JsonOption = False,
) -> None:
    """Credit a deposit whose sender screening refused, once it is final and somebody has decided it."""
    if not operator.strip() or not reason.strip():
        raise InputError("clearing a deposit needs an operator and a reason", hint="both go into the audit log")

    def decide(store: DepositStore) -> None:
        store.clear(deposit, operator=operator, reason=reason)

    _with_store(data_dir, decide)
    if as_json:
        output.emit({"id": deposit, "state": "final"})
    else:
        output.say(f"deposit {deposit} is credited")


def _row(deposit: Deposit) -> dict[str, Any]:
    return {
        "id": deposit.id,
        "state": deposit.state.value,
        "user": deposit.user,
        "address": deposit.address,
        "asset": deposit.asset,
        "raw": str(deposit.raw),
        "sender": deposit.sender,
        "tx_hash": deposit.tx_hash,
        "block_number": deposit.block_number,
        "sweep": deposit.sweep_id,
    }


def _with_store(data_dir: Path, work: Any) -> Any:
    from api.tables import open_tables
    from api.webhooks.events import tell_deposit
    from cli.wiring import open_ledger
    from custody.deposits.store import DepositStore
    from runtime import SystemClock

    settings, data, deposits = _deposits(data_dir)
    database, ledger = open_ledger(settings, data)
    try:
        return work(DepositStore(open_tables(database), ledger, deposits, SystemClock().now_ns, tell_deposit))
    finally:
        database.dispose()


def _deposits(data_dir: Path) -> tuple[Settings, DataDir, DepositSettings]:
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    data = DataDir(data_dir.resolve())
    settings = load_settings(data.settings)
    if settings.mode != "live" or settings.custody is None or settings.custody.deposits is None:
        raise InputError(f"no deposits are configured in {data_dir}", hint="[custody.deposits], and mode = live")
    return settings, data, settings.custody.deposits
