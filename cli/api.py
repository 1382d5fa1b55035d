"""`capstan api`: serve an installation over HTTP."""

from __future__ import annotations

import sys
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from cli.data_dir import DataDir
from domain import InputError

app = typer.Typer(no_args_is_help=True, help="HTTP over an installation.")

DataDirOption = Annotated[Path, typer.Option(help="The installation.")]


@app.command()
def serve(
    data_dir: DataDirOption = Path(),
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond loopback with [api.tls] only, or behind a proxy with TLS.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8460,
) -> None:
    """Serve the whole API until SIGTERM: then new requests are told so, and what was asked is answered.

    With `[api.tls]` it speaks TLS 1.3 (docs/api/operations.md). Its log is JSON lines on standard error.
    """
    from cli.settings import load_settings

    data = DataDir(data_dir.resolve())
    settings = load_settings(data.settings)
    check_host(host, has_tls=settings.api.tls is not None)

    # Two seconds of imports: what is wrong in the settings was said before them.
    from api import create_app
    from api.auth.networks import parse_networks
    from api.server.guard import Limits
    from api.server.serving import Server
    from api.server.tls import server_context
    from cli.api_services import open_services
    from runtime import configure_logging, tracing

    configure_logging(level=settings.log.level)
    tls = None if settings.api.tls is None else server_context(settings.api.tls, data.root)
    limits = Limits(
        connections=settings.api.connections_max,
        per_address=settings.api.connections_per_address_max,
        trusted=parse_networks(settings.api.trusted_proxies),
    )
    app_ = create_app(open_services(data))
    prepare_to_serve()
    end_traces = tracing.start("capstan-api", settings.tracing, trusts_caller=False)
    try:
        Server(app_, host, port, tls=tls, limits=limits, drain_s=settings.api.drain_s).run()
    finally:
        end_traces()


def prepare_to_serve() -> None:
    """Set the interpreter up for a process that answers, once all it needs is loaded."""
    from runtime.processes import spare_the_collector

    # The loop shares the interpreter with database threads: it has its turn back sooner than after the default 5 ms.
    sys.setswitchinterval(0.000_5)
    spare_the_collector()


def check_host(host: str, *, has_tls: bool) -> None:
    """Keep what is not encrypted on this machine.

    Raises:
        InputError: An address beyond loopback, and no TLS.
    """
    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback and not has_tls:
        raise InputError(
            f"{host} is not a loopback address",
            hint="[api.tls] with certificate and key, or a proxy with TLS in front of it",
        )


@app.command()
def document() -> None:
    """Print the OpenAPI document of this release; clients are generated from it (docs/api/clients.md)."""
    import json

    from api.app import document as make

    typer.echo(json.dumps(make(), ensure_ascii=False, indent=2))


@app.command()
def bootstrap(
    organisation: Annotated[str, typer.Argument(help="Short name: lower-case letters, digits, hyphens.")],
    email: Annotated[str, typer.Option(help="Of its owner.")],
    name: Annotated[str, typer.Option(help="Its name for people; the short name if not given.")] = "",
    public_key: Annotated[
        str, typer.Option(help="The owner's Ed25519 public key, base64; without it an HMAC secret is made.")
    ] = "",
    data_dir: DataDirOption = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Make an organisation with its owner: password, seed for codes and API key are printed, this once.

    The first organisation of an installation, and every further one that shares it.
    """
    from dataclasses import asdict

    from api.auth.bootstrap import bootstrap as make
    from cli.api_services import open_services

    services = open_services(DataDir(data_dir.resolve()))
    try:
        made = make(
            services.auth, slug=organisation, name=name or organisation, email=email, public_key=public_key or None
        )
    finally:
        services.database.dispose()
    _show_once(asdict(made), as_json=as_json)


@app.command()
def recover(
    email: Annotated[str, typer.Argument(help="Of a person who has lost password or phone.")],
    data_dir: DataDirOption = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Give a person a new password and seed for codes, printed this once; sessions, passkeys and wallets are over."""
    from dataclasses import asdict

    from api.auth.recovery import recover as give
    from cli.api_services import open_services

    services = open_services(DataDir(data_dir.resolve()))
    try:
        given = give(services.auth, email)
    finally:
        services.database.dispose()
    _show_once(asdict(given), as_json=as_json)


def _show_once(made: dict[str, object], *, as_json: bool) -> None:
    from cli import output

    if as_json:
        output.emit(made)
        return
    for what, value in made.items():  # No table: it would cut what is longer than the terminal.
        typer.echo(f"{what:<14} {value or '-'}")
    output.say("None of this is shown again: keep the secrets apart.")
