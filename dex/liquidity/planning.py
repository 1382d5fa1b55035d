"""Unsigned plans for positions: mint, add, remove, collect, burn, on V3 and V4, with their bounds in the calldata.

Whoever adds must hold the tokens and have allowed them (`needs`): V3 takes them itself, V4 through Permit2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain import parse_address
from dex.liquidity import v3, v4
from dex.liquidity.bounds import intake, release_min
from dex.liquidity.contracts import PositionContracts
from dex.liquidity.maths import Range
from dex.liquidity.positions import PoolNow, Position
from dex.pools import ZERO_ADDRESS, PoolSpec
from domain.amounts import Amount
from domain.assets import Asset, token_asset
from domain.errors import InputError
from domain.ids import Address, IntentId, StrategyId
from domain.plans import TransactionPlan

# Measured on the devnet: V3 mint 446,000, add 250,000, remove and collect 270,000; V4 mint 303,000, and 120,000 more
# for wrapping. A tick that is used for the first time costs its storage.
GAS_LIMIT_MINT: Final = 800_000
GAS_LIMIT_CHANGE: Final = 600_000
_PAID_THROUGH_PERMIT2: Final = "v4"
_NOTHING: Final[tuple[Amount, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What every plan of positions needs to know of who asks for it."""

    intent_id: str
    strategy: str
    sender: Address
    contracts: PositionContracts
    deadline_s: int
    """Chain time in seconds."""
    tolerance_bps: int = 50
    """How far the pool's price may move until the plan executes."""


