"""`capstan dex lp`: see positions, and carry out plans for them through custody.

Without `--send` a verb prints what it would do and stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
from domain import InputError

if TYPE_CHECKING:
    from cli.dex.lp.place import Places
    from dex.liquidity import Order, Planned, Position

app = typer.Typer(no_args_is_help=True, help="Liquidity positions on Uniswap V3 and V4.")

OwnerOption = Annotated[str, typer.Option("--owner", help="Whose positions; the desk's own account unless given.")]
FromBlockOption = Annotated[int, typer.Option("--from-block", min=0, help="Where to begin looking for V4 positions.")]
PositionArgument = Annotated[str, typer.Argument(help="Like v3:17 or v4:3; see `list`.")]
PoolOption = Annotated[
    str, typer.Option("--pool", help="Like v3:WETH/USDC/500 or v4:ETH/USDC/3000, an address, or a V4 pool's id.")
]
Amount0Option = Annotated[str, typer.Option("--amount0", help="Of token 0 (lower address) at most, in smallest units.")]
Amount1Option = Annotated[str, typer.Option("--amount1", help="Of token 1 at most, in smallest units.")]
ToleranceOption = Annotated[
    int, typer.Option("--tolerance-bps", min=0, max=9_999, help="How far the price may move until it is mined.")
]
DeadlineOption = Annotated[int, typer.Option("--deadline-s", min=1, help="Seconds of chain time it stays valid.")]
SendOption = Annotated[bool, typer.Option("--send", help="Carry it out; without, it is only shown.")]

Make = Callable[["Places", "Order"], Awaitable["Planned"]]


@app.command("list")
def list_positions(
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    account: AccountOption = ACCOUNT,
    owner: OwnerOption = "",
    from_block: FromBlockOption = 0,
    as_json: JsonOption = False,
) -> None:
    """List an account's positions: what each holds, what it has earned, whether the price is within its range."""
    from cli.dex.lp import show

    async def work() -> list[Position]:
        from cli.dex.lp.place import open_reading

        async with open_reading(DeskPlace(config, rpc_url, None, account), owner) as places:
            return await places.reader.of_owner(places.owner, from_block=from_block)

    found = asyncio.run(work())
    if as_json:
        output.emit([show.position_json(position) for position in found])
    else:
        show.print_positions(found)


