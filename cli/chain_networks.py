"""`capstan chain networks`: the chains that are known as data."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import output


def networks(
    name: Annotated[str, typer.Argument(help="A name or chain id; without it every network is listed.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> None:
    """Show the networks we know: ids, coins, finality, fees for layer 1, and with NAME their contracts and tokens.

    Endpoints are placeholders: set the variable they name to your nodes' URLs.
    """
    from chain.networks import network
    from chain.networks import networks as known

    if name:
        found = network(name)
        if as_json:
            output.emit(found)
        else:
            _describe(found.name)
        return
    if as_json:
        output.emit(known())
        return
    from rich.console import Console
    from rich.table import Table

    rows = Table("network", "chain id", "coin", "block time", "final", "layer 1 fee", "tokens", "contracts", box=None)
    for entry in known():
        final = "by tag" if entry.finality.kind == "tags" else f"{entry.finality.final_depth} blocks"
        rows.add_row(
            entry.name,
            str(int(entry.chain_id)),
            entry.coin.symbol,
            f"{entry.block_time_s:g} s",
            final,
            entry.l1_fee,
            str(len(entry.tokens)),
            str(len(entry.contracts)),
        )
    Console().print(rows)


def _describe(name: str) -> None:
    from chain.networks import network

    found = network(name)
    rule = found.finality
    typer.echo(f"{found.title}, chain id {found.chain_id}, {found.coin.symbol} wrapped as {found.coin.wrapped}")
    typer.echo(f"  nodes {', '.join(found.endpoints)}; private {', '.join(found.private_endpoints) or 'none'}")
    typer.echo(f"  finality by {rule.kind}, otherwise {rule.final_depth} blocks; layer 1 fee: {found.l1_fee}")
    for symbol, token in found.tokens.items():
        typer.echo(f"  token {symbol:<22} {token.address}  {token.decimals} decimals")
    for label, address in found.contracts.items():
        typer.echo(f"  {label:<28} {address}")
