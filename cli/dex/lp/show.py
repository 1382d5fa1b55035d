"""Positions and plans, for people and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, localcontext
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.dex.lp.carry import Carried
from dex.liquidity import Planned, Position
from dex.liquidity.policies import price_of
from dex.pools import PoolSpec
from domain import Asset


def position_json(position: Position) -> dict[str, Any]:
    """Write a position; amounts are text, in smallest units."""
    spec = position.pool.spec
    return {
        "id": str(position.id),
        "owner": position.owner,
        "pool": spec.pool_id or spec.address,
        "kind": spec.kind,
        "fee_pips": spec.fee_pips,
        "token0": _token_json(spec, 0),
        "token1": _token_json(spec, 1),
        "tick_lower": position.span.lower,
        "tick_upper": position.span.upper,
        "tick": position.pool.tick,
        "in_range": position.is_earning,
        "liquidity": str(position.liquidity),
        "amounts": [str(raw) for raw in position.amounts],
        "fees": [str(raw) for raw in position.fees],
        "block": position.pool.block_number,
    }


def planned_json(planned: Planned) -> dict[str, Any]:
    """Write a plan."""
    plan = planned.plan
    return {
        "intent_id": plan.intent_id,
        "to": plan.to,
        "data": "0x" + plan.data.hex(),
        "deadline_s": plan.deadline_s,
        "liquidity": str(planned.liquidity),
        "expected": [str(raw) for raw in planned.expected],
        "at_most": {need.amount.asset.symbol: str(need.amount.raw) for need in planned.needs},
        "at_least": {amount.asset.symbol: str(amount.raw) for amount in plan.receives_min},
    }


def carried_json(done: Carried) -> dict[str, Any]:
    """Write what became of a plan."""
    kind = "v4" if any(need.permit2 for need in done.planned.needs) else "v3"
    return {
        "intent_id": done.planned.plan.intent_id,
        "tx_hash": done.outcome.tx_hash,
        "block": done.outcome.block_number,
        "moved": [str(raw) for raw in done.moved],
        "expected": [str(raw) for raw in done.planned.expected],
        "liquidity": str(done.planned.liquidity),
        "gas_cost_wei": done.outcome.gas_cost_wei,
        "transactions": done.transactions,
        **({"position": f"{kind}:{done.created}"} if done.created else {}),
    }


def print_positions(positions: Sequence[Position]) -> None:
    """Print a table of positions."""
    if not positions:
        Console().print("no positions")
        return
    table = Table(box=None, pad_edge=False)
    for name in ("position", "pool", "range", "price", "holds", "fees"):
        table.add_column(name, overflow="fold")
    for each in positions:
        spec = each.pool.spec
        inside = "[green]in range[/]" if each.is_earning else "[yellow]out of range[/]" if each.liquidity else "empty"
        low, high = (_price(spec, price) for price in (each.span.sqrt_lower, each.span.sqrt_upper))
        table.add_row(
            str(each.id),
            f"{spec.kind} {spec.token0.symbol}/{spec.token1.symbol} {_percent(spec)}",
            f"{low} … {high}\n{each.span.lower} … {each.span.upper}",
            f"{_price(spec, each.pool.sqrt_price_x96)}\n{inside}",
            "\n".join(amount_text(asset, raw) for asset, raw in _both(spec, each.amounts)),
            "\n".join(amount_text(asset, raw) for asset, raw in _both(spec, each.fees)),
        )
    Console().print(table)


def print_planned(verb: str, planned: Planned) -> None:
    """Print what a plan would do."""
    plan, gives = planned.plan, verb in ("mint", "add")
    rows = Table(box=None, show_header=False, pad_edge=False)
    rows.add_row("intent", str(plan.intent_id))
    rows.add_row("contract", plan.to)
    rows.add_row("liquidity", f"{planned.liquidity:,}")
    rows.add_row("pay" if gives else "receive", "  ".join(amount_text(a, n) for a, n in planned.expected_amounts))
    for need in planned.needs:
        rows.add_row("at most", f"{amount_text(need.amount.asset, need.amount.raw)}, allowed exactly so much")
    for amount in plan.receives_min:
        rows.add_row("at least", amount_text(amount.asset, amount.raw))
    Console().print(rows)


def print_carried(done: Carried) -> None:
    """Print what became of it."""
    rows = Table(box=None, show_header=False, pad_edge=False)
    moved = zip(done.planned.assets, done.moved, strict=True)
    rows.add_row("moved", "  ".join(f"{'+' if raw > 0 else ''}{amount_text(asset, raw)}" for asset, raw in moved))
    if done.created:
        rows.add_row("position", str(done.created))
    rows.add_row("transaction", f"{done.outcome.tx_hash} in block {done.outcome.block_number}")
    rows.add_row("gas", f"{Decimal(done.outcome.gas_cost_wei).scaleb(-18):f} for the last of {done.transactions}")
    Console().print(rows)


def amount_text(asset: Asset, raw: int) -> str:
    """Write an exact amount in whole units."""
    with localcontext() as context:
        context.prec = 100
        return f"{Decimal(raw).scaleb(-asset.decimals):,f} {asset.symbol}"


def _both(spec: PoolSpec, amounts: tuple[int, int]) -> list[tuple[Asset, int]]:
    return [(spec.token0, amounts[0]), (spec.token1, amounts[1])]


def _price(spec: PoolSpec, sqrt_price: int) -> str:
    return f"{price_of(spec, sqrt_price):,.6g}"


def _percent(spec: PoolSpec) -> str:
    return f"{spec.fee_pips / 10_000:g} %"


def _token_json(spec: PoolSpec, index: int) -> dict[str, Any]:
    asset, address = spec.tokens[index]
    return {"symbol": asset.symbol, "address": address, "decimals": asset.decimals}
