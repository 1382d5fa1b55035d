"""Swaps and approvals as unsigned transactions, with their bounds inside the calldata.

A plan promises what the contract itself enforces: at least `min_out` to the sender, not after `deadline_s`. Calldata is
packed by hand; the tests execute it against the genuine routers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain import parse_address
from chain.abi import address_array, address_word, bytes_array, compose, selector, uint_word
from chain.devnet import DevnetWorld
from dex.pools import PoolSpec
from domain.amounts import Amount
from domain.assets import Asset
from domain.errors import InputError
from domain.ids import Address, ChainId, IntentId, StrategyId
from domain.plans import TransactionPlan

APPROVE: Final = selector("approve(address,uint256)")
V2_SWAP: Final = selector("swapExactTokensForTokens(uint256,uint256,address[],address,uint256)")
V3_SWAP: Final = selector("exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))")
V3_FIRST_SWAP: Final = selector("exactInputSingle((address,address,uint24,address,uint256,uint256,uint256,uint160))")
MULTICALL: Final = selector("multicall(uint256,bytes[])")

# Measured on the devnet: V2 88,000; V3 119,000 and about 25,000 more for each tick crossed. What is not used is not
# paid, running out is, so the limits are wide.
GAS_LIMIT_V2: Final = 200_000
GAS_LIMIT_V3: Final = 500_000
GAS_LIMIT_APPROVE: Final = 100_000


@dataclass(frozen=True, slots=True)
class Routers:
    """The router contracts of one chain; None where there is none.

    V3 swaps prefer SwapRouter02, which every chain has and custody's policy reads; its deadline is wrapped around the
    call. `v3_first` is the original SwapRouter, with the deadline among the arguments.
    """

    v2: Address | None = None
    v3: Address | None = None
    v3_first: Address | None = None

    def for_pool(self, pool: PoolSpec) -> Address:
        """Give the contract that swaps on a pool, which is also the one to approve.

        Raises:
            InputError: None is configured.
        """
        if pool.kind not in ("v2", "v3"):
            raise InputError(f"pool {pool.id}: no router here swaps on pools of kind {pool.kind}")
        router = self.v2 if pool.kind == "v2" else self.v3 or self.v3_first
        if router is None:
            raise InputError(f"no {pool.kind} router is configured for chain {pool.chain_id}")
        return router


def devnet_routers(world: DevnetWorld) -> Routers:
    """Give a devnet's routers."""
    at = world.contracts
    return Routers(v2=at["UniswapV2Router02"], v3=at["SwapRouter02"], v3_first=at["SwapRouter"])


def plan_swap(
    *,
    intent_id: str,
    strategy: str,
    pool: PoolSpec,
    routers: Routers,
    sender: str,
    token_in: str,
    amount_in: int,
    min_out: int,
    deadline_s: int,
) -> TransactionPlan:
    """Plan a swap of exactly `amount_in` of the asset `token_in` on one pool, proceeds to the sender.

    Amounts are raw units, the deadline is chain time in seconds. The router must hold an allowance of `amount_in`.

    Raises:
        InputError: An amount, bound or deadline is not positive, or the pool does not trade the token.
    """
    # SwapRouter02 reads an amount of 0 as "all the router holds", and a bound of 0 is no bound.
    for name, value in (("amount_in", amount_in), ("min_out", min_out), ("deadline_s", deadline_s)):
        if value <= 0:
            raise InputError(f"swap {intent_id}: {name} must be positive, found {value}")
    owner, router = parse_address(sender), routers.for_pool(pool)
    source = pool.token0 if token_in == pool.token0.id else pool.token1
    target = pool.other(token_in)
    addresses = (pool.address_of(token_in), pool.address_of(target.id))
    if pool.kind == "v2":
        data = _v2_data(addresses, owner, amount_in, min_out, deadline_s)
    elif router == routers.v3:
        data = _v3_data(addresses, pool.fee_pips, owner, amount_in, min_out, deadline_s)
    else:
        data = _v3_first_data(addresses, pool.fee_pips, owner, amount_in, min_out, deadline_s)
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId(strategy),
        purpose="swap",
        chain_id=pool.chain_id,
        sender=owner,
        to=router,
        value_wei=0,
        data=data,
        gas_limit=GAS_LIMIT_V2 if pool.kind == "v2" else GAS_LIMIT_V3,
        deadline_s=deadline_s,
        spends=(Amount(source, amount_in),),
        receives_min=(Amount(target, min_out),),
        recipient=owner,
    )


def plan_approval(
    *,
    intent_id: str,
    strategy: str,
    chain_id: int,
    token: Asset,
    token_address: str,
    sender: str,
    spender: str,
    amount: int,
) -> TransactionPlan:
    """Plan an allowance of exactly `amount`; 0 takes it back. There are no unlimited approvals.

    Tokens like USDT want 0 before another amount.

    Raises:
        InputError: The amount is negative or unlimited.
    """
    if not 0 <= amount < 2**255:
        raise InputError(f"approval {intent_id}: an exact amount is wanted, found {amount}")
    to, allowed = parse_address(token_address), parse_address(spender)
    return TransactionPlan(
        intent_id=IntentId(intent_id),
        strategy=StrategyId(strategy),
        purpose="approve",
        chain_id=ChainId(chain_id),
        sender=parse_address(sender),
        to=to,
        value_wei=0,
        data=APPROVE + address_word(allowed) + uint_word(amount),
        gas_limit=GAS_LIMIT_APPROVE,
        deadline_s=0,
        approves=(Amount(token, amount),),
        recipient=allowed,
    )


def _v2_data(path: tuple[str, str], owner: str, amount_in: int, min_out: int, deadline_s: int) -> bytes:
    return V2_SWAP + compose(
        uint_word(amount_in), uint_word(min_out), address_array(path), address_word(owner), uint_word(deadline_s)
    )


def _v3_data(path: tuple[str, str], fee: int, owner: str, amount_in: int, min_out: int, deadline_s: int) -> bytes:
    head = address_word(path[0]) + address_word(path[1]) + uint_word(fee) + address_word(owner)
    swap = V3_SWAP + head + b"".join(uint_word(n) for n in (amount_in, min_out, 0))
    return MULTICALL + compose(uint_word(deadline_s), bytes_array([swap]))


def _v3_first_data(path: tuple[str, str], fee: int, owner: str, amount_in: int, min_out: int, deadline_s: int) -> bytes:
    head = address_word(path[0]) + address_word(path[1]) + uint_word(fee) + address_word(owner)
    return V3_FIRST_SWAP + head + b"".join(uint_word(n) for n in (deadline_s, amount_in, min_out, 0))
