"""A swap from wish to settled: quote, bounds, pre-flight, approvals, permit, transaction, outcome.

Nothing is sent in `prepare`. `carry_out` sends through custody, at most what `prepare` showed: it quotes again when
approvals took time, and never accepts a worse bound than the one that was shown.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from chain import ChainClient
from chain.devnet import CANONICAL
from chain.network import NetworkKind
from chain.networks import network_of
from cli.dex.market import OpenMarket
from cli.dex.swap_log import Realised, SwapLog, expectation, realised
from dex.execution import balancer, swap_router, universal_plan
from dex.execution.contracts import SwapContracts, router_version, swap_contracts
from dex.execution.permits import Permit, SignedPermit
from dex.execution.planning import plan_approval
from dex.execution.preflight import AccountState, Cause, Problem, diagnose, problem_of, read_account, try_out
from dex.execution.slippage import Bounds, SlippagePolicy
from dex.execution.swaps import Through, Way, choose_way, plan_quote
from dex.routing.quote import Quote
from domain import Address, InputError, Refused, native_asset
from domain.plans import TransactionPlan

if TYPE_CHECKING:
    from cli.dex.desk import DexDesk

STRATEGY: Final = "dex"
_GAS_MARGIN: Final = 60_000
_PERMIT_GAS: Final = 80_000

Requote = Callable[[Through | None], Awaitable[Quote]]
"""Asks for the same quote on the newest block, over what a contract reaches."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A swap that could be sent now, or what keeps it from being sent."""

    quote: Quote
    bounds: Bounds
    way: Way
    contracts: SwapContracts
    owner: Address
    token: Address | None
    """What is paid; None for coins."""
    state: AccountState
    gas_limit: int
    gas_cost_wei: int
    """The most its gas may cost."""
    problems: tuple[Problem, ...]

    @property
    def obstacles(self) -> tuple[Problem, ...]:
        """What neither an approval nor a permit mends."""
        return tuple(problem for problem in self.problems if not problem.is_mendable)

    @property
    def resets_allowance(self) -> bool:
        """Whether an allowance is taken back first: some tokens take no other way to a new one."""
        return self.must_approve and self.state.allowance > 0

    @property
    def must_approve(self) -> bool:
        return any(problem.cause is Cause.ALLOWANCE for problem in self.problems)

    @property
    def must_permit(self) -> bool:
        return self.way.needs_permit and any(
            problem.cause in (Cause.PERMIT_MISSING, Cause.PERMIT_EXPIRED) for problem in self.problems
        )

    def steps(self) -> list[str]:
        """Say what would be done, in order."""
        symbol, steps = self.quote.token_in.symbol, []
        if self.resets_allowance:
            steps.append(f"take the allowance of {self.state.allowance} raw {symbol} back")
        if self.must_approve:
            steps.append(f"let {self.way.spender} take exactly {self.bounds.amount_in_max} raw {symbol}")
        if self.must_permit:
            steps.append(f"sign a permit for the router: {self.bounds.amount_in_max} raw {symbol}")
        return [*steps, f"swap through {self.way.through} {self.way.contract}"]


async def contracts_on(client: ChainClient, network: NetworkKind) -> SwapContracts:
    """Say what carries swaps out on a chain, with the router's version read from its code.

    Raises:
        InputError: A chain we have no addresses of.
    """
    known = network_of(client.chain_id)
    if network is NetworkKind.DEVNET:
        names: dict[str, str] = dict(CANONICAL)
    elif known is not None:
        names = {"WETH9": known.wrapped.id.rpartition(":")[2], **known.contracts}
    else:
        raise InputError(
            f"chain {client.chain_id} is not known here", hint="capstan chain networks lists those that are"
        )
    codes = await client.batch([("eth_getCode", [address, "latest"]) for address in names.values()])
    standing = {name: address for (name, address), code in zip(names.items(), codes, strict=True) if code != "0x"}
    contracts = swap_contracts(standing)
    if contracts.universal_router is None:
        return contracts
    try:
        return replace(contracts, version=await router_version(client, contracts.universal_router))
    except Refused:
        return replace(contracts, universal_router=None)  # One we cannot speak to: the others may do.


