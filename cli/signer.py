"""`capstan signer`: the process that holds the keys."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from domain import InputError

if TYPE_CHECKING:
    from custody import PolicySettings

app = typer.Typer(no_args_is_help=True, help="The process that holds the keys.")


@app.callback()
def _group() -> None:
    """Keep `serve` a subcommand although it is the only one."""


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a signer process is made of. Without a policy it signs nothing."""

    socket: Path
    keystore: Path
    password: str
    journal: Path
    policy: PolicySettings | None
    base_dir: Path | None


@app.command()
def serve(
    data_dir: Annotated[
        Path | None, typer.Option(help="An installation: its capstan.toml names everything below.")
    ] = None,
    socket: Annotated[Path | None, typer.Option(help="Unix socket to listen on.")] = None,
    keystore: Annotated[Path | None, typer.Option(help="Keystore v3 file of the key.")] = None,
    password_ref: Annotated[
        str | None, typer.Option(help="Where its password is: file:PATH or env:NAME. Never the password itself.")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="Settings file whose [custody.policy] the signer obeys.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="What was ever signed; beside the keystore unless given. Never delete it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON when ready.")] = False,
) -> None:
    """Sign what the policy allows, for processes of this user, until SIGTERM or SIGINT.

    Every request is parsed again, judged by this process's own policy, and journalled before the key is used: one
    (key, chain, nonce) is signed once. Without a policy nothing is signed.
    """
    parts = _from_installation(data_dir.resolve()) if data_dir is not None else None
    if parts is None:
        if socket is None or keystore is None or password_ref is None:
            raise InputError("--data-dir, or --socket, --keystore and --password-ref are needed")
        policy = _policy(config) if config is not None else None
        parts = _Parts(socket, keystore, password_ref, _journal_of(keystore), policy, None)
    elif socket or keystore or password_ref or config:
        raise InputError("--data-dir brings its own socket, keystore, password and config; give one or the other")
    asyncio.run(_serve(parts, journal or parts.journal, as_json=as_json))


async def _serve(parts: _Parts, journal_path: Path, *, as_json: bool) -> None:
    from custody import Policy, PolicyGuard
    from runtime import SystemClock, configure_logging
    from runtime.processes import stop_on_signals
    from runtime.secrets import resolve_secret
    from wallets import DenyAll, Guard, SignerService, SigningJournal, unlock_keystore
    from wallets.hardening import harden_memory

    configure_logging()
    harden_memory()
    stop = asyncio.Event()
    stop_on_signals(stop)
    password = resolve_secret(parts.password, base_dir=parts.base_dir)
    key = await asyncio.to_thread(unlock_keystore, parts.keystore, password)
    guard: Guard = PolicyGuard(Policy(parts.policy)) if parts.policy is not None else DenyAll()
    with SigningJournal(journal_path, now_ns=SystemClock().now_ns) as signed:
        service = SignerService([key], guard=guard, journal=signed)
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(service.serve(parts.socket, stop, ready=ready), name="signer.serve")
            await ready.wait()
            if as_json:
                output.emit({"ready": True, "socket": str(parts.socket), "addresses": [key.address]})
            else:
                output.say(f"signing for {key.address} at {parts.socket}")


def _from_installation(root: Path) -> _Parts:
    from cli.data_dir import DataDir
    from cli.settings import load_settings

    custody = load_settings(DataDir(root).settings).custody
    if custody is None:
        raise InputError(f"{root} has no [custody] section: there is nothing to sign for")
    keystore = root / custody.keystore
    return _Parts(root / custody.signer_socket, keystore, custody.password, _journal_of(keystore), custody.policy, root)


def _policy(config: Path) -> PolicySettings:
    from cli.settings import load_settings

    custody = load_settings(config).custody
    if custody is None:
        raise InputError(f"{config} has no [custody.policy]", hint="without --config the signer refuses everything")
    return custody.policy


def _journal_of(keystore: Path) -> Path:
    return keystore.with_name("signer-journal.db")
