"""`capstan dex`: one module a verb, each of which puts itself here."""

from __future__ import annotations

import typer

app = typer.Typer(no_args_is_help=True, help="Decentralised exchanges: quote, route, swap, liquidity, arbitrage.")


@app.callback()
def _group() -> None:
    """Decentralised exchanges: quotes and routes from local replicas, swaps through custody."""