async def quote_through(
    market: OpenMarket,
    ends: tuple[str, str],
    amount: int,
    through: Through | None,
    *,
    is_exact_out: bool,
    max_hops: int,
) -> Quote:
    """Quote over the pools that the wished-for contract reaches; without a wish, over those that one of them does.

    Raises:
        InputError: An unknown token.
        Refused: No route.
    """

    async def quote(kinds: Collection[str]) -> Quote:
        return await market.within(kinds).quote(*ends, amount, is_exact_out=is_exact_out, max_hops=max_hops)

    if through is Through.BALANCER:
        only = market.within(balancer.KINDS)
        return await only.quote(*ends, amount, is_exact_out=is_exact_out, max_hops=1)
    if through is not Through.SWAP_ROUTER:
        return await quote(universal_plan.KINDS)
    found = await quote(swap_router.KINDS)
    if swap_router.reaches(found):
        return found
    # Some path changes from V2 to V3, which this router cannot: the better of one kind each.
    options: list[Quote] = []
    for kind in sorted(swap_router.KINDS):
        with contextlib.suppress(Refused, InputError):
            options.append(await quote({kind}))
    if not options:
        return found  # Whoever chooses the way says why it does not go.
    return min(options, key=lambda q: q.amount_in) if is_exact_out else max(options, key=lambda q: q.amount_out)


async def prepare(
    client: ChainClient,
    quote: Quote,
    policy: SlippagePolicy,
    contracts: SwapContracts,
    owner: Address,
    through: Through | None = None,
) -> Prepared:
    """Bound a quote, choose its way, and find out what stands in it. Reads the chain; sends and signs nothing.

    Raises:
        InputError: It cannot go the way that was wished for.
        Refused: By the slippage policy, or no router reaches its pools.
    """
    way = choose_way(quote, contracts, through)
    is_coin = quote.token_in.id == native_asset(quote.chain_id).id
    token = None if is_coin else Address(quote.token_in.id.rpartition(":")[2])
    state = await read_account(client, owner, token, way)
    bounds = policy.bounds(quote, head_number=state.head_number, time_s=state.time_s)
    plan = _plan(quote, bounds, way, contracts, owner)
    fees = await client.fees()
    has_funds = (state.balance if token is not None else state.coins_wei) >= bounds.amount_in_max
    problems: list[Problem] = []
    gas_limit = plan.gas_limit
    if has_funds:
        tried = await try_out(client, plan, way, token, stands_for_permit=way.needs_permit)
        if tried.succeeded:
            gas_limit = tried.gas_used * 13 // 10 + _GAS_MARGIN + (_PERMIT_GAS if way.needs_permit else 0)
        else:
            problems.append(problem_of(tried.revert))
    gas_cost = gas_limit * fees.max_fee
    problems = diagnose(state, plan, way, gas_cost_wei=gas_cost) + problems
    return Prepared(quote, bounds, way, contracts, owner, token, state, gas_limit, gas_cost, tuple(_distinct(problems)))


async def carry_out(
    desk: DexDesk,
    shown: Prepared,
    policy: SlippagePolicy,
    requote: Requote,
    *,
    name: str = "",
    attempt: int = 1,
    initiator: str = STRATEGY,
) -> Realised:
    """Approve, permit and swap through custody; wait for the outcome and hold it against the quote.

    Args:
        desk: Whose account.
        shown: What was shown, and is the worst that is accepted.
        policy: What is tolerated.
        requote: For when approvals took time.
        name: Of the swap's intent, which happens at most once; the quote's unless given.
        attempt: Beyond 1 when an earlier one never came to the swap itself: what leads to it has names of its own.
        initiator: Who asks.

    Raises:
        Refused: Something stands in the way (named by the cause), or custody or a signer said no.
        VenueUnavailable: There is no outcome yet.
    """
    _ensure_clear(shown)
    main = name or f"swap-{shown.quote.id}"
    prefix = main if attempt == 1 else f"{main}-{attempt}"
    try:
        now = await _approve(desk, shown, policy, requote, prefix, initiator) if shown.must_approve else shown
        permit = await _permit(desk, now, prefix, initiator) if now.must_permit else None
        plan = _plan(now.quote, now.bounds, now.way, now.contracts, now.owner, main, permit, now.gas_limit)
        tried = await try_out(desk.client, plan, now.way, now.token, stands_for_permit=False)
        if not tried.succeeded:
            _refuse(problem_of(tried.revert), main)
        expected = expectation(now.quote, now.bounds, now.way, intent_id=main, time_ns=time.time_ns())
        SwapLog(desk.root).append(expected)
        settled = await desk.execute(plan, initiator=initiator)
    except (Refused, InputError):
        if shown.must_approve or shown.quote.is_exact_out:
            await take_back(desk, shown, prefix)
        raise
    if now.quote.is_exact_out or (settled.status != "mined" and shown.must_approve):
        await take_back(desk, now, prefix)
    return realised(expected, settled)


