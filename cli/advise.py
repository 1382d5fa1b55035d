"""`capstan advise`: from what a client can bear and the past of some assets to an allocation, and its strategy."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import output
from domain import InputError

if TYPE_CHECKING:
    from engine.services.advisory import Advice, Floats

app = typer.Typer()

YEAR_S = 365 * 86_400


@app.command()
def advise(
    assets: Annotated[list[str], typer.Argument(help="VENUE:SYMBOL=FILE of bars, for each asset.")],
    loss: Annotated[float, typer.Option(help="Share whose loss in a bad year (one of twenty) is bearable.")],
    years: Annotated[float, typer.Option(help="Until the money is needed.")],
    cash: Annotated[str, typer.Option(help="What there is, in the quote asset.")] = "10000",
    asset_max: Annotated[float, typer.Option(help="Largest share of one asset.")] = 0.5,
    as_json: Annotated[bool, typer.Option("--json", help="One line of JSON.")] = False,
) -> None:
    """Print settings of a strategy that keeps the advised weights. Trades nothing; forecasts no returns."""
    from engine.services.advisory import Profile
    from engine.services.advisory import advise as make

    returns, periods = _returns(assets)
    advice = make(Profile(loss, years), returns, periods_per_year=periods, asset_max=asset_max)
    if as_json:
        output.emit(
            {
                "profile": advice.profile.name,
                "weights": {name: str(weight) for name, weight in advice.weights.items() if weight},
                "cash": str(advice.cash),
                "volatility": advice.volatility,
                "volatility_max": advice.profile.volatility_max,
            }
        )
    else:
        typer.echo(_table(advice, Decimal(cash)))


def _returns(assets: list[str]) -> tuple[dict[str, Floats], float]:
    """Returns per bar at the times that all files have, and how many bars a year has.

    Raises:
        InputError: Not NAME=FILE, or files without a time in common.
    """
    import numpy as np
    import polars as pl

    from engine.data import read_bars

    closes: pl.DataFrame | None = None
    for item in assets:
        name, _, path = item.partition("=")
        if not path or ":" not in name:
            raise InputError(f"expected VENUE:SYMBOL=FILE, found {item}")
        bars = read_bars(Path(path)).select("time", pl.col("close").alias(name))
        closes = bars if closes is None else closes.join(bars, on="time", how="inner")
    if closes is None or closes.height < 2:
        raise InputError("the files have no two times in common")
    closes = closes.sort("time")
    seconds = np.median(np.diff(closes["time"].dt.epoch("s").to_numpy()))
    prices = {name: closes[name].to_numpy() for name in closes.columns if name != "time"}
    return {name: np.diff(np.log(price)) for name, price in prices.items()}, float(YEAR_S / seconds)


def _table(advice: Advice, cash: Decimal) -> str:
    settings = advice.settings(cash)
    weights = "\n".join(f'"{name}" = "{weight}"' for name, weight in settings.weights.items())
    return (
        f"# {advice.profile.name}: volatility {advice.volatility:.1%} of {advice.profile.volatility_max:.1%} a year, "
        f"{advice.cash:.1%} cash\n"
        f'[[strategies]]\nkind = "{settings.kind}"\nid = "{settings.id}"\ncash = "{settings.cash}"\n'
        f'band_relative = "{settings.band_relative}"\n\n[strategies.weights]\n{weights}'
    )
