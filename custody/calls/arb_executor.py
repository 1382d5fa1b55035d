"""Our ArbExecutor (contracts/src/arbitrage): a cycle of swaps that pays a stated profit or reverts.

Nothing of the sender's goes in: the contract begins with what it holds or is lent, and pays back within the same
transaction. The profit goes to the beneficiary that the contract's owner named; the bytes do not say who that is. So
the proceeds are read as the contract's own, and a policy that allows this must list the contract as a recipient too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chain import checksum
from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown, one
from custody.calls.uniswap import pool_fee
from domain import Address

_FUNDINGS: Final = (
    "the contract's own funds",
    "the first pool, which delivers before it is paid",
    "a flash loan of a Uniswap V3 pool",
    "Uniswap V4's manager, on credit",
    "a flash loan of Aave",
    "a flash loan of Balancer's vault",
)
_FLASH_V3: Final = 2
_KINDS: Final = (
    "Uniswap V2",
    "Uniswap V3",
    "Uniswap V4",
    "Balancer",
    "Curve",
    "wrap or unwrap the coin",
)
_V2, _V3, _V4, _BALANCER, _CURVE, _WRAP = range(len(_KINDS))
_ZERO: Final = checksum("0x" + "00" * 20)
_NO_ID: Final = bytes(32)
_BPS: Final = 10_000
_STEPS_MAX: Final = 8


def _execute(values: Values, place: Place) -> DecodedCall:
    arbitrage, steps = values
    funding, token, amount, min_profit, deadline, max_block, tip_bps, lender_token, lender_fee = arbitrage
    if funding >= len(_FUNDINGS) or tip_bps > _BPS or (funding != _FLASH_V3 and (lender_fee or _is(lender_token))):
        raise unsafe("a way to pay, a tip or a lender that the contract does not know")
    if amount == 0 or min_profit == 0:
        raise unsafe("an arbitrage of nothing, or with no least profit")
    if not 0 < len(steps) <= _STEPS_MAX:
        raise unsafe(f"1 to {_STEPS_MAX} steps are read")
    _check_cycle(checksum(token), steps)
    lender = (
        (Shown("Lender's other token", Kind.TOKEN, checksum(lender_token)), pool_fee(lender_fee))
        if funding == _FLASH_V3
        else ()
    )
    return DecodedCall(
        "execute",
        spends=NOTHING,
        receives_min=one(token, min_profit),
        approves=NOTHING,
        recipient=place.to,
        deadline_s=deadline,
        action="Arbitrage around a cycle of pools",
        shown=(
            Shown("Begin with", Kind.TOKEN_AMOUNT, amount, checksum(token)),
            Shown("Paid by", Kind.WORDS, _FUNDINGS[funding]),
            *lender,
            *(line for number, step in enumerate(steps, 1) for line in _shown(number, step)),
            Shown("Profit, to the contract's beneficiary", Kind.TOKEN_MINIMUM, min_profit, checksum(token)),
            *((Shown("Of the profit to the block's builder", Kind.UNIT, (tip_bps, 2, "%")),) if tip_bps else ()),
            Shown("Not after block", Kind.NUMBER, max_block),
            Shown("Valid until", Kind.DATE, deadline),
        ),
        others=frozenset(
            checksum(part)
            for part in (lender_token, *(part for step in steps for part in (step[1], step[2], step[3])))
            if _is(part) and checksum(part) != checksum(token)
        ),
    )


def _check_cycle(token: Address, steps: Values) -> None:
    held = token
    for kind, venue, token_in, token_out, fee, spacing, pool_id in steps:
        if kind >= len(_KINDS):
            raise unsafe("a kind of step that the contract does not know")
        if checksum(token_in) != held or token_in == token_out:
            raise unsafe("a step does not begin with what the former gave")
        # What a step does not use is zero, so that all that the bytes hold is shown.
        unused = (
            (_is(venue) and kind in (_BALANCER, _WRAP))
            or (fee and kind not in (_V2, _V3, _V4))
            or (spacing and kind != _V4)
            or (pool_id != _NO_ID and kind not in (_BALANCER, _CURVE))
        )
        if unused or (kind == _CURVE and not _is(venue)):
            raise unsafe(f"a step through {_KINDS[kind]} has values that it does not use, or lacks one")
        held = checksum(token_out)
    if held != token:
        raise unsafe("the last step does not end with the token that the cycle began with")


def _shown(number: int, step: Values) -> Iterator[Shown]:
    kind, venue, _, token_out, fee, spacing, pool_id = step
    yield Shown(f"Step {number}", Kind.WORDS, _KINDS[kind])
    if kind in (_V2, _V3) and _is(venue):
        yield Shown("Factory", Kind.ADDRESS, checksum(venue))
    if kind == _V4 and _is(venue):
        yield Shown("Hooks", Kind.ADDRESS, checksum(venue))
    if kind == _CURVE:
        yield Shown("Pool", Kind.ADDRESS, checksum(venue))
    if kind in (_V2, _V3, _V4):
        yield pool_fee(fee)
    if kind == _V4:
        yield Shown("Tick spacing", Kind.NUMBER, spacing)
    if pool_id != _NO_ID:
        yield Shown("Pool's id" if kind == _BALANCER else "Places of the tokens", Kind.BYTES, pool_id)
    if _is(token_out):
        yield Shown("Gives", Kind.TOKEN, checksum(token_out))
    else:
        yield Shown("Gives", Kind.WORDS, "the chain's own coin")


def _is(address: str) -> bool:
    return checksum(address) != _ZERO


METHODS: Final = (
    Method(
        "execute",
        (
            "(uint8,address,uint256,uint256,uint256,uint256,uint16,address,uint24)",
            "(uint8,address,address,address,uint24,int24,bytes32)[]",
        ),
        _execute,
    ),
)
