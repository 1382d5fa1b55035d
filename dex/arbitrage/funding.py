"""What pays for a cycle's beginning: own funds, the first pool, Uniswap V4's manager or a lender, at the least cost.

Cost is the lender's fee plus the gas that the detour takes. Facts about lenders are read once in a while; what has
changed since makes a transaction revert, which custody's simulation finds before anything is signed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from chain import ChainClient
from chain.abi import address_at, uint_at
from chain.codec import function
from dex.arbitrage.executor import Funding, Loan, Step, StepKind
from dex.pools import ZERO_ADDRESS, PoolSpec
from domain.ids import Address

_BALANCE_OF: Final = function("balanceOf(address owner) returns (uint256)")
_COLLECTOR: Final = function("getProtocolFeesCollector() returns (address)")
_FLASH_FEE: Final = function("getFlashLoanFeePercentage() returns (uint256)")
_PREMIUM: Final = function("FLASHLOAN_PREMIUM_TOTAL() returns (uint128)")
_RESERVE: Final = function("getReserveData(address asset)")
_RESERVE_SHARE: Final = 8
"""Which word of Aave's `ReserveData` is the aToken, which holds what may be borrowed."""
_WAD: Final = 10**18
_PIPS: Final = 1_000_000
_BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Venues:
    """The contracts an executor was built for; the zero address where its chain has none."""

    wrapped: Address
    pool_manager: Address = ZERO_ADDRESS
    aave_pool: Address = ZERO_ADDRESS
    balancer_vault: Address = ZERO_ADDRESS


@dataclass(frozen=True, slots=True)
class FlashPool:
    """A Uniswap V3 pool that may lend a token."""

    pool: str
    other_token: Address
    fee_pips: int
    holds: int


@dataclass(frozen=True, slots=True)
class Lenders:
    """Who could pay for a cycle that begins with one token; 0 where nobody has any."""

    executor_holds: int = 0
    manager_holds: int = 0
    balancer_holds: int = 0
    balancer_fee_wad: int = 0
    aave_holds: int = 0
    aave_fee_bps: int = 0
    flash_pools: tuple[FlashPool, ...] = ()


GAS: Final = {
    Funding.OWN: 0,
    Funding.FLASH_SWAP: 5_000,
    Funding.UNLOCK_V4: 28_000,
    Funding.BALANCER: 40_000,
    Funding.FLASH_V3: 65_000,
    Funding.AAVE: 126_000,
}
"""What each way to pay costs more than own funds, measured on the devnet (tests/dex/arbitrage/test_executor.py)."""


def cheapest_loan(
    steps: Sequence[Step], pools: Sequence[str], amount: int, lenders: Lenders, gas_price: Fraction
) -> Loan | None:
    """Choose what pays for a cycle; None when nobody can.

    Args:
        steps: The cycle's.
        pools: Ids of the pools it goes through: they cannot lend as well.
        amount: What goes in.
        lenders: Of the cycle's token.
        gas_price: Cost of a unit of gas in raw units of the cycle's token.
    """
    return min(
        loans_for(steps, pools, amount, lenders),
        key=lambda loan: loan.fee + _gas(loan.funding, steps) * gas_price,
        default=None,
    )


def _gas(funding: Funding, steps: Sequence[Step]) -> int:
    # Steps through V4 open its manager anyway.
    has_v4 = funding is Funding.UNLOCK_V4 and any(step.kind is StepKind.V4 for step in steps)
    return 0 if has_v4 else GAS[funding]


def loans_for(steps: Sequence[Step], pools: Sequence[str], amount: int, lenders: Lenders) -> Iterator[Loan]:
    """Every way to pay for a cycle, with its fee; arguments as `cheapest_loan`."""
    kinds = {step.kind for step in steps}
    if lenders.executor_holds >= amount:
        yield Loan(Funding.OWN)
    if steps[0].kind in (StepKind.V2, StepKind.V3):
        yield Loan(Funding.FLASH_SWAP)
    if lenders.manager_holds >= amount:
        yield Loan(Funding.UNLOCK_V4)
    if lenders.balancer_holds >= amount and StepKind.BALANCER not in kinds:
        yield Loan(Funding.BALANCER, -(-amount * lenders.balancer_fee_wad // _WAD))
    if lenders.aave_holds >= amount:
        # Aave rounds a half up (PercentageMath.percentMul).
        yield Loan(Funding.AAVE, (amount * lenders.aave_fee_bps + _BPS // 2) // _BPS)
    for pool in lenders.flash_pools:
        if pool.holds >= amount and pool.pool not in pools:
            fee = -(-amount * pool.fee_pips // _PIPS)
            yield Loan(Funding.FLASH_V3, fee, pool.other_token, pool.fee_pips)


async def read_lenders(
    client: ChainClient, executor: Address, venues: Venues, token: Address, pools: Sequence[PoolSpec]
) -> Lenders:
    """Ask the chain who could lend a token now.

    Args:
        client: A node.
        executor: The contract that would borrow.
        venues: What it was built for.
        token: What is wanted.
        pools: Pools that are known; Uniswap's V3 pools among them may lend.

    Raises:
        VenueUnavailable: The node did not answer.
    """
    flash = [pool for pool in pools if pool.kind == "v3" and token in (pool.token0_address, pool.token1_address)]
    answers = await _ask(
        client,
        [
            (venues.balancer_vault, _COLLECTOR.encode()),
            (venues.aave_pool, _PREMIUM.encode()),
            (venues.aave_pool, _RESERVE.encode(token)),
        ],
    )
    collector, aave_fee, share = _address(answers[0], 0), answers[1], _address(answers[2], _RESERVE_SHARE)
    holders = (executor, venues.pool_manager, venues.balancer_vault, share, *(pool.address for pool in flash))
    asked = [(token if holder != ZERO_ADDRESS else ZERO_ADDRESS, _BALANCE_OF.encode(holder)) for holder in holders]
    balancer_fee, *held = [_number(answer) for answer in await _ask(client, [(collector, _FLASH_FEE.encode()), *asked])]
    return Lenders(
        executor_holds=held[0],
        manager_holds=held[1],
        balancer_holds=held[2],
        balancer_fee_wad=balancer_fee,
        aave_holds=held[3],
        aave_fee_bps=_number(aave_fee),
        flash_pools=tuple(
            FlashPool(
                pool.id,
                pool.token1_address if pool.token0_address == token else pool.token0_address,
                pool.fee_pips,
                holds,
            )
            for pool, holds in zip(flash, held[4:], strict=True)
        ),
    )


async def _ask(client: ChainClient, calls: Sequence[tuple[Address, bytes]]) -> list[bytes]:
    """Ask several contracts at once; nothing where there is no contract, or it has nothing to say."""
    answers = await client.batch(
        [("eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"]) for to, data in calls]
    )
    return [bytes.fromhex(answer[2:]) if isinstance(answer, str) else b"" for answer in answers]


def _number(answer: bytes) -> int:
    return uint_at(answer, 0) if answer else 0


def _address(answer: bytes, word: int) -> Address:
    return address_at(answer, word) if answer else ZERO_ADDRESS
