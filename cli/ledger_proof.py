"""`capstan ledger proof`: proof of reserves, made and checked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import output
from cli.books import DatabaseOption, DataDirOption, JsonOption, open_existing
from domain import Address, InputError

app = typer.Typer(no_args_is_help=True, help="Proof of reserves: what is owed, in sums that every user can check.")

FolderArgument = Annotated[Path, typer.Argument(help="The folder of a build.")]


@app.command()
def build(
    folder: Annotated[Path, typer.Argument(help="A folder that does not exist yet.")],
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read what every user is owed, and build the trees: root.json to publish, liabilities.json to keep to yourself."""
    from custody.reserves import read_liabilities, root_file
    from runtime import SystemClock

    liabilities = read_liabilities(open_existing(data_dir, database), SystemClock().now_ns())
    root = root_file(liabilities)
    try:
        folder.mkdir(parents=True, mode=0o700)
    except OSError as exc:
        raise InputError(f"cannot create {folder}: {exc.strerror}") from exc
    _write(folder / "liabilities.json", liabilities.to_wire(), mode=0o600)
    _write(folder / "root.json", root, mode=0o644)
    if as_json:
        output.emit(root)
        return
    for entry in root["assets"]:
        typer.echo(f"{entry['asset']}: {entry['sum']} owed to {entry['users']} users, root {entry['root']}")


@app.command()
def user(
    folder: FolderArgument,
    name: Annotated[str, typer.Argument(help="Whose proof.")],
    out: Annotated[Path | None, typer.Option(help="Write it here; otherwise it is printed.")] = None,
) -> None:
    """Give a user their proof: their balances, and the way from each to the published root."""
    from custody.reserves import Liabilities, user_proof

    proof = user_proof(Liabilities.from_wire(_read(folder / "liabilities.json")), name)
    if out is None:
        output.emit(proof)
    else:
        _write(out, proof, mode=0o600)


@app.command()
def message(folder: FolderArgument, address: Annotated[str, typer.Argument(help="An address of ours.")]) -> None:
    """Print what the key of an address must sign as a personal message (EIP-191) to show that it is ours."""
    from chain import parse_address
    from custody.reserves import ownership_message

    typer.echo(ownership_message(_read(folder / "root.json"), parse_address(address)), nl=False)


@app.command()
def own(
    folder: FolderArgument,
    signature: Annotated[list[str], typer.Option(help="ADDRESS=0x…, the signature of `message`; repeatable.")],
) -> None:
    """Write ownership.json, to publish beside root.json, from the signatures of our addresses."""
    from chain import parse_address
    from custody.reserves import check_ownership
    from custody.reserves.ownership import FORMAT

    root = _read(folder / "root.json")
    addresses = []
    for text in signature:
        address, _, signed = text.partition("=")
        addresses.append({"address": parse_address(address), "signature": signed.removeprefix("0x")})
    made = {"format": FORMAT, "build": root["build"], "addresses": addresses}
    held = _checked(lambda: check_ownership(root, made))
    _write(folder / "ownership.json", made, mode=0o644)
    output.say(f"{len(held)} addresses are shown to be ours")


@app.command()
def verify(
    root: Annotated[Path, typer.Argument(help="The published root.json.")],
    proof: Annotated[list[Path] | None, typer.Option(help="A user's proof; repeatable.")] = None,
    ownership: Annotated[Path | None, typer.Option(help="The published ownership.json.")] = None,
    liabilities: Annotated[Path | None, typer.Option(help="An auditor's: the whole of what is owed.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check proofs, signatures or everything against a published root; needs these files and nothing else.

    Exits with 1 when something does not hold.
    """
    from custody.reserves import Liabilities, check_liabilities, check_ownership, check_proof

    published = _read(root)
    taken: set[tuple[str, int]] = set()
    users: list[dict[str, Any]] = []
    for path in proof or ():
        document = _read(path)
        held = _checked(lambda document=document: check_proof(published, document, taken), path)
        users.append({"user": document["user"], "balances": {asset: str(raw) for asset, raw in held.items()}})
    addresses: list[Address] = []
    if ownership is not None:
        addresses = _checked(lambda: check_ownership(published, _read(ownership)), ownership)
    if liabilities is not None:
        everything = Liabilities.from_wire(_read(liabilities))
        _checked(lambda: check_liabilities(published, everything), liabilities)
    if as_json:
        output.emit({"ok": True, "users": users, "addresses": addresses, "whole": liabilities is not None})
        return
    for found in users:
        held = ", ".join(f"{raw} {asset}" for asset, raw in found["balances"].items())
        typer.echo(f"{found['user']} is in the published sums with {held}")
    for address in addresses:
        typer.echo(f"{address} is shown to be held")
    if liabilities is not None:
        typer.echo("the root is over exactly these liabilities")


def _checked(work: Any, path: Path | None = None) -> Any:
    from custody.reserves import ProofError

    try:
        return work()
    except ProofError as exc:
        raise InputError(f"{path}: does not hold: {exc}" if path else f"does not hold: {exc}") from exc


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read {path}: {exc}") from exc


def _write(path: Path, document: Any, *, mode: int) -> None:
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
            json.dump(document, file, separators=(",", ":"))
    except OSError as exc:
        raise InputError(f"cannot write {path}: {exc.strerror}") from exc
