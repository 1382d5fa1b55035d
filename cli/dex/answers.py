"""Quotes and prepared swaps as the API tells them: every amount is text, raw or decimal as its name says."""

from __future__ import annotations

from decimal import Decimal, localcontext
from typing import Any, Final

from cli.dex.swapping import Prepared
from dex.routing import Hop, Path, Quote
from domain import Asset

_NATIVE_ADDRESS: Final = "0x0000000000000000000000000000000000000000"
_DIGITS: Final = 12


def quote_answer(quote: Quote) -> dict[str, Any]:
    """Write a quote with its way: what flows through each pool, to the unit."""
    return {
        "chain_id": quote.chain_id,
        "block": quote.block_number,
        "block_hash": quote.block_hash,
        "token_in": _token(quote.token_in),
        "token_out": _token(quote.token_out),
        "amount_in": str(quote.amount_in),
        "amount_out": str(quote.amount_out),
        "is_exact_out": quote.is_exact_out,
        "mid_price": _whole_price(quote),
        "impact_bps": f"{quote.impact_bps:.4f}",
        "gas_units": quote.gas_units,
        "gas_cost": str(quote.gas_cost),
        "by_call": list(quote.by_call),
        "route": [_path(quote, path) for path in quote.paths],
    }


def prepared_answer(prepared: Prepared) -> dict[str, Any]:
    """Write a swap as it would be sent now, and what stands in its way."""
    bounds = prepared.bounds
    return {
        "quote": quote_answer(prepared.quote),
        "account": prepared.owner,
        "amount_in_max": str(bounds.amount_in_max),
        "amount_out_min": str(bounds.amount_out_min),
        "valid_until_s": bounds.deadline_s,
        "through": str(prepared.way.through),
        "contract": prepared.way.contract,
        "steps": prepared.steps(),
        "gas_limit": prepared.gas_limit,
        "gas_cost_wei_max": str(prepared.gas_cost_wei),
        "problems": [
            {
                "cause": str(problem.cause),
                "text": problem.text,
                "hint": problem.hint,
                "is_mended_by_a_step": problem.is_mendable,
            }
            for problem in prepared.problems
        ],
    }


def _path(quote: Quote, path: Path) -> dict[str, Any]:
    part, whole = (path.amount_out, quote.amount_out) if quote.is_exact_out else (path.amount_in, quote.amount_in)
    return {
        "share": f"{Decimal(part) / Decimal(whole):.6f}",
        "amount_in": str(path.amount_in),
        "amount_out": str(path.amount_out),
        "hops": [_hop(hop) for hop in path.hops],
    }


def _hop(hop: Hop) -> dict[str, Any]:
    pool = hop.pool
    return {
        "pool": str(pool.id),
        "kind": str(pool.kind),
        "address": str(pool.address),
        "fee_pips": pool.fee_pips,
        "token_in": _token(hop.token_in),
        "token_out": _token(hop.token_out),
        "amount_in": str(hop.amount_in),
        "amount_out": str(hop.amount_out),
    }


def _token(asset: Asset) -> dict[str, Any]:
    address = asset.id.partition("/erc20:")[2] or _NATIVE_ADDRESS
    return {"symbol": asset.symbol, "address": address, "decimals": asset.decimals}


def _whole_price(quote: Quote) -> str:
    """The mid price per whole token, to 12 significant digits and without an exponent."""
    with localcontext(prec=_DIGITS):
        raw = Decimal(quote.mid_price.numerator) / Decimal(quote.mid_price.denominator)
        text = f"{raw.scaleb(quote.token_in.decimals - quote.token_out.decimals):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
