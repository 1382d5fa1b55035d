"""A position against holding, over the prices around its range, as an image."""

from __future__ import annotations

from pathlib import Path

from cli.dex.lp.report import Report
from dex.liquidity import amounts_down, tick_at
from dex.liquidity.policies import price_of
from dex.replicas.tick_math import MAX_SQRT_PRICE, MIN_SQRT_PRICE, Q96
from domain import InputError

_POINTS = 400


def draw(report: Report, path: Path) -> None:
    """Write a PNG or SVG: what the position and its tokens would be worth at each price, fees with and without.

    Raises:
        InputError: The file cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    position, account, (zero, one) = report.position, report.account, report.assets
    spec, span = position.pool.spec, position.span
    low, high = span.sqrt_lower, span.sqrt_upper
    roots = [
        min(MAX_SQRT_PRICE - 1, max(MIN_SQRT_PRICE, int(low * 0.97 + (high * 1.03 - low * 0.97) * n / _POINTS)))
        for n in range(_POINTS + 1)
    ]
    prices = [price_of(spec, root) for root in roots]
    if is_turned := spec.token1.decimals > spec.token0.decimals:
        prices = [1 / price for price in prices]

    def worth(amounts: tuple[int, int], root: int) -> float:
        """In whole units of the token that prices are in."""
        ratio = (root / Q96) ** 2
        if is_turned:
            return float((amounts[0] + amounts[1] / ratio) / zero.unit)
        return float((amounts[1] + amounts[0] * ratio) / one.unit)

    held = tuple(paid - out for paid, out in zip(account.paid_in, account.taken_out, strict=True))
    own = [worth(amounts_down(root, tick_at(root), span, position.liquidity), root) for root in roots]
    fees = [worth(account.fees, root) for root in roots]
    figure, axes = pyplot.subplots(figsize=(9, 5), layout="constrained")
    axes.plot(prices, [worth((held[0], held[1]), root) for root in roots], "--", color="tab:gray", label="held instead")
    axes.plot(prices, own, color="tab:blue", label="position")
    axes.plot(prices, [a + b for a, b in zip(own, fees, strict=True)], color="tab:green", label="position and fees")
    ends = sorted(1 / price_of(spec, end) if is_turned else price_of(spec, end) for end in (low, high))
    axes.axvspan(*ends, color="tab:blue", alpha=0.08, label="range")
    here = price_of(spec, position.pool.sqrt_price_x96)
    axes.axvline(1 / here if is_turned else here, color="black", linewidth=1, label="price now")
    quote, base = (spec.token0, spec.token1) if is_turned else (spec.token1, spec.token0)
    axes.set_xlabel(f"{quote.symbol} per {base.symbol}")
    axes.set_ylabel(f"worth in {quote.symbol}")
    axes.set_title(f"{position.id} {spec.token0.symbol}/{spec.token1.symbol} {spec.fee_pips / 10_000:g} %")
    axes.legend()
    axes.grid(alpha=0.3)
    try:
        figure.savefig(path, dpi=110)
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot write {path}: {exc}", hint="A name ending in .png or .svg.") from exc
    finally:
        pyplot.close(figure)
