"""`capstan withdrawals`: clients' withdrawals, asked for, watched and stopped; and the process that pays them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from domain import InputError

if TYPE_CHECKING:
    from custody.counter import Counter
    from custody.withdrawals import Withdrawal

app = typer.Typer(no_args_is_help=True, help="Clients' withdrawals, on a chain or by an exchange.")
address = typer.Typer(no_args_is_help=True, help="Where users withdraw to, and since when.")
app.add_typer(address, name="address")

DataDirOption = Annotated[Path, typer.Option(help="The installation.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
IdArgument = Annotated[str, typer.Argument(help="The withdrawal's id.")]
ByOption = Annotated[str, typer.Option(help="Who does it; written into the audit log.")]
VenueOption = Annotated[str, typer.Option(help="Let this exchange pay, instead of the vault on the chain.")]
NetworkOption = Annotated[str, typer.Option(help="The exchange's name of the network: ETH.")]


@app.command()
def request(
    data_dir: DataDirOption,
    client: Annotated[str, typer.Option(help="Who asks; cannot approve it.")],
    user: Annotated[str, typer.Option(help="Whose balance pays.")],
    key: Annotated[str, typer.Option(help="The client's own key: the same again asks for nothing new.")],
    asset: Annotated[
        str, typer.Option(help="A token's symbol in the address book, ETH, an exchange's code, or an id.")
    ],
    amount: Annotated[str, typer.Option(help="What the recipient is to get, as plain decimal text.")],
    to: Annotated[str, typer.Option(help="The recipient's address.")],
    venue: VenueOption = "",
    network: NetworkOption = "ETH",
    memo: Annotated[str, typer.Option(help="Memo or tag, where the network wants one.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Ask for a withdrawal: its funds are held at once, and `withdrawals serve` carries it on."""
    from custody.withdrawals import ChainDestination, VenueDestination, WithdrawalRequest
    from domain import parse_units

    counter, settings = _counter(data_dir)
    found = counter.assets.find(asset, venue)
    destination: ChainDestination | VenueDestination
    if venue:
        destination = VenueDestination(venue, network, to, memo)
    else:
        destination = ChainDestination.parse(settings.chain.chain_id, to)
    wanted = WithdrawalRequest(
        client=client,
        key=key,
        user=user,
        asset=found,
        raw=parse_units(amount, found.decimals),
        destination=destination,
        vault=settings.custody.withdrawals.vault,
    )
    made = asyncio.run(counter.desk.request(wanted))
    _wake(data_dir)
    _show(made, as_json)