@app.command()
def mint(
    pool: PoolOption,
    amount0: Amount0Option = "0",
    amount1: Amount1Option = "0",
    lower: Annotated[int | None, typer.Option("--lower", help="Lower tick, on the pool's spacing.")] = None,
    upper: Annotated[int | None, typer.Option("--upper", help="Upper tick.")] = None,
    width_percent: Annotated[
        float | None, typer.Option("--width-percent", help="Or: so far up and down from the present price.")
    ] = None,
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    tolerance_bps: ToleranceOption = 50,
    deadline_s: DeadlineOption = 600,
    send: SendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Provide liquidity between two ticks: a new position of what the amounts, at most, pay for."""
    given = (_raw("--amount0", amount0), _raw("--amount1", amount1))

    async def make(places: Places, order: Order) -> Planned:
        from dex.liquidity import Range, plan_mint
        from dex.liquidity.policies import around

        spec = await places.pools.find(pool)
        now, spacing = await places.reader.pool(spec), await places.reader.spacing(spec)
        if width_percent is not None and lower is None and upper is None:
            span = around(now.tick, spacing, width_percent)
        elif lower is not None and upper is not None and width_percent is None:
            span = Range(lower, upper, spacing)
        else:
            raise InputError("give --lower and --upper, or --width-percent", hint="--width-percent 5")
        return plan_mint(order, now, span, given)

    _run("mint", make, DeskPlace(config, rpc_url, data, account), tolerance_bps, deadline_s, send, yes, as_json)


@app.command()
def add(
    position: PositionArgument,
    amount0: Amount0Option = "0",
    amount1: Amount1Option = "0",
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    tolerance_bps: ToleranceOption = 50,
    deadline_s: DeadlineOption = 600,
    send: SendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add liquidity to a position: of what the amounts, at most, pay for."""
    given = (_raw("--amount0", amount0), _raw("--amount1", amount1))

    async def make(places: Places, order: Order) -> Planned:
        from dex.liquidity import plan_add

        return plan_add(order, await _position(places, position), given)

    _run("add", make, DeskPlace(config, rpc_url, data, account), tolerance_bps, deadline_s, send, yes, as_json)


@app.command()
def remove(
    position: PositionArgument,
    percent: Annotated[int, typer.Option("--percent", min=1, max=100, help="How much of its liquidity.")] = 100,
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    tolerance_bps: ToleranceOption = 50,
    deadline_s: DeadlineOption = 600,
    send: SendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take liquidity out of a position, and its fees with it. The position stays; `burn` ends it."""

    async def make(places: Places, order: Order) -> Planned:
        from dex.liquidity import plan_remove

        found = await _position(places, position)
        return plan_remove(order, found, found.liquidity * percent // 100)

    _run("remove", make, DeskPlace(config, rpc_url, data, account), tolerance_bps, deadline_s, send, yes, as_json)


@app.command()
def collect(
    position: PositionArgument,
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    deadline_s: DeadlineOption = 600,
    send: SendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take a position's fees."""

    async def make(places: Places, order: Order) -> Planned:
        from dex.liquidity import plan_collect

        return plan_collect(order, await _position(places, position))

    _run("collect", make, DeskPlace(config, rpc_url, data, account), 0, deadline_s, send, yes, as_json)


@app.command()
def burn(
    position: PositionArgument,
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    tolerance_bps: ToleranceOption = 50,
    deadline_s: DeadlineOption = 600,
    send: SendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """End a position: all of its liquidity and fees, and its token gone."""

    async def make(places: Places, order: Order) -> Planned:
        from dex.liquidity import plan_burn

        return plan_burn(order, await _position(places, position))

    _run("burn", make, DeskPlace(config, rpc_url, data, account), tolerance_bps, deadline_s, send, yes, as_json)


@app.command()
def rebalance(
    position: PositionArgument,
    policy: Annotated[
        str, typer.Option("--policy", help="static, volatility or inventory: how the range is chosen.")
    ] = "static",
    width_percent: Annotated[float, typer.Option("--width-percent", help="So far up and down, of a static range.")] = 5,
    volatility_day: Annotated[
        float, typer.Option("--volatility-day", help="Standard deviation of a day's log return: 0.04 is 4 %.")
    ] = 0.0,
    horizon_h: Annotated[float, typer.Option("--horizon-h", help="Hours until one looks again.")] = 24,
    lean: Annotated[float, typer.Option("--lean", help="How far an inventory range leans: 0 to 1.")] = 0.5,
    only_if_needed: Annotated[
        bool, typer.Option("--only-if-needed", help="Stay unless the price left the range or the wish is far off.")
    ] = False,
    slippage_bps: Annotated[int, typer.Option("--slippage-bps", min=0, max=9_999, help="Of the swap.")] = 50,
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    tolerance_bps: ToleranceOption = 50,
    deadline_s: DeadlineOption = 600,
    send: SendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Move a position to the range its policy wants: end it, swap what does not fit, provide again."""
    from cli.dex.lp.rebalance import Terms
    from cli.dex.lp.rebalance import rebalance as carry_out
    from dex.liquidity.policies import policy_named

    terms = Terms(
        policy=policy_named(policy, width_percent=width_percent, horizon_h=horizon_h, lean=lean),
        volatility_day=volatility_day,
        only_if_needed=only_if_needed,
        tolerance_bps=tolerance_bps,
        slippage_bps=slippage_bps,
        deadline_s=deadline_s,
    )
    place = DeskPlace(config, rpc_url, data, account)
    asyncio.run(carry_out(place, position, terms, send=send, yes=yes, as_json=as_json))


@app.command()
def move(
    manager: Annotated[str, typer.Argument(help="A V3LpManager or V4LpManager that the account may move.")],
    policy: Annotated[str, typer.Option("--policy", help="static, volatility or inventory.")] = "static",
    width_percent: Annotated[float, typer.Option("--width-percent", help="So far up and down, of a static range.")] = 5,
    volatility_day: Annotated[float, typer.Option("--volatility-day", help="Of a day's log return: 0.04 is 4 %.")] = 0,
    horizon_h: Annotated[float, typer.Option("--horizon-h", help="Hours until one looks again.")] = 24,
    lean: Annotated[float, typer.Option("--lean", help="How far an inventory range leans: 0 to 1.")] = 0.5,
    fee_bps: Annotated[int, typer.Option("--fee-bps", min=0, max=9_999, help="What its pool's swaps cost.")] = 0,
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    data: DataOption = None,
    account: AccountOption = ACCOUNT,
    tolerance_bps: ToleranceOption = 50,
    deadline_s: DeadlineOption = 600,
    send: SendOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show a manager contract, and move its liquidity to the range a policy wants, in one transaction."""
    from cli.dex.lp.managed import Wish, move_manager
    from dex.liquidity.policies import policy_named

    wish = Wish(
        policy=policy_named(policy, width_percent=width_percent, horizon_h=horizon_h, lean=lean),
        volatility_day=volatility_day,
        fee_bps=fee_bps,
        tolerance_bps=tolerance_bps,
        deadline_s=deadline_s,
    )
    place = DeskPlace(config, rpc_url, data, account)
    asyncio.run(move_manager(place, manager, wish, send=send, yes=yes, as_json=as_json))


@app.command()
def report(
    position: PositionArgument,
    rpc_url: RpcUrlOption = "",
    config: ConfigOption = None,
    account: AccountOption = ACCOUNT,
    from_block: FromBlockOption = 0,
    image: Annotated[Path | None, typer.Option("--image", help="Draw it against holding, as .png or .svg.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what a position has brought: fees, against holding its tokens, against trading along with the price."""
    from cli.dex.lp.report import read_report

    found = asyncio.run(read_report(DeskPlace(config, rpc_url, None, account), position, from_block=from_block))
    if image is not None:
        from cli.dex.lp.picture import draw

        draw(found, image)
    if as_json:
        output.emit(found.to_json())
    else:
        found.print()


async def _position(places: Places, text: str) -> Position:
    from dex.liquidity import PositionId

    (found,) = await places.reader.read([PositionId.parse(text)])
    return found


def _run(
    verb: str,
    make: Make,
    place: DeskPlace,
    tolerance_bps: int,
    deadline_s: int,
    send: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Plan, show, ask, carry out."""
    from cli.dex.lp.work import carry, preview

    asyncio.run(
        (carry if send else preview)(
            verb, make, place, tolerance_bps=tolerance_bps, deadline_s=deadline_s, yes=yes, as_json=as_json
        )
    )


def _raw(option: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 78):
        raise InputError(
            f"{option} takes a whole number of smallest units, found {text!r}",
            hint="One USDC is 1000000, one WETH 1000000000000000000.",
        )
    return int(text)
