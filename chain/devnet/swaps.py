"""Single swaps of the devnet's test accounts, one per kind of pool, through the genuine routers and without bounds.

For making noise and for tests. What the platform itself swaps is planned by `dex` and signed by custody.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chain.abi import (
    Dynamic,
    address_array,
    address_word,
    bytes_array,
    bytes_words,
    compose,
    int_word,
    selector,
    uint_word,
)
from chain.devnet.world import NATIVE_COIN, DevnetWorld, PoolEntry
from domain.errors import InputError
from domain.ids import Address

_FAR: Final = 2**40
_UNLIMITED: Final = 2**256 - 1
_PERMIT_MAX: Final = 2**160 - 1
_PERMIT_EXPIRY: Final = 2**48 - 1
_V4_SWAP: Final = 0x10
_SWAP_EXACT_IN_SINGLE, _SETTLE_ALL, _TAKE_ALL = 0x06, 0x0C, 0x0F
_NOTHING: Final = Dynamic(bytes_words(b""))


@dataclass(frozen=True, slots=True)
class Step:
    """One call to make: to whom, with what, and how much of the coin goes along."""

    to: Address
    data: bytes
    value_wei: int = 0


def spender(world: DevnetWorld, kind: str) -> Address:
    """Name the contract that takes a token for a swap on a kind of pool; of V4 it is Permit2."""
    names = {"v2": "UniswapV2Router02", "v3": "SwapRouter02", "v4": "Permit2"}
    return world.contracts[names.get(kind, "BalancerVault")]


def allow(world: DevnetWorld, kind: str, token: str) -> tuple[Step, ...]:
    """Let swaps on a kind of pool take any amount of a token from the sender."""
    words = address_word(spender(world, kind)) + uint_word(_UNLIMITED)
    approve = Step(Address(token), selector("approve(address,uint256)") + words)
    if kind != "v4":
        return (approve,)
    permit = address_word(token) + address_word(world.contracts["UniversalRouter"])
    return (
        approve,
        Step(
            world.contracts["Permit2"],
            selector("approve(address,address,uint160,uint48)")
            + permit
            + uint_word(_PERMIT_MAX)
            + uint_word(_PERMIT_EXPIRY),
        ),
    )


def swap(world: DevnetWorld, pool: PoolEntry, token_in: str, token_out: str, amount: int, sender: str) -> Step:
    """Sell an exact amount on one pool for whatever it gives, to the sender.

    Raises:
        InputError: A kind of pool the devnet has none of.
    """
    if pool.kind == "v2":
        return _v2(world, token_in, token_out, amount, sender)
    if pool.kind == "v3":
        method = selector("exactInputSingle((address,address,uint24,address,uint256,uint256,uint160))")
        words = address_word(token_in) + address_word(token_out) + uint_word(pool.fee) + address_word(sender)
        amounts = uint_word(amount) + uint_word(0) + uint_word(0)
        return Step(world.contracts["SwapRouter02"], method + words + amounts)
    if pool.kind == "v4":
        return _v4(world, pool, token_in, token_out, amount)
    if pool.kind.startswith("balancer-"):
        return _balancer(world, pool, token_in, token_out, amount, sender)
    raise InputError(f"the devnet swaps on no pool of kind {pool.kind!r}")


def _v2(world: DevnetWorld, token_in: str, token_out: str, amount: int, sender: str) -> Step:
    method = selector("swapExactTokensForTokens(uint256,uint256,address[],address,uint256)")
    path = address_array([token_in, token_out])
    words = compose(uint_word(amount), uint_word(0), path, address_word(sender), uint_word(_FAR))
    return Step(world.contracts["UniswapV2Router02"], method + words)


def _v4(world: DevnetWorld, pool: PoolEntry, token_in: str, token_out: str, amount: int) -> Step:
    """Make the UniversalRouter unlock the PoolManager: swap, pay what is owed, take what is due."""
    key = address_word(pool.token0) + address_word(pool.token1) + uint_word(pool.fee) + int_word(pool.tick_spacing)
    terms = uint_word(int(token_in == pool.token0)) + uint_word(amount) + uint_word(0)
    parts = (
        compose(Dynamic(compose(key + address_word(pool.hooks) + terms, _NOTHING))),
        address_word(token_in) + uint_word(amount),
        address_word(token_out) + uint_word(0),
    )
    actions = bytes((_SWAP_EXACT_IN_SINGLE, _SETTLE_ALL, _TAKE_ALL))
    command = compose(Dynamic(bytes_words(actions)), bytes_array(parts))
    words = compose(Dynamic(bytes_words(bytes((_V4_SWAP,)))), bytes_array([command]), uint_word(_FAR))
    return Step(
        world.contracts["UniversalRouter"],
        selector("execute(bytes,bytes[],uint256)") + words,
        amount if token_in == NATIVE_COIN else 0,
    )


def _balancer(world: DevnetWorld, pool: PoolEntry, token_in: str, token_out: str, amount: int, sender: str) -> Step:
    given_in = uint_word(0)
    single = compose(
        bytes.fromhex(pool.pool_id[2:]),
        given_in + address_word(token_in) + address_word(token_out) + uint_word(amount),
        _NOTHING,
    )
    funds = address_word(sender) + uint_word(0) + address_word(sender) + uint_word(0)
    method = selector("swap((bytes32,uint8,address,address,uint256,bytes),(address,bool,address,bool),uint256,uint256)")
    words = compose(Dynamic(single), funds, uint_word(0), uint_word(_FAR))
    return Step(world.contracts["BalancerVault"], method + words)