@app.command("list")
def list_(
    data_dir: DataDirOption,
    user: Annotated[str, typer.Option(help="Only this user's.")] = "",
    open_only: Annotated[bool, typer.Option("--open", help="Only those that have not ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List withdrawals, newest first."""
    found = _counter(data_dir)[0].store.recent(user=user, open_only=open_only, limit=limit)
    if as_json:
        output.emit([_fields(withdrawal) for withdrawal in found])
        return
    for withdrawal in found:
        place = withdrawal.destination.place
        typer.echo(
            f"{withdrawal.id}  {withdrawal.state:18} {withdrawal.user:12} {withdrawal.raw} {withdrawal.asset}"
            f" -> {withdrawal.destination.address} ({place}) {withdrawal.reason}"
        )


@app.command()
def show(data_dir: DataDirOption, withdrawal_id: IdArgument, as_json: JsonOption = False) -> None:
    """Print a withdrawal and every step it took."""
    store = _counter(data_dir)[0].store
    found, history = store.find(withdrawal_id), store.history(withdrawal_id)
    if as_json:
        output.emit(_fields(found) | {"history": history})
        return
    _show(found, as_json)
    for event in history:
        typer.echo(f"  {event['time_ns'] / 1e9:.3f}  {event['step']:16} {event['state']:18} {event['detail'] or ''}")


@app.command()
def cancel(
    data_dir: DataDirOption,
    withdrawal_id: IdArgument,
    by: ByOption,
    reason: Annotated[str, typer.Option(help="Told to the client.")] = "",
    as_json: JsonOption = False,
) -> None:
    """End a withdrawal before anything is signed; its funds are given back."""
    _act(data_dir, lambda counter: counter.desk.cancel(withdrawal_id, by=by, reason=reason), as_json)


@app.command()
def hold(
    data_dir: DataDirOption,
    withdrawal_id: IdArgument,
    by: ByOption,
    reason: Annotated[str, typer.Option(help="Why.")],
    as_json: JsonOption = False,
) -> None:
    """Stop a withdrawal before anything is signed, until it is released."""
    _act(data_dir, lambda counter: counter.desk.hold(withdrawal_id, by=by, reason=reason), as_json)


@app.command()
def release(data_dir: DataDirOption, withdrawal_id: IdArgument, by: ByOption, as_json: JsonOption = False) -> None:
    """Let a held withdrawal go on; it is screened and judged again."""
    _act(data_dir, lambda counter: counter.desk.release(withdrawal_id, by=by), as_json)


@app.command()
def resolve(
    data_dir: DataDirOption,
    withdrawal_id: IdArgument,
    by: ByOption,
    ref: Annotated[str, typer.Option(help="The exchange's own id of it, as you found it there.")] = "",
    absent: Annotated[bool, typer.Option("--absent", help="It is not there, and never will be.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what became of an exchange withdrawal that asking the exchange cannot tell."""
    if bool(ref) == absent:
        raise InputError("give either --ref or --absent")
    _act(data_dir, lambda counter: counter.desk.resolve(withdrawal_id, ref, by=by), as_json)


@app.command("seal-key")
def seal_key(
    data_dir: DataDirOption,
    venue: Annotated[str, typer.Argument(help="The exchange, by its id in [[venues]].")],
    key_ref: Annotated[str, typer.Option(help="The API key that may withdraw: file:PATH or env:NAME.")],
    secret_ref: Annotated[str, typer.Option(help="Its secret.")],
    by: ByOption,
    passphrase_ref: Annotated[str, typer.Option(help="Its passphrase, where there is one.")] = "",
) -> None:
    """Seal an exchange's withdrawing key into the books. It is unsealed for one request at a time, by `serve` only."""
    from runtime.secrets import ApiKey, resolve_secret

    counter, settings = _counter(data_dir)
    if counter.secrets is None:
        raise InputError("[custody.withdrawals] names no kek", hint="a file of 64 hex digits, mode 0600")
    if venue not in {part.id for part in settings.venues}:
        raise InputError(f"there is no venue {venue!r} in the settings")
    passphrase = resolve_secret(passphrase_ref) if passphrase_ref else None
    counter.secrets.put(venue, ApiKey(resolve_secret(key_ref), resolve_secret(secret_ref), passphrase), by=by)
    output.say(f"the withdrawing key of {venue} is sealed")


@address.command("add")
def add_address(
    data_dir: DataDirOption,
    user: Annotated[str, typer.Option(help="Whose.")],
    to: Annotated[str, typer.Option(help="The address.")],
    by: ByOption,
    label: Annotated[str, typer.Option(help="A name for people.")] = "",
    venue: VenueOption = "",
    network: NetworkOption = "ETH",
    memo: Annotated[str, typer.Option(help="Memo or tag.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Enter an address; its cool-down begins now."""
    counter, settings = _counter(data_dir)
    made = counter.addresses.add(user, _destination(settings, to, venue, network, memo), label=label, by=by)
    fields = {"user": made.user, "place": made.place, "address": made.address, "added_ns": made.added_ns}
    output.emit(fields) if as_json else output.say(f"{made.address} ({made.place}) for {made.user}")


@address.command("remove")
def remove_address(
    data_dir: DataDirOption,
    user: Annotated[str, typer.Option(help="Whose.")],
    to: Annotated[str, typer.Option(help="The address.")],
    by: ByOption,
    venue: VenueOption = "",
    network: NetworkOption = "ETH",
    memo: Annotated[str, typer.Option(help="Memo or tag.")] = "",
) -> None:
    """Take an address out; entered again, it is new again."""
    counter, settings = _counter(data_dir)
    counter.addresses.remove(user, _destination(settings, to, venue, network, memo), by=by)


@address.command("list")
def list_addresses(
    data_dir: DataDirOption,
    user: Annotated[str, typer.Option(help="Whose.")],
    as_json: JsonOption = False,
) -> None:
    """List a user's addresses, oldest first."""
    found = _counter(data_dir)[0].addresses.list(user)
    if as_json:
        output.emit([{"place": a.place, "address": a.address, "label": a.label, "added_ns": a.added_ns} for a in found])
        return
    for entry in found:
        typer.echo(f"{entry.address}  {entry.place}  {entry.label}")


@app.command()
def serve(
    data_dir: DataDirOption,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Carry withdrawals: screen, judge, have them approved, signed, sent and booked, until SIGTERM or SIGINT."""
    from cli.withdrawals_process import run

    asyncio.run(run(data_dir.resolve(), as_json=as_json))


def _counter(data_dir: Path) -> tuple[Counter, Any]:
    from cli.data_dir import DataDir
    from cli.settings import load_settings
    from cli.withdrawals_desk import open_counter

    data = DataDir(data_dir.resolve())
    settings = load_settings(data.settings)
    return open_counter(settings, data, state="operator-policy.json"), settings


def _destination(settings: Any, to: str, venue: str, network: str, memo: str) -> Any:
    from custody.withdrawals import ChainDestination, VenueDestination

    if venue:
        return VenueDestination(venue, network, to, memo)
    return ChainDestination.parse(settings.chain.chain_id, to)


def _act(data_dir: Path, act: Any, as_json: bool) -> None:
    made = asyncio.run(act(_counter(data_dir)[0]))
    _wake(data_dir)
    _show(made, as_json)


def _wake(data_dir: Path) -> None:
    from cli.withdrawals_desk import wake

    asyncio.run(wake(data_dir.resolve()))


def _fields(withdrawal: Withdrawal) -> dict[str, Any]:
    to = withdrawal.destination
    return {
        "id": withdrawal.id,
        "state": withdrawal.state.value,
        "client": withdrawal.client,
        "user": withdrawal.user,
        "asset": withdrawal.asset,
        "raw": str(withdrawal.raw),
        "fee_raw": str(withdrawal.fee_raw),
        "kind": to.kind,
        "place": to.place,
        "address": to.address,
        "reason": withdrawal.reason,
        "tx_hash": withdrawal.tx_hash,
        "venue_ref": withdrawal.venue_ref,
        "needs_operator": withdrawal.needs_operator,
    }


def _show(withdrawal: Withdrawal, as_json: bool) -> None:
    if as_json:
        output.emit(_fields(withdrawal))
        return
    for name, value in _fields(withdrawal).items():
        if value not in ("", False):
            typer.echo(f"{name}: {value}")
