"""`capstan dex`: one module a verb, each of which puts itself here."""

from __future__ import annotations

import typer

from cli.dex import perps, quote, serve, swap
from cli.dex.arb.command import app as arb
from cli.dex.lp.command import app as lp

app = typer.Typer(no_args_is_help=True, help="Decentralised exchanges: quote, route, swap, liquidity, arbitrage.")


@app.callback()
def _group() -> None:
    """Decentralised exchanges: quotes and routes from local replicas, swaps through custody."""


# Modules of verbs import what they work with inside their functions: `capstan` must start fast.
app.command("quote")(quote.quote)
app.command("route")(quote.route)
app.command("swap")(swap.swap)
app.command("swaps")(swap.swaps)
app.command("serve")(serve.serve)
app.add_typer(perps.app, name="perps")
app.add_typer(arb, name="arb")
app.add_typer(lp, name="lp")
