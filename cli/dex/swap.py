"""`capstan dex swap` and `swaps`: a swap through custody, and what swaps gave against what was expected."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import output
from cli.dex.options import (
    ACCOUNT,
    AccountOption,
    ConfigOption,
    DataOption,
    DeskPlace,
    JsonOption,
    RpcUrlOption,
    YesOption,
)
from cli.dex.quote import AmountIn, AmountOut, MaxHops, TokenIn, TokenOut, raw_amount
from domain import InputError, Refused

if TYPE_CHECKING:
    from cli.dex.swap_log import Realised
    from cli.dex.swapping import Prepared
    from dex.execution.swaps import Through
    from dex.routing import Quote

SlippageBps = Annotated[
    int, typer.Option("--slippage-bps", min=0, max=9_999, help="How much worse than the quote it may end.")
]
Lifetime = Annotated[int, typer.Option("--deadline-s", min=1, max=86_400, help="Seconds of chain time it stays valid.")]
MaxImpact = Annotated[
    int, typer.Option("--max-impact-bps", min=1, help="Refuse quotes that are further from the mid price.")
]
ThroughOption = Annotated[
    str, typer.Option("--through", help="auto, swap-router-02, universal-router or balancer-vault.")
]
Send = Annotated[bool, typer.Option("--send", help="Send it. Without this nothing is signed.")]


def swap(
    token_in: TokenIn,
    token_out: TokenOut,
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    amount_in: AmountIn = "",
    amount_out: AmountOut = "",
    slippage_bps: SlippageBps = 50,
    deadline_s: Lifetime = 120,
    max_impact_bps: MaxImpact = 1_000,
    through: ThroughOption = "auto",
    max_hops: MaxHops = 3,
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    send: Send = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Swap through custody: show the plan and what stands in its way; with --send, carry it out.

    It is quoted on the newest block, bounded, tried out in an imagined block, and sent only if nothing stands in its
    way. Approvals are for exact amounts; permits are signed through custody like everything else.
    """
    if as_json and send and not yes:
        raise InputError("--json asks no questions", hint="add --yes, or leave --send out for a dry run")
    place = DeskPlace(config=config, rpc_url=rpc_url, data=data, account=account)
    wish = _Wish(
        token_in, token_out, amount_in, amount_out, max_hops, slippage_bps, deadline_s, max_impact_bps, through
    )
    asyncio.run(_swap(place, wish, send=send, is_sure=yes, as_json=as_json))


def swaps(
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    as_json: JsonOption = False,
) -> None:
    """List swaps: what each was expected to give, and what it gave."""
    found = asyncio.run(_swaps(DeskPlace(config=config, rpc_url=rpc_url, data=data, account=account)))
    if as_json:
        output.emit(found)
        return
    from cli.dex.swap_tables import print_swaps

    print_swaps(found)


class _Wish:
    """What is to be swapped, and what is tolerated."""

    def __init__(
        self,
        token_in: str,
        token_out: str,
        amount_in: str,
        amount_out: str,
        max_hops: int,
        slippage_bps: int,
        deadline_s: int,
        max_impact_bps: int,
        through: str,
    ) -> None:
        from dex.execution.slippage import SlippagePolicy
        from dex.execution.swaps import Through

        choices = {each.value: each for each in Through}
        if through != "auto" and through not in choices:
            raise InputError(f"--through takes auto, {', '.join(choices)}, found {through!r}")
        self.through = choices.get(through)
        self.ends = (token_in, token_out)
        self.amount = raw_amount("--amount-in", amount_in) if amount_in else raw_amount("--amount-out", amount_out)
        self.is_exact_out = not amount_in
        if amount_in and amount_out:
            raise InputError("give either --amount-in or --amount-out", hint="The other one is what is asked for.")
        self.max_hops = max_hops
        self.policy = SlippagePolicy(tolerance_bps=slippage_bps, lifetime_s=deadline_s, impact_bps_max=max_impact_bps)


async def _swap(place: DeskPlace, wish: _Wish, *, send: bool, is_sure: bool, as_json: bool) -> None:
    from rich.console import Console

    from chain import ChainClient
    from chain.network import identify
    from cli.dex.desk import account_of, open_desk
    from cli.dex.market import open_market
    from cli.dex.swap_tables import prepared_json, print_prepared, print_realised
    from cli.dex.swapping import carry_out, contracts_on, prepare, quote_through
    from dex.execution.swaps import Through

    url, chain_id, owner = await account_of(place)

    async def quote(through: Through | None) -> Quote:
        async with open_market(url, wish.ends, all_pools=through is Through.BALANCER) as market:
            return await quote_through(
                market, wish.ends, wish.amount, through, is_exact_out=wish.is_exact_out, max_hops=wish.max_hops
            )

    # Standard error, and only where somebody watches.
    watched = Console(stderr=True)
    with watched.status("quoting, and trying it out …"):
        async with ChainClient([url], chain_id) as client:
            contracts = await contracts_on(client, await identify(client))
            prepared = await prepare(client, await quote(wish.through), wish.policy, contracts, owner, wish.through)
    told: dict[str, Any] = {"sent": False, **prepared_json(prepared)}
    if not as_json:
        print_prepared(prepared)
    if not send:
        if as_json:
            output.emit(told)
        else:
            output.say("nothing was sent: this is a dry run; --send sends it")
        return
    _ensure_ready(prepared)
    if not is_sure:
        typer.confirm("send it?", abort=True, err=True)
    with watched.status("approving, signing, sending …"):
        async with open_desk(place) as desk:
            done = await carry_out(desk, prepared, wish.policy, quote)
    if as_json:
        output.emit({**told, "sent": True, **_outcome(done)})
    else:
        print_realised(done)
    if done.status != "mined":
        raise Refused(f"{done.expected.intent_id} was mined and did nothing: {done.reason}", rule=done.status)


def _ensure_ready(prepared: Prepared) -> None:
    for problem in prepared.obstacles:
        raise Refused(f"not sent: {problem.text}", rule=problem.cause, hint=problem.hint)


def _outcome(done: Realised) -> dict[str, Any]:
    return {
        "intent_id": done.expected.intent_id,
        "status": done.status,
        "amount_in_settled": int(done.amount_in),
        "amount_out_settled": int(done.amount_out),
        "difference_bps": done.difference_bps,
        "gas_cost_wei": int(done.gas_cost_wei),
        "tx_hash": done.tx_hash,
        "block_number": done.block_number,
    }


async def _swaps(place: DeskPlace) -> list[Realised]:
    from cli.books import open_existing
    from cli.dex.desk import books_of
    from cli.dex.swap_log import SwapLog
    from custody.transactions.operations import Operations
    from runtime import SystemClock

    root, url = await books_of(place)
    operations = Operations(open_existing(None, url), SystemClock().now_ns)
    return SwapLog(Path(root)).read(operations.outcome)
