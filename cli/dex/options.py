"""Options that every dex command shares. Imports nothing heavy: they are read when the command line is built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

ACCOUNT: Final = 5
"""The test account that trades on a devnet unless another is asked for: the demo's vault."""

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="capstan.toml of an installation: its signer, policy and books.")
]
RpcUrlOption = Annotated[str, typer.Option("--rpc-url", help="A node. Without --config it must be a devnet's.")]
DataOption = Annotated[
    Path | None, typer.Option("--data", help="Folder of a devnet desk's books; one for each devnet unless given.")
]
AccountOption = Annotated[
    int, typer.Option("--account", min=0, max=9, help="Which of the devnet's test accounts trades.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one line of JSON.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class DeskPlace:
    """Where a command finds its desk: one of `config` and `rpc_url`."""

    config: Path | None = None
    rpc_url: str = ""
    data: Path | None = None
    account: int = ACCOUNT
    """Test account on a devnet; an installation's account is in its settings."""
    address: str = ""
    """Of an installation another account than custody's, with a signer of its own if that is named."""
    signer_socket: str = ""
