"""`capstan custody session-keys`: hot keys with small limits: what they are called, what they may, and their end."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from cli import output
from cli.books import DatabaseOption, DataDirOption, JsonOption, open_existing
from domain import InputError

if TYPE_CHECKING:
    from custody.session_keys import SessionKey, SessionKeys

app = typer.Typer(no_args_is_help=True, help="Hot keys that sign orders within small limits: grant, list, end.")

AuthorityOption = Annotated[str, typer.Option(help="The authority's key by reference: file:PATH or env:NAME.")]
OperatorOption = Annotated[str, typer.Option(help="Your name.")]


@app.command("create-authority")
def create_authority(
    path: Annotated[Path, typer.Argument(help="A file that does not exist yet; only you can read it.")],
    as_json: JsonOption = False,
) -> None:
    """Make the key that signs certificates and allotments, and print its public half, which signers believe."""
    from custody.session_keys import SessionAuthority
    from runtime import Secret

    secret = os.urandom(32).hex()
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise InputError(f"cannot create {path}: {exc.strerror}") from exc
    with os.fdopen(file, "w") as opened:
        opened.write(secret + "\n")
    public = SessionAuthority(Secret(secret)).public.hex()
    output.emit({"authority": public, "file": str(path)}) if as_json else typer.echo(public)


@app.command()
def name(
    kind: Annotated[str, typer.Argument(help="hmac, ed25519 or secp256k1.")],
    key_ref: Annotated[str, typer.Argument(help="The hot key by reference: file:PATH or env:NAME.")],
    as_json: JsonOption = False,
) -> None:
    """Print what a hot key is called in terms and certificates: its kind and its public part."""
    import capstan_native as native

    from runtime.secrets import resolve_secret

    try:
        found = native.HotKey(kind, resolve_secret(key_ref).reveal()).name
    except native.SigningRefused as exc:
        raise InputError(f"{key_ref}: {exc.args[1]}") from exc
    output.emit({"key": found}) if as_json else typer.echo(found)


@app.command()
def issue(
    terms: Annotated[Path, typer.Argument(help="JSON of what the key may do; see docs/hot-path.md.")],
    authority: AuthorityOption,
    operator: OperatorOption,
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Grant a key its limits. It signs nothing before its signer has asked custody for an allotment."""
    from custody.session_keys import SessionTerms

    try:
        wanted = msgspec.json.decode(terms.read_bytes(), type=SessionTerms).check()
    except OSError as exc:
        raise InputError(f"cannot read {terms}: {exc.strerror}") from exc
    except msgspec.MsgspecError as exc:
        raise InputError(f"{terms} holds no terms: {exc}") from exc
    keys = _open(data_dir, database, authority)
    if not yes:
        typer.echo(_plan(wanted), err=True)
        typer.confirm("Grant this?", abort=True, err=True)
    key = keys.issue(wanted, operator=operator)
    output.emit(_wire(key)) if as_json else typer.echo(f"session key {key.id} may sign until {_time(wanted.until_ns)}")


@app.command("list")
def list_keys(data_dir: DataDirOption = None, database: DatabaseOption = None, as_json: JsonOption = False) -> None:
    """List every key that was ever granted something, and how it stands."""
    found = [_wire(key) for key in _open(data_dir, database, None).listed()]
    if as_json:
        output.emit(found)
        return
    for item in found:
        until = _time(item["terms"]["until_ns"])
        state = f"revoked by {item['revoked']}" if item["revoked"] else f"until {until}"
        typer.echo(f"{item['id']:>4} {item['terms']['key']} {item['terms']['scope']} {state}")


@app.command()
def revoke(
    number: Annotated[int, typer.Argument(help="Which key, as `list` says.")],
    operator: OperatorOption,
    reason: Annotated[str, typer.Option(help="Why, for whoever reads the audit log.")],
    data_dir: DataDirOption = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """End a key at once: nothing is allotted to it again. What its signer holds is over within `allotment_s`."""
    key = _open(data_dir, database, None).revoke(number, source=f"operator:{operator}", reason=reason)
    if as_json:
        output.emit(_wire(key))
    else:
        typer.echo(f"session key {number} is revoked; it falls silent within {key.terms.allotment_s} s")


def _open(data_dir: Path | None, database: str | None, authority: str | None) -> SessionKeys:
    from custody.audit import AuditLog
    from custody.session_keys import SessionAuthority, SessionKeys
    from runtime import SystemClock
    from runtime.secrets import resolve_secret

    signer = None if authority is None else SessionAuthority(resolve_secret(authority))
    books, now_ns = open_existing(data_dir, database), SystemClock().now_ns
    return SessionKeys(books, AuditLog(books, now_ns), signer, now_ns)


def _wire(key: SessionKey) -> dict[str, Any]:
    terms = msgspec.to_builtins(key.terms)
    for amount in ("order_max", "window_max", "fee_max_wei"):
        terms[amount] = str(terms[amount])
    return {"id": key.id, "operator": key.operator, "time_ns": key.time_ns, "revoked": key.revoked, "terms": terms}


def _plan(terms: Any) -> str:
    listed = [item.symbol for item in terms.instruments] + [f"{item.to} {item.selector}" for item in terms.calls]
    return (
        f"{terms.key}\n  at {terms.scope}, for {terms.purpose}, until {_time(terms.until_ns)}\n"
        f"  {', '.join(listed)}\n"
        f"  up to {terms.order_max} at once; {terms.window_max} and {terms.window_count} orders in {terms.window_s} s"
        f" (10^-{terms.decimals} {terms.asset})"
    )


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / 1e9, UTC).isoformat(timespec="seconds")
