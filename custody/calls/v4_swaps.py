"""Swaps on Uniswap V4 within a UniversalRouter command: a swap, the payment of its input, the taking of its output.

Only these three belong together in the forms that are read; hooks get no data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from chain import checksum
from custody.calls.canonical import canonical, unsafe
from custody.calls.model import COIN
from domain import Address, Refused

_SWAP_EXACT_IN: Final = 0x07
_SWAP_EXACT_OUT: Final = 0x09
_SETTLE: Final = 0x0B
_SETTLE_ALL: Final = 0x0C
_TAKE: Final = 0x0E
_TAKE_ALL: Final = 0x0F
_ALL: Final = 0
"""V4's open delta: all that is owed, or all that is due."""
_CONTRACT_BALANCE: Final = 1 << 255
_ZERO: Final = "0x0000000000000000000000000000000000000000"
_MSG_SENDER: Final = "0x0000000000000000000000000000000000000001"
_PATH: Final = "(address,uint24,int24,address,bytes)[]"
# Routers since 2.1 take a bound for each hop besides; it may be empty.
_PARAMETERS: Final = (f"(address,{_PATH},uint256[],uint128,uint128)", f"(address,{_PATH},uint128,uint128)")


@dataclass(frozen=True, slots=True)
class V4Hop:
    """One pool on the way."""

    token_out: Address
    fee_pips: int
    tick_spacing: int
    hooks: Address


@dataclass(frozen=True, slots=True)
class V4Swap:
    """A swap with who pays and who receives."""

    token_in: Address
    hops: tuple[V4Hop, ...]
    amount_in: int | None
    """Exact, or the most of an exact output; None for all that the router holds."""
    amount_out: int
    """The least, or exact."""
    is_exact_out: bool
    is_paid_by_caller: bool
    recipient: str

    @property
    def token_out(self) -> Address:
        return self.hops[-1].token_out


def read_v4_swap(content: bytes) -> V4Swap:
    """Read the input of a V4_SWAP command.

    Raises:
        Refused: `malformed-call`, or `unsafe-call` for any other sequence of actions.
    """
    actions, parameters = canonical("V4_SWAP", ("bytes", "bytes[]"), content)
    if len(actions) != 3 or len(parameters) != 3:
        raise unsafe("a V4 swap is read as three actions: swap, pay, take")
    steps = dict(zip(actions, parameters, strict=True))
    swap = next((code for code in (_SWAP_EXACT_IN, _SWAP_EXACT_OUT) if code in steps), None)
    pay = next((code for code in (_SETTLE, _SETTLE_ALL) if code in steps), None)
    take = next((code for code in (_TAKE, _TAKE_ALL) if code in steps), None)
    if swap is None or pay is None or take is None or actions[2] != take:
        raise unsafe("a V4 swap is read as three actions: swap, pay, take")
    is_exact_out, is_paid_first = swap == _SWAP_EXACT_OUT, actions[0] == pay
    token_in, hops, first, second = _swap(steps[swap], is_exact_out=is_exact_out)
    amount_in, amount_out = (second, first) if is_exact_out else (first, second)
    paid, is_paid_by_caller = _payment(pay, steps[pay], token_in)
    recipient, least = _taking(take, steps[take], hops[-1].token_out)
    if least not in (None, amount_out):
        raise unsafe("a V4 swap and its taking name different amounts")
    found = _paid(amount_in, paid, pay=pay, is_first=is_paid_first, is_exact_out=is_exact_out)
    if is_exact_out and amount_out == 0:
        raise unsafe("a V4 swap for an exact output of nothing")
    return V4Swap(token_in, hops, found, amount_out, is_exact_out, is_paid_by_caller, recipient)


def _paid(amount_in: int, paid: int, *, pay: int, is_first: bool, is_exact_out: bool) -> int | None:
    """Hold payment against swap: what is paid is what the swap says, or all that the router holds (None)."""
    if is_first:
        # Paid before the swap: a known amount, or everything, which the swap then takes up.
        if is_exact_out or pay != _SETTLE:
            raise unsafe("only an exact input is paid before its swap")
        if (paid, amount_in) == (_CONTRACT_BALANCE, _ALL):
            return None
        if amount_in == 0 or paid != amount_in:
            raise unsafe("a V4 swap and its payment name different amounts")
        return amount_in
    wanted = amount_in if pay == _SETTLE_ALL else _ALL
    if amount_in == 0 or paid != wanted or (pay == _SETTLE and not is_exact_out):
        raise unsafe("a V4 swap and its payment name different amounts")
    return amount_in


def _swap(content: bytes, *, is_exact_out: bool) -> tuple[Address, tuple[V4Hop, ...], int, int]:
    values = _parameters(content)
    currency, path, *bounds, first, second = values
    if not path or any(hook_data for *_, hook_data in path):
        raise unsafe("a V4 path has hops, and nothing is said to their hooks")
    if bounds and bounds[0]:
        raise unsafe("bounds of single hops are not read")
    currencies = [_token(each) for each, *_ in path]
    # Of an exact input the path names what each hop gives, of an exact output what each takes.
    tokens = [*currencies, _token(currency)] if is_exact_out else [_token(currency), *currencies]
    if tokens[0] == tokens[-1]:
        raise unsafe("a swap's path has two ends that differ")
    hops = tuple(
        V4Hop(token, fee, spacing, checksum(hooks))
        for token, (_, fee, spacing, hooks, _) in zip(tokens[1:], path, strict=True)
    )
    return tokens[0], hops, first, second


def _parameters(content: bytes) -> tuple[Any, ...]:
    try:
        (values,) = canonical("V4 swap", (_PARAMETERS[0],), content)
    except Refused:
        (values,) = canonical("V4 swap", (_PARAMETERS[1],), content)
    return tuple(values)


def _payment(code: int, content: bytes, token_in: Address) -> tuple[int, bool]:
    if code == _SETTLE_ALL:
        currency, amount = canonical("SETTLE_ALL", ("address", "uint256"), content)
        is_paid_by_caller = True
    else:
        currency, amount, is_paid_by_caller = canonical("SETTLE", ("address", "uint256", "bool"), content)
        if is_paid_by_caller:
            raise unsafe("what the caller pays to V4 has a most: SETTLE_ALL")
    if _token(currency) != token_in:
        raise unsafe("a V4 swap's payment is in another token")
    # Coins are never drawn from the caller: they are those that came with the call.
    return amount, is_paid_by_caller and token_in != COIN


def _taking(code: int, content: bytes, token_out: Address) -> tuple[str, int | None]:
    least: int | None = None
    if code == _TAKE_ALL:
        currency, least = canonical("TAKE_ALL", ("address", "uint256"), content)
        recipient = _MSG_SENDER
    else:
        currency, recipient, amount = canonical("TAKE", ("address", "address", "uint256"), content)
        if amount != _ALL:
            raise unsafe("a V4 swap's output is taken whole")
    if _token(currency) != token_out:
        raise unsafe("another token is taken than the V4 swap gives")
    return recipient, least


def _token(currency: str) -> Address:
    return COIN if currency == _ZERO else checksum(currency)