@dataclass(frozen=True, slots=True)
class Need:
    """A token that must be there, and allowed, before a plan can execute."""

    amount: Amount
    token: Address
    spender: Address
    """The contract that takes it: of V4 the position manager, which Permit2 must know."""
    permit2: Address | None = None
    """Set where the token itself is allowed to Permit2, and Permit2's own allowance names the spender."""


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, with what it is expected to move at the price it was made for."""

    plan: TransactionPlan
    expected: tuple[int, int]
    """Raw (token 0, token 1): taken by a mint or an addition, given by the others, fees included."""
    liquidity: int
    tokens: tuple[Address, Address]
    """The two contracts in which the sender pays and receives."""
    assets: tuple[Asset, Asset]
    needs: tuple[Need, ...] = ()

    @property
    def expected_amounts(self) -> tuple[tuple[Asset, int], ...]:
        """What is expected, with what it counts."""
        return tuple(zip(self.assets, self.expected, strict=True))


def plan_mint(order: Order, pool: PoolNow, span: Range, given: tuple[int, int]) -> Planned:
    """Plan a new position of what two amounts, at most, pay for.

    Raises:
        InputError: They pay for nothing, or the pool keeps no positions.
    """
    _check(order)
    spec, contracts = pool.spec, order.contracts
    _check_kind(spec, contracts)
    taken = intake(pool.sqrt_price_x96, pool.tick, span, given, order.tolerance_bps)
    if spec.kind == "v3":
        data, spent = v3.mint(spec, span, given, taken.at_least, order.sender, order.deadline_s), given
    else:
        # Never more than was given: the bound of the price band is cut there.
        spent = _no_more_than(taken.at_most, taken.amounts, given)
        wrapped = contracts.paid_as(spec, 0)
        data = v4.mint(spec, span, taken.liquidity, spent, order.sender, wrapped, order.deadline_s)
    needs = _needs(spec, contracts, spent)
    plan = _plan(order, contracts.for_pool(spec), data, GAS_LIMIT_MINT, spec, spends=_amounts(needs))
    return Planned(plan, taken.amounts, taken.liquidity, _tokens(spec, contracts), _assets(spec, contracts), needs)


def plan_add(order: Order, position: Position, given: tuple[int, int]) -> Planned:
    """Plan more liquidity for a position.

    V3's calldata does not name the tokens, so such a plan promises no spends: what bounds it is the allowance.

    Raises:
        InputError: The amounts pay for nothing, or the position is somebody else's.
    """
    _check(order, position)
    pool, contracts = position.pool, order.contracts
    spec = pool.spec
    taken = intake(pool.sqrt_price_x96, pool.tick, position.span, given, order.tolerance_bps)
    if spec.kind == "v3":
        data = v3.increase(position.id.number, given, taken.at_least, order.deadline_s)
        needs, spends = _needs(spec, contracts, given), _NOTHING
    else:
        spent = _no_more_than(taken.at_most, taken.amounts, given)
        wrapped = contracts.paid_as(spec, 0)
        data = v4.increase(spec, position.id.number, taken.liquidity, spent, wrapped, order.deadline_s)
        needs = _needs(spec, contracts, spent)
        spends = _amounts(needs)
    plan = _plan(order, contracts.for_pool(spec), data, GAS_LIMIT_CHANGE, spec, spends=spends)
    return Planned(plan, taken.amounts, taken.liquidity, _tokens(spec, contracts), _assets(spec, contracts), needs)


def plan_remove(order: Order, position: Position, liquidity: int) -> Planned:
    """Plan taking liquidity out, its tokens and all fees to the sender. A position without liquidity stays.

    Raises:
        InputError: Nothing, more than there is, or somebody else's position.
    """
    _check(order, position)
    if not 0 < liquidity <= position.liquidity:
        raise InputError(f"{position.id} has liquidity {position.liquidity}; {liquidity} cannot be taken out")
    pool, number = position.pool, position.id.number
    at_least = release_min(pool.sqrt_price_x96, pool.tick, position.span, liquidity, order.tolerance_bps)
    share = Position(
        id=position.id, owner=position.owner, pool=pool, span=position.span, liquidity=liquidity, fees=position.fees
    )
    if pool.spec.kind == "v3":
        taken = v3.decrease(number, liquidity, at_least, order.deadline_s)
        data = v3.together(taken, v3.collect(number, order.sender))
    else:
        wrapped = order.contracts.paid_as(pool.spec, 0)
        data = v4.decrease(pool.spec, number, liquidity, at_least, order.sender, wrapped, order.deadline_s)
    return _given(order, position, data, liquidity, _sum(share.amounts, position.fees), at_least)


def plan_collect(order: Order, position: Position) -> Planned:
    """Plan taking a position's fees, all of them, to the sender.

    Raises:
        InputError: Somebody else's position.
    """
    _check(order, position)
    number, spec = position.id.number, position.pool.spec
    if spec.kind == "v3":
        data = v3.collect(number, order.sender)
    else:
        wrapped = order.contracts.paid_as(spec, 0)
        data = v4.decrease(spec, number, 0, (0, 0), order.sender, wrapped, order.deadline_s)
    return _given(order, position, data, 0, position.fees, (0, 0))


def plan_burn(order: Order, position: Position) -> Planned:
    """Plan the end of a position: all liquidity and fees to the sender, and its token gone.

    Raises:
        InputError: Somebody else's position.
    """
    _check(order, position)
    pool, number = position.pool, position.id.number
    at_least = release_min(pool.sqrt_price_x96, pool.tick, position.span, position.liquidity, order.tolerance_bps)
    if pool.spec.kind == "v3":
        calls = [v3.decrease(number, position.liquidity, at_least, order.deadline_s)] if position.liquidity else []
        data = v3.together(*calls, v3.collect(number, order.sender), v3.burn(number))
    else:
        wrapped = order.contracts.paid_as(pool.spec, 0)
        data = v4.burn(pool.spec, number, at_least, order.sender, wrapped, order.deadline_s)
    return _given(order, position, data, position.liquidity, _sum(position.amounts, position.fees), at_least)


def paid_asset(spec: PoolSpec, contracts: PositionContracts, index: int) -> Asset:
    """The asset that custody pays and receives for token 0 or 1: the wrapped coin for the coin itself."""
    asset, address = spec.tokens[index]
    if address != ZERO_ADDRESS:
        return asset
    return token_asset(spec.chain_id, contracts.need("wrapped"), f"W{asset.symbol}", asset.decimals)


def _given(
    order: Order,
    position: Position,
    data: bytes,
    liquidity: int,
    expected: tuple[int, int],
    at_least: tuple[int, int],
) -> Planned:
    """A plan that only gives. V4's calldata names the tokens it gives, V3's does not."""
    spec, contracts = position.pool.spec, order.contracts
    receives: tuple[Amount, ...] = ()
    if spec.kind == "v4":
        receives = tuple(Amount(paid_asset(spec, contracts, i), at_least[i]) for i in (0, 1) if at_least[i])
    plan = _plan(order, contracts.for_pool(spec), data, GAS_LIMIT_CHANGE, spec, receives=receives)
    return Planned(plan, expected, liquidity, _tokens(spec, contracts), _assets(spec, contracts))


def _plan(
    order: Order,
    to: Address,
    data: bytes,
    gas_limit: int,
    spec: PoolSpec,
    *,
    spends: tuple[Amount, ...] = (),
    receives: tuple[Amount, ...] = (),
) -> TransactionPlan:
    return TransactionPlan(
        intent_id=IntentId(order.intent_id),
        strategy=StrategyId(order.strategy),
        purpose="liquidity",
        chain_id=spec.chain_id,
        sender=order.sender,
        to=to,
        value_wei=0,
        data=data,
        gas_limit=gas_limit,
        deadline_s=order.deadline_s,
        spends=spends,
        receives_min=receives,
        recipient=order.sender,
    )


def _needs(spec: PoolSpec, contracts: PositionContracts, spent: tuple[int, int]) -> tuple[Need, ...]:
    manager = contracts.for_pool(spec)
    permit2 = contracts.need("permit2") if spec.kind == _PAID_THROUGH_PERMIT2 else None
    return tuple(
        Need(Amount(paid_asset(spec, contracts, i), spent[i]), contracts.paid_as(spec, i), manager, permit2)
        for i in (0, 1)
        if spent[i]
    )


def _tokens(spec: PoolSpec, contracts: PositionContracts) -> tuple[Address, Address]:
    return contracts.paid_as(spec, 0), contracts.paid_as(spec, 1)


def _assets(spec: PoolSpec, contracts: PositionContracts) -> tuple[Asset, Asset]:
    return paid_asset(spec, contracts, 0), paid_asset(spec, contracts, 1)


def _amounts(needs: tuple[Need, ...]) -> tuple[Amount, ...]:
    return tuple(need.amount for need in needs)


def _no_more_than(most: tuple[int, int], now: tuple[int, int], given: tuple[int, int]) -> tuple[int, int]:
    # Rounding up may take one unit more than liquidity was reckoned from.
    return max(now[0], min(most[0], given[0])), max(now[1], min(most[1], given[1]))


def _sum(one: tuple[int, int], other: tuple[int, int]) -> tuple[int, int]:
    return one[0] + other[0], one[1] + other[1]


def _check(order: Order, position: Position | None = None) -> None:
    if order.deadline_s <= 0:
        raise InputError(f"{order.intent_id}: a deadline must be positive, found {order.deadline_s}")
    sender = parse_address(order.sender)
    if position is not None:
        _check_kind(position.pool.spec, order.contracts)
        if position.owner != sender:
            raise InputError(f"position {position.id} belongs to {position.owner}, not to {sender}")


def _check_kind(spec: PoolSpec, contracts: PositionContracts) -> None:
    contracts.for_pool(spec)
    if spec.token0_address == ZERO_ADDRESS and spec.token1_address == contracts.need("wrapped"):
        raise InputError(f"pool {spec.id} is of a coin and the same coin wrapped: its positions are not planned")
