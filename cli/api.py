"""`capstan api`: serve an installation over HTTP."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from cli.data_dir import DataDir
from domain import InputError

app = typer.Typer(no_args_is_help=True, help="HTTP over an installation.")


@app.callback()
def _group() -> None:
    """Keep `serve` a subcommand although it is the only one."""


@app.command()
def serve(
    data_dir: Annotated[Path, typer.Option(help="The installation.")] = Path(),
    host: Annotated[str, typer.Option(help="A loopback address: this API has no users yet.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8460,
) -> None:
    """Serve health, engine status, kill, books and metrics until SIGTERM."""
    import uvicorn

    from api import create_app
    from cli.api_services import open_services

    try:
        is_loopback = ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback:
        raise InputError(f"{host} is not a loopback address", hint="put a proxy with authentication in front of it")
    services = open_services(DataDir(data_dir.resolve()))
    uvicorn.run(create_app(services), host=host, port=port, log_level="warning")
