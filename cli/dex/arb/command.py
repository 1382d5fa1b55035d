"""`capstan dex arb`: cycles over a chain's pools, found, carried out atomically, and accounted for."""

from __future__ import annotations

import typer

from cli.dex.arb import deploy, log, run, scan

app = typer.Typer(no_args_is_help=True, help="Arbitrage around cycles of pools, atomic and through custody.")


@app.callback()
def _group() -> None:
    """Cycles that begin and end in one token: found on local replicas, carried out in one transaction or not at all."""


app.command("deploy")(deploy.deploy)
app.command("scan")(scan.scan)
app.command("run")(run.run)
app.command("log")(log.show)
