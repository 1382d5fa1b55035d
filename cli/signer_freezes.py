"""`capstan signer freeze | freezes | unfreeze`: the signer's own stop, kept in its journal."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.references import take_secret
from domain import Address, InputError, VenueUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from wallets import SignerFreeze, SigningJournal

DataDirOption = Annotated[Path | None, typer.Option(help="An installation: its capstan.toml names the rest.")]
SocketOption = Annotated[Path | None, typer.Option(help="The signer's socket.")]
JournalOption = Annotated[Path | None, typer.Option(help="The signer's journal.")]
ConfigOption = Annotated[
    Path | None, typer.Option(help="The settings file the signer was started with; it may name operators' keys.")
]
ReasonOption = Annotated[str, typer.Option(help="Why, for whoever comes to look.")]
JsonOption = Annotated[bool, typer.Option("--json", help="One line of JSON.")]


def add_to(app: typer.Typer) -> None:
    """Put these commands into `capstan signer`."""
    app.command()(freeze)
    app.command()(freezes)
    app.command()(unfreeze)


@dataclass(frozen=True, slots=True)
class _Signer:
    socket: Path | None
    journal: Path | None
    operators: Mapping[str, str]
    base_dir: Path | None


def freeze(
    reason: ReasonOption,
    source: Annotated[str, typer.Option("--operator", help="Your name.")],
    data_dir: DataDirOption = None,
    socket: SocketOption = None,
    journal: JournalOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sign nothing from here on, with any key, until an operator lifts it; a restart of the signer keeps it.

    A running signer is told over its socket. One that does not answer finds the freeze in its journal, before its next
    signature and when it is started again.
    """
    imposed = asyncio.run(_freeze(_locate(data_dir, socket, journal, None), f"operator:{source}", reason))
    output.emit(_wire(imposed)) if as_json else typer.echo(f"the signer is frozen (freeze {imposed.number})")


def freezes(
    data_dir: DataDirOption = None,
    journal: JournalOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the signer's freezes that stand."""
    with _open(_locate(data_dir, None, journal, config)) as opened:
        found = [_wire(item) for item in opened.freezes()]
    if as_json:
        output.emit(found)
    else:
        for item in found:
            since = datetime.fromtimestamp(item["time_ns"] / 1e9, UTC).isoformat(timespec="seconds")
            typer.echo(f"{item['number']:>4} since {since} by {item['source']}: {item['reason']}")


def unfreeze(
    number: Annotated[int, typer.Argument(help="Which freeze, as `freezes` lists it.")],
    operator: Annotated[str, typer.Option(help="Your name.")],
    reason: ReasonOption,
    data_dir: DataDirOption = None,
    journal: JournalOption = None,
    config: ConfigOption = None,
    key_ref: Annotated[
        str | None, typer.Option(help="Your Ed25519 key, file:PATH or env:NAME; needed where operators have keys.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let the signer sign again. Done here, beside the signer, in its journal: its socket has no such request.

    A running signer sees it at once. Custody's own freezes stand until two people lift them (`custody unfreeze`).
    """
    from wallets import sign_lift

    signer = _locate(data_dir, None, journal, config)
    with _open(signer) as opened:
        found = next((item for item in opened.freezes() if item.number == number), None)
        if found is None:
            raise InputError(f"no freeze {number} of the signer stands")
        if not yes:
            typer.confirm(
                f"The signer was frozen by {found.source}: {found.reason}\nLet it sign again?", abort=True, err=True
            )
        signature = b""
        if key_ref is not None:
            signature = sign_lift(_key(key_ref, signer.base_dir), found, operator, reason)
        opened.lift(number, operator=operator, reason=reason, signature=signature)
        left = len(opened.freezes())
    if as_json:
        output.emit({"number": number, "left": left})
    else:
        typer.echo(f"freeze {number} has ended" + (f"; {left} more stand" if left else ""))


async def freeze_signer(root: Path, source: str, reason: str) -> None:
    """Freeze the signer of an installation, whether it runs or not.

    Raises:
        InputError: There is neither a signer nor a journal of one.
        OutcomeUnknown: It may be frozen.
    """
    await _freeze(_locate(root, None, None, None), source, reason)


async def _freeze(signer: _Signer, source: str, reason: str) -> SignerFreeze:
    from wallets import SignerClient

    if signer.socket is not None:
        try:
            return await SignerClient(signer.socket, Address("")).freeze(source, reason)
        except VenueUnavailable:
            if signer.journal is None:
                raise
    with _open(signer) as opened:
        return await asyncio.wrap_future(opened.begin_freeze(source, reason))


def _locate(data_dir: Path | None, socket: Path | None, journal: Path | None, config: Path | None) -> _Signer:
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    if data_dir is None:
        if socket is None and journal is None:
            raise InputError("--data-dir, --socket or --journal is needed")
        custody = load_settings(config).custody if config is not None else None
        return _Signer(socket, journal, custody.operators if custody else {}, None)
    if socket or journal or config:
        raise InputError("--data-dir brings its own socket, journal and config; give one or the other")
    root = data_dir.resolve()
    custody = load_settings(DataDir(root).settings).custody
    if custody is None:
        raise InputError(f"{root} has no [custody] section: there is no signer")
    place = (root / custody.keystore).with_name("signer-journal.db")
    return _Signer(root / custody.signer_socket, place, custody.operators, root)


@contextmanager
def _open(signer: _Signer) -> Iterator[SigningJournal]:
    from runtime import SystemClock
    from wallets import SigningJournal

    if signer.journal is None or not signer.journal.is_file():
        raise InputError(f"no signing journal at {signer.journal}", hint="name it with --journal")
    with SigningJournal(signer.journal, now_ns=SystemClock().now_ns, operators=signer.operators) as journal:
        yield journal


def _key(reference: str, base_dir: Path | None) -> bytes:
    try:
        return bytes.fromhex(take_secret(reference, base_dir=base_dir).reveal().strip())
    except ValueError as exc:
        raise InputError("an operator's key is 32 bytes in hex") from exc


def _wire(freeze: SignerFreeze) -> dict[str, Any]:
    return {"number": freeze.number, "source": freeze.source, "reason": freeze.reason, "time_ns": freeze.time_ns}