async def _approve(
    desk: DexDesk, shown: Prepared, policy: SlippagePolicy, requote: Requote, name: str, initiator: str
) -> Prepared:
    """Give the allowance, and look at the swap again: that took a block or two."""
    amounts = [*([0] if shown.resets_allowance else []), shown.bounds.amount_in_max]
    await desk.execute_all(
        [_approval(shown, amount, f"{name}-approve-{number}") for number, amount in enumerate(amounts, 1)],
        initiator=initiator,
    )
    quote = await requote(shown.way.through)  # The allowance is that contract's.
    now = await prepare(desk.client, quote, policy, shown.contracts, shown.owner, shown.way.through)
    now = replace(now, bounds=no_worse(shown.bounds, now))
    _ensure_clear(now)
    return now


async def _permit(desk: DexDesk, now: Prepared, name: str, initiator: str) -> SignedPermit:
    if now.token is None:
        raise InputError("coins need no permit")
    permit = Permit(
        chain_id=now.quote.chain_id,
        token=now.token,
        amount=now.bounds.amount_in_max,
        spender=now.way.contract,
        nonce=now.state.permit_nonce,
        expires_s=now.bounds.deadline_s,
    )
    signature = await desk.custody.documents.sign(permit.document(), intent_id=f"{name}-permit", initiator=initiator)
    return SignedPermit(permit, signature.to_bytes())


async def take_back(desk: DexDesk, of: Prepared, name: str) -> None:
    """End what a swap left of its allowance: nobody may keep one that nobody needs."""
    if of.token is None:
        return
    state = await read_account(desk.client, of.owner, of.token, of.way)
    if state.allowance:
        await desk.execute(_approval(of, 0, f"{name}-take-back"))


def no_worse(before: Bounds, now: Prepared) -> Bounds:
    """Keep what was shown before as the worst that is accepted.

    Raises:
        Refused: Rule `pool-moved`: the new quote is worse than that.
    """
    after = now.bounds
    if after.amount_in_max <= before.amount_in_max and after.amount_out_min >= before.amount_out_min:
        return after
    quote = now.quote
    if quote.amount_out < before.amount_out_min or quote.amount_in > before.amount_in_max:
        raise Refused(
            "the pools moved further than is tolerated while the allowance was given",
            rule=Cause.POOL_MOVED,
            hint="ask again",
        )
    # Not worse than shown: the whole's bound is that one, and the largest path bears the difference.
    paths = list(after.paths)
    largest = max(range(len(paths)), key=lambda index: paths[index])
    if quote.is_exact_out:
        paths[largest] -= after.amount_in_max - before.amount_in_max
        return replace(after, amount_in_max=before.amount_in_max, paths=tuple(paths))
    paths[largest] += before.amount_out_min - after.amount_out_min
    return replace(after, amount_out_min=before.amount_out_min, paths=tuple(paths))


def _approval(of: Prepared, amount: int, intent_id: str) -> TransactionPlan:
    if of.token is None or of.way.spender is None:
        raise InputError("coins need no approval")
    return plan_approval(
        intent_id=intent_id,
        strategy=STRATEGY,
        chain_id=of.quote.chain_id,
        token=of.quote.token_in,
        token_address=of.token,
        sender=of.owner,
        spender=of.way.spender,
        amount=amount,
    )


def _plan(
    quote: Quote,
    bounds: Bounds,
    way: Way,
    contracts: SwapContracts,
    owner: Address,
    intent_id: str = "",
    permit: SignedPermit | None = None,
    gas_limit: int = 0,
) -> TransactionPlan:
    return plan_quote(
        quote,
        bounds,
        way,
        contracts,
        intent_id=intent_id or f"swap-{quote.id}",
        strategy=STRATEGY,
        sender=owner,
        permit=permit,
        gas_limit=gas_limit,
    )


def _ensure_clear(prepared: Prepared) -> None:
    if prepared.obstacles:
        _refuse(prepared.obstacles[0], f"swap-{prepared.quote.id}")


def _refuse(problem: Problem, name: str) -> None:
    raise Refused(f"{name} was not sent: {problem.text}", rule=problem.cause, hint=problem.hint)


def _distinct(problems: list[Problem]) -> list[Problem]:
    """Each cause once, the first time it was found."""
    return list({problem.cause: problem for problem in reversed(problems)}.values())[::-1]
