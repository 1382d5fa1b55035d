"""V4's pools have no addresses: they are entries of one PoolManager, under the hash of their key.

A pool without hooks of a usual fee is found by computing its id and looking whether its entry has a price. Others are
found by the events that announced them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, Final

from chain.abi import Dynamic, address_at, address_word, compose, int_at, selector, topic, uint_at, uint_word
from chain.client import block_param
from chain.keccak import keccak256
from chain.records import log_from
from dex.discovery.book import V4_KEYS, Deployment, Token
from dex.pools import ZERO_ADDRESS, PoolSpec, pool_spec
from domain.errors import InputError
from domain.ids import Address

_EXTSLOAD: Final = selector("extsload(bytes32[])")
_INITIALIZE: Final = topic("Initialize(bytes32,address,address,uint24,int24,address,uint160,int24)")
_POOLS_SLOT: Final = 6
"""Where the PoolManager's mapping of pools is; a pool's first word holds its price, zero before it is created."""
_SQRT_PRICE: Final = (1 << 160) - 1
_KEYS_PER_CALL: Final = 500

Request = tuple[str, list[Any]]


def keys_questions(
    deployment: Deployment, manager: Address, tokens: Sequence[Token]
) -> Iterator[tuple[Request, list[PoolSpec]]]:
    """Ask for the prices of every pair's pools with a usual key."""
    specs = [
        _spec(deployment, manager, a, b, fee, spacing, ZERO_ADDRESS)
        for a, b in combinations(tokens, 2)
        for fee, spacing in V4_KEYS
    ]
    for start in range(0, len(specs), _KEYS_PER_CALL):
        part = specs[start : start + _KEYS_PER_CALL]
        slots = [keccak256(bytes.fromhex(spec.pool_id[2:]) + uint_word(_POOLS_SLOT)) for spec in part]
        data = _EXTSLOAD + compose(Dynamic(uint_word(len(slots)) + b"".join(slots)))
        yield ("eth_call", [{"to": manager, "data": "0x" + data.hex()}, "latest"]), part


def key_specs(specs: Sequence[PoolSpec], answer: str) -> list[PoolSpec]:
    """Keep the pools that have a price."""
    raw = bytes.fromhex(answer[2:])
    if not raw:  # No PoolManager stands there.
        return []
    # The array's offset and its length come first.
    return [spec for index, spec in enumerate(specs) if uint_at(raw, 2 + index) & _SQRT_PRICE]


def events_question(manager: Address, tokens: Sequence[Token], from_block: int) -> Request:
    """Ask for the pools that were ever created between the tokens."""
    words = ["0x" + address_word(token.address).hex() for token in tokens]
    criteria = {
        "address": manager,
        "topics": [_INITIALIZE, None, words, words],
        "fromBlock": block_param(from_block),
        "toBlock": "latest",
    }
    return "eth_getLogs", [criteria]


def events_specs(
    deployment: Deployment, manager: Address, tokens: Sequence[Token], answer: Sequence[Any]
) -> list[PoolSpec]:
    """Read `Initialize` events. A pool whose hash is not its id is none of this contract's."""
    by_address = {token.address: token for token in tokens}
    found = []
    for entry in answer:
        log = log_from(entry)
        sides = [by_address.get(address_at(bytes.fromhex(word[2:]), 0)) for word in log.topics[2:4]]
        if len(log.topics) != 4 or sides[0] is None or sides[1] is None:
            continue
        fee, spacing, hooks = uint_at(log.data, 0), int_at(log.data, 1), address_at(log.data, 2)
        spec = _spec(deployment, manager, sides[0], sides[1], fee, spacing, hooks)
        if spec.pool_id != log.topics[1]:
            raise InputError(f"PoolManager {manager} announced {log.topics[1]} as the pool {spec.pool_id}")
        found.append(spec)
    return found


def _spec(
    deployment: Deployment, manager: Address, a: Token, b: Token, fee: int, spacing: int, hooks: Address
) -> PoolSpec:
    low, high = sorted((a.address, b.address), key=lambda address: int(address, 16))
    key = address_word(low) + address_word(high) + uint_word(fee) + uint_word(spacing) + address_word(hooks)
    return pool_spec(
        kind="v4",
        chain_id=deployment.chain_id,
        address=manager,
        token_a=a.terms,
        token_b=b.terms,
        fee_pips=fee,
        pool_id="0x" + keccak256(key).hex(),
        tick_spacing=spacing,
        hooks=hooks,
    )
