"""Plans as text: how an intent is recorded, so that a restart executes exactly what was asked."""

from __future__ import annotations

import json
from typing import Any

from domain import Address, Amount, Asset, ChainId, InputError, InvariantError, StrategyId
from domain.ids import IntentId
from domain.plans import TransactionPlan

_PURPOSES = ("swap", "approve", "arbitrage", "transfer", "sweep", "withdrawal", "perpetual", "liquidity")
_BROADCASTS = ("public", "private", "bundle")
_INTENT_LENGTH_MAX = 128


def encode_plan(plan: TransactionPlan) -> str:
    """Write a plan as canonical JSON: equal plans give equal text."""
    return json.dumps(
        {
            "intent_id": plan.intent_id,
            "strategy": plan.strategy,
            "purpose": plan.purpose,
            "chain_id": plan.chain_id,
            "sender": plan.sender,
            "to": plan.to,
            "value_wei": str(plan.value_wei),
            "data": plan.data.hex(),
            "gas_limit": plan.gas_limit,
            "deadline_s": plan.deadline_s,
            "spends": _encode_amounts(plan.spends),
            "receives_min": _encode_amounts(plan.receives_min),
            "approves": _encode_amounts(plan.approves),
            "recipient": plan.recipient,
            # Left out where they are as ever: plans recorded before these existed read, and compare, the same.
            **({} if plan.broadcast == "public" else {"broadcast": plan.broadcast}),
            **({} if not plan.max_block else {"max_block": plan.max_block}),
        },
        separators=(",", ":"),
        sort_keys=True,
    )


def decode_plan(text: str) -> TransactionPlan:
    """Read a plan that `encode_plan` wrote."""
    try:
        fields = json.loads(text)
        return TransactionPlan(
            intent_id=IntentId(fields["intent_id"]),
            strategy=StrategyId(fields["strategy"]),
            purpose=fields["purpose"],
            chain_id=ChainId(fields["chain_id"]),
            sender=Address(fields["sender"]),
            to=Address(fields["to"]),
            value_wei=int(fields["value_wei"]),
            data=bytes.fromhex(fields["data"]),
            gas_limit=fields["gas_limit"],
            deadline_s=fields["deadline_s"],
            spends=_decode_amounts(fields["spends"]),
            receives_min=_decode_amounts(fields["receives_min"]),
            approves=_decode_amounts(fields["approves"]),
            recipient=Address(fields["recipient"]) if fields["recipient"] else None,
            broadcast=fields.get("broadcast", "public"),
            max_block=fields.get("max_block", 0),
        )
    except (KeyError, TypeError, ValueError) as exc:
        raise InvariantError(f"a recorded plan cannot be read: {type(exc).__name__}") from exc


def check_plan(plan: TransactionPlan, *, chain_id: ChainId, sender: Address) -> None:
    """Refuse a plan that is for somebody else or makes no sense; policy judges the rest.

    Raises:
        InputError: Another chain or sender, an unknown purpose, or an impossible number.
    """
    if plan.chain_id != chain_id:
        raise InputError(f"{plan.intent_id}: the plan is for chain {plan.chain_id}, this desk serves {chain_id}")
    if plan.sender != sender:
        raise InputError(f"{plan.intent_id}: the plan is for {plan.sender}, this desk signs for {sender}")
    if plan.purpose not in _PURPOSES:
        raise InputError(f"{plan.intent_id}: purpose must be one of {', '.join(_PURPOSES)}, found {plan.purpose!r}")
    if not plan.intent_id or len(plan.intent_id) > _INTENT_LENGTH_MAX or not plan.strategy:
        raise InputError(f"a plan needs an intent id of at most {_INTENT_LENGTH_MAX} characters and a strategy")
    if min(plan.value_wei, plan.gas_limit, plan.deadline_s, plan.max_block) < 0:
        raise InputError(f"{plan.intent_id}: value, gas limit, deadline and last block must not be negative")
    if plan.broadcast not in _BROADCASTS:
        raise InputError(f"{plan.intent_id}: broadcast is {', '.join(_BROADCASTS)}, found {plan.broadcast!r}")
    if plan.broadcast == "bundle" and not plan.max_block:
        raise InputError(f"{plan.intent_id}: a bundle needs the last block it may be in")


def _encode_amounts(amounts: tuple[Amount, ...]) -> list[list[Any]]:
    return [[a.asset.id, a.asset.symbol, a.asset.decimals, str(a.raw)] for a in amounts]


def _decode_amounts(rows: list[list[Any]]) -> tuple[Amount, ...]:
    return tuple(Amount(Asset(asset_id, symbol, decimals), int(raw)) for asset_id, symbol, decimals, raw in rows)
