"""From a quote to an unsigned transaction: through which contract, with which allowance, within which bounds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from chain import parse_address
from dex.execution import balancer, universal_plan
from dex.execution.contracts import SwapContracts
from dex.execution.permits import SignedPermit
from dex.execution.slippage import Bounds
from dex.execution.swap_router import encode_swap_router, reaches
from dex.execution.universal_plan import encode_universal
from dex.routing.quote import Quote
from domain.amounts import Amount
from domain.assets import native_asset
from domain.errors import InputError, Refused
from domain.ids import Address, IntentId, StrategyId
from domain.plans import TransactionPlan

# Measured on the devnet (docs/swaps.md); what is not used is not paid, running out is.
_GAS_BASE: Final = 150_000
_GAS_PER_HOP: Final = {
    "v2": 120_000,
    "v3": 250_000,
    "v4": 250_000,
    "balancer-stable": 250_000,
    "balancer-weighted": 200_000,
}


class Through(StrEnum):
    """The contract that carries a swap out."""

    SWAP_ROUTER = "swap-router-02"
    UNIVERSAL_ROUTER = "universal-router"
    BALANCER = "balancer-vault"


@dataclass(frozen=True, slots=True)
class Way:
    """How a quote is carried out, before anything is encoded."""

    through: Through
    contract: Address
    spender: Address | None
    """Who must hold an ERC-20 allowance of the input; None where coins are paid."""
    needs_permit: bool
    """Whether Permit2 must be told besides, by a permit or by an allowance that stands."""


def choose_way(quote: Quote, contracts: SwapContracts, wanted: Through | None = None) -> Way:
    """Choose the contract: SwapRouter02 where it reaches all pools (less gas, one allowance), else UniversalRouter.

    A swap on one Balancer pool goes through Balancer's Vault.

    Raises:
        InputError: The wanted contract does not stand on this chain, or does not reach the quote's pools.
        Refused: Rule `unsupported-pool`: neither reaches them.
    """
    kinds = sorted({hop.pool.kind for path in quote.paths for hop in path.hops})
    if contracts.balancer_vault is not None and balancer.reaches(quote) and wanted in (None, Through.BALANCER):
        return Way(Through.BALANCER, contracts.balancer_vault, contracts.balancer_vault, needs_permit=False)
    if wanted is Through.BALANCER:
        raise InputError(
            f"Balancer's Vault does not carry this swap out ({', '.join(kinds)})",
            hint="it swaps tokens on one pool of its own",
        )
    if contracts.swap_router is not None and reaches(quote) and wanted is not Through.UNIVERSAL_ROUTER:
        return Way(Through.SWAP_ROUTER, contracts.swap_router, contracts.swap_router, needs_permit=False)
    if wanted is Through.SWAP_ROUTER:
        raise InputError(
            f"SwapRouter02 does not carry this swap out ({', '.join(kinds)})",
            hint="it takes tokens for tokens, each path on V2 or on V3 pools",
        )
    if unreached := [kind for kind in kinds if kind not in universal_plan.KINDS]:
        raise Refused(
            f"no router reaches pools of the kind {', '.join(unreached)}",
            rule="unsupported-pool",
            hint="leave them out of the route",
        )
    if contracts.universal_router is None or contracts.version is None or contracts.permit2 is None:
        raise InputError(f"chain {quote.chain_id}: no router is known that reaches {', '.join(kinds)}")
    pays_coins = quote.token_in.id == native_asset(quote.chain_id).id
    spender = None if pays_coins else contracts.permit2
    return Way(Through.UNIVERSAL_ROUTER, contracts.universal_router, spender, needs_permit=not pays_coins)


def plan_quote(
    quote: Quote,
    bounds: Bounds,
    way: Way,
    contracts: SwapContracts,
    *,
    intent_id: str,
    strategy: str,
    sender: str,
    permit: SignedPermit | None = None,
    gas_limit: int = 0,
) -> TransactionPlan:
    """Plan a quote's swap, proceeds to the sender, at least and at most what the bounds say.

    Args:
        quote: What to carry out.
        bounds: From the slippage policy.
        way: From `choose_way`.
        contracts: Of the chain.
        intent_id: Chosen before planning.
        strategy: Who swaps.
        sender: The account.
        permit: Of Permit2 for the router, unless an allowance stands there.
        gas_limit: 0 for a generous one by what the route has.

    Raises:
        InputError: The permit is for something else than this swap.
        Refused: See `encode_universal`.
    """
    owner, native = parse_address(sender), native_asset(quote.chain_id).id
    if not way.needs_permit and permit is not None:
        raise InputError(f"{intent_id}: {way.through} takes no permit")
    if way.through is Through.SWAP_ROUTER:
        data = encode_swap_router(quote, bounds, owner)
    elif way.through is Through.BALANCER:
        data = balancer.encode_balancer(quote, bounds, owner)
    else:
        _check_permit(quote, bounds, way, permit)
        data = encode_universal(quote, bounds, contracts, permit)
    hops = [hop.pool.kind for path in quote.paths for hop in path.hops]
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId(strategy),
        purpose="swap",
        chain_id=quote.chain_id,
        sender=owner,
        to=way.contract,
        value_wei=bounds.amount_in_max if quote.token_in.id == native else 0,
        data=data,
        gas_limit=gas_limit or _GAS_BASE + sum(_GAS_PER_HOP[kind] for kind in hops),
        deadline_s=bounds.deadline_s,
        spends=(Amount(quote.token_in, bounds.amount_in_max),),
        receives_min=(Amount(quote.token_out, bounds.amount_out_min),),
        approves=() if permit is None else (Amount(quote.token_in, permit.permit.amount),),
        recipient=owner,
    )


def _check_permit(quote: Quote, bounds: Bounds, way: Way, permit: SignedPermit | None) -> None:
    if permit is None:
        return
    signed = permit.permit
    token = quote.token_in.id.rpartition(":")[2]
    if (signed.token, signed.spender, signed.amount) != (token, way.contract, bounds.amount_in_max):
        raise InputError("the permit is for another token, amount or spender than the swap")
