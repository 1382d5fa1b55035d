"""A quote for people (a table, a picture of the flow) and for machines."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal, localcontext
from typing import Any

import msgspec

from dex.pools import ZERO_ADDRESS
from dex.routing import Hop, Path, Quote
from domain import Asset


def _raw(amount: int) -> Any:
    """Write an integer of any size: msgspec's own end at 64 bits."""
    return msgspec.Raw(str(amount).encode())


def quote_json(
    quote: Quote, *, raw: Callable[[int], Any] = _raw, rounded: Callable[[float, int], Any] = round
) -> dict[str, Any]:
    """Write a quote for machines.

    Args:
        quote: It.
        raw: Writes an amount in raw units; else as JSON integers, which may pass 2^53.
        rounded: Writes a fraction with so many digits.
    """
    return {
        "id": quote.id,
        "chain_id": quote.chain_id,
        "block": quote.block_number,
        "block_hash": quote.block_hash,
        "token_in": _token_json(quote.token_in),
        "token_out": _token_json(quote.token_out),
        "amount_in": raw(quote.amount_in),
        "amount_out": raw(quote.amount_out),
        "is_exact_out": quote.is_exact_out,
        "mid_price": _short(_whole_price(quote)).replace(",", ""),
        "impact_bps": rounded(quote.impact_bps, 4),
        "gas_units": quote.gas_units,
        "gas_cost": raw(quote.gas_cost),
        "by_call": quote.by_call,
        "route": [
            {
                "share": rounded(_share(quote, path), 6),
                "amount_in": raw(path.amount_in),
                "amount_out": raw(path.amount_out),
                "hops": [_hop_json(hop, raw) for hop in path.hops],
            }
            for path in quote.paths
        ],
    }


def print_quote(quote: Quote) -> None:
    """Print what a swap comes to."""
    from rich.console import Console
    from rich.table import Table

    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_row("give", _amount(quote.amount_in, quote.token_in) + (" at most" if quote.is_exact_out else ""))
    rows.add_row("get", _amount(quote.amount_out, quote.token_out))
    rows.add_row("mid price", f"{_short(_whole_price(quote))} {quote.token_out.symbol} per {quote.token_in.symbol}")
    rows.add_row("impact", f"{quote.impact_bps:.2f} bps, fees included")
    if quote.gas_units:
        paid_in = quote.token_in if quote.is_exact_out else quote.token_out
        rows.add_row("gas", f"about {quote.gas_units:,} units, worth {_amount(quote.gas_cost, paid_in)}")
    pools = len({hop.pool.id for path in quote.paths for hop in path.hops})
    rows.add_row("route", f"{_count(len(quote.paths), 'path')} over {_count(pools, 'pool')}")
    if quote.by_call:
        rows.add_row(
            "by call", f"{_count(len(quote.by_call), 'pool')} with hooks or a dynamic fee: asked, not computed"
        )
    rows.add_row("block", f"{quote.block_number} {quote.block_hash}")
    Console().print(rows)


def print_route(quote: Quote) -> None:
    """Print the flow: a line for each path, split at the left and joined at the right."""
    from rich.console import Console

    console = Console(highlight=False)
    console.print(f"[bold]{_amount(quote.amount_in, quote.token_in)}[/]")
    for number, path in enumerate(quote.paths, 1):
        bend = "└" if number == len(quote.paths) else "├"
        line = f" {bend}─ {_share(quote, path):>7.2%} "
        for hop in path.hops:
            line += f"─\\[{_pool_name(hop)}]─▶ {hop.token_out.symbol} "
        console.print(f"{line}[dim]{_amount(path.amount_out, quote.token_out)}[/]", soft_wrap=True)
    console.print(f"[bold]{_amount(quote.amount_out, quote.token_out)}[/]\n")


def _share(quote: Quote, path: Path) -> float:
    """Give a path's share of what is fixed: of the input, or of an exact output."""
    return path.amount_out / quote.amount_out if quote.is_exact_out else path.amount_in / quote.amount_in


def _hop_json(hop: Hop, raw: Callable[[int], Any]) -> dict[str, Any]:
    spec = hop.pool
    return {
        "pool": spec.id,
        "kind": spec.kind,
        "address": spec.address,
        "pool_id": spec.pool_id,
        "fee_pips": spec.fee_pips,
        "token_in": _token_json(hop.token_in),
        "token_out": _token_json(hop.token_out),
        "amount_in": raw(hop.amount_in),
        "amount_out": raw(hop.amount_out),
    }


def _token_json(asset: Asset) -> dict[str, Any]:
    address = asset.id.partition("/erc20:")[2] or ZERO_ADDRESS
    return {"symbol": asset.symbol, "address": address, "decimals": asset.decimals}


def _pool_name(hop: Hop) -> str:
    return f"{hop.pool.kind} {Decimal(hop.pool.fee_pips) / 10_000:f}%"


def _amount(raw: int, asset: Asset) -> str:
    with localcontext(prec=100):
        return f"{_short(Decimal(raw).scaleb(-asset.decimals))} {asset.symbol}"


def _short(number: Decimal) -> str:
    """Write a number without zeros at its end."""
    text = f"{number:,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _whole_price(quote: Quote) -> Decimal:
    """Give the mid price per whole token to 12 significant digits; for reading."""
    with localcontext(prec=12):
        raw = Decimal(quote.mid_price.numerator) / Decimal(quote.mid_price.denominator)
        return raw.scaleb(quote.token_in.decimals - quote.token_out.decimals)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
