"""Quotes and prepared swaps as the API tells them: every amount is text, raw or decimal as its name says."""

from __future__ import annotations

from typing import Any

from cli.dex.routes import quote_json
from cli.dex.swapping import Prepared
from dex.routing import Quote


def quote_answer(quote: Quote) -> dict[str, Any]:
    """Write a quote with its way: what flows through each pool, to the unit."""
    return quote_json(quote, raw=str, rounded=lambda value, digits: f"{value:.{digits}f}")


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
