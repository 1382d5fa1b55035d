"""`capstan dex quote` and `route`: what a swap would give now, and the way it takes."""

from __future__ import annotations

import asyncio
import os
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from cli.dex.options import JsonOption, RpcUrlOption
from domain import InputError

if TYPE_CHECKING:
    from dex.routing import Quote

TokenIn = Annotated[str, typer.Option("--token-in", help="Token to give: a symbol, or an address.")]
TokenOut = Annotated[str, typer.Option("--token-out", help="Token to get: a symbol, or an address.")]
AmountIn = Annotated[str, typer.Option("--amount-in", help="Give exactly so much, in the token's smallest unit.")]
AmountOut = Annotated[str, typer.Option("--amount-out", help="Or get exactly so much.")]
MaxHops = Annotated[int, typer.Option("--max-hops", min=1, max=3, help="Pools one after another, at most.")]
AllPools = Annotated[
    bool,
    typer.Option("--all-pools", help="Also Balancer's pools: `swap` takes one of them with --through balancer-vault."),
]

CrosscheckBps = Annotated[
    str,
    typer.Option("--crosscheck-bps", help="Ask uniswap-python too; refuse when a pool differs by more. Needs make."),
]


def quote(
    token_in: TokenIn,
    token_out: TokenOut,
    rpc_url: RpcUrlOption = "http://127.0.0.1:8545",
    amount_in: AmountIn = "",
    amount_out: AmountOut = "",
    max_hops: MaxHops = 3,
    all_pools: AllPools = False,
    crosscheck_bps: CrosscheckBps = "",
    as_json: JsonOption = False,
) -> None:
    """Say what a swap would give at the newest block, to the last unit. Nothing is sent and no key is touched."""
    bound = _bound(crosscheck_bps) if crosscheck_bps else None
    found = asyncio.run(
        find_quote(rpc_url, token_in, token_out, amount_in, amount_out, max_hops=max_hops, all_pools=all_pools)
    )
    opinions = [] if bound is None else asyncio.run(second_opinions(rpc_url, found, bound))
    if as_json:
        from cli.dex.routes import quote_json

        output.emit(quote_json(found) | ({} if bound is None else {"crosscheck": opinions}))
        return
    from cli.dex.routes import print_quote

    print_quote(found)
    for opinion in opinions:
        output.say(f"uniswap-python agrees on {opinion['pool']}: {opinion['disagreement_bps']} bps apart")


def route(
    token_in: TokenIn,
    token_out: TokenOut,
    rpc_url: RpcUrlOption = "http://127.0.0.1:8545",
    amount_in: AmountIn = "",
    amount_out: AmountOut = "",
    max_hops: MaxHops = 3,
    all_pools: AllPools = False,
    as_json: JsonOption = False,
) -> None:
    """Show the way a swap would take: every pool, its share, and what flows through."""
    found = asyncio.run(
        find_quote(rpc_url, token_in, token_out, amount_in, amount_out, max_hops=max_hops, all_pools=all_pools)
    )
    if as_json:
        from cli.dex.routes import quote_json

        output.emit(quote_json(found))
        return
    from cli.dex.routes import print_quote, print_route

    print_route(found)
    print_quote(found)


async def find_quote(
    rpc_url: str,
    token_in: str,
    token_out: str,
    amount_in: str,
    amount_out: str,
    *,
    max_hops: int,
    all_pools: bool = False,
) -> Quote:
    """Quote an exact input or an exact output, whichever is given.

    Raises:
        InputError: Neither or both amounts, or one that is no whole number.
        Refused: No route.
    """
    if bool(amount_in) == bool(amount_out):
        raise InputError("give either --amount-in or --amount-out", hint="The other one is what is asked for.")
    amount = raw_amount("--amount-in", amount_in) if amount_in else raw_amount("--amount-out", amount_out)
    # The solver's systems are small: more threads would cost more than they bring. Before numpy is loaded.
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    from cli.dex.market import open_market

    async with open_market(rpc_url, (token_in, token_out), all_pools=all_pools) as opened:
        return await opened.quote(token_in, token_out, amount, is_exact_out=not amount_in, max_hops=max_hops)


async def second_opinions(rpc_url: str, found: Quote, bound_bps: Decimal) -> list[dict[str, str]]:
    """Have uniswap-python quote the pools of a route, as far as it knows them.

    Raises:
        InputError: It is not installed.
        Refused: It differs by more than the bound, or has no opinion at all.
        VenueUnavailable: It does not answer.
    """
    from chain import ChainClient
    from chain.network import NetworkKind, identify
    from dex.crosscheck import UniswapPython, check_quote

    async with ChainClient([rpc_url], found.chain_id) as client:
        is_devnet = await identify(client) is NetworkKind.DEVNET
    async with UniswapPython(rpc_url, network_like="mainnet" if is_devnet else "") as second:
        opinions = await check_quote(second.amount_out, found, bound_bps=Fraction(bound_bps))
    return [
        {
            "pool": str(opinion.hop.pool.id),
            "ours": str(opinion.hop.amount_out),
            "theirs": str(opinion.theirs),
            "disagreement_bps": f"{float(opinion.disagreement_bps):.4f}",
        }
        for opinion in opinions
    ]


def _bound(text: str) -> Decimal:
    try:
        bound = Decimal(text)
    except InvalidOperation as exc:
        raise InputError(f"--crosscheck-bps takes a number, found {text!r}") from exc
    if not bound.is_finite() or bound < 0:
        raise InputError(f"--crosscheck-bps must not be negative, found {text}")
    return bound


def raw_amount(option: str, text: str) -> int:
    """Read an amount in a token's smallest unit.

    Raises:
        InputError: Not a positive whole number.
    """
    if not (text.isascii() and text.isdigit() and int(text) > 0 and len(text) <= 78):
        found = f", found {text!r}" if text else ""
        raise InputError(
            f"{option} takes a positive whole number{found}",
            hint="Raw units: one USDC is 1000000, one ETH 1000000000000000000.",
        )
    return int(text)
