"""Balancer V2's pools, which all keep their tokens in one Vault: its announcements name pool and tokens.

The first twenty bytes of a pool's id are its address. What kind it is, it must be asked: weighted pools have weights,
stable ones an amplification. Others are left alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from chain import ChainClient, NodeRefused, parse_address
from chain.abi import address_at, selector, topic, uint_at
from chain.client import block_param
from chain.records import log_from
from dex.discovery.book import Deployment, Token
from dex.pools import PoolSpec, pool_spec
from domain.ids import Address

_REGISTERED: Final = topic("TokensRegistered(bytes32,address[],address[])")
_FEE: Final = selector("getSwapFeePercentage()")
_WEIGHTS: Final = selector("getNormalizedWeights()")
_AMPLIFICATION: Final = selector("getAmplificationParameter()")
_PIP: Final = 10**12
"""A hundredth of a basis point in Balancer's 18 decimals."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A pool between tokens we know."""

    address: Address
    pool_id: str
    tokens: tuple[Token, ...]


def registered_question(vault: Address, from_block: int) -> tuple[str, list[Any]]:
    """Ask for every pool that ever told the Vault its tokens."""
    criteria = {
        "address": vault,
        "topics": [_REGISTERED],
        "fromBlock": block_param(from_block),
        "toBlock": "latest",
    }
    return "eth_getLogs", [criteria]


def registered(tokens: Sequence[Token], answer: Sequence[Any]) -> list[Registered]:
    """Read the announcements; pools of a token that is not known here are left out."""
    by_address = {token.address: token for token in tokens}
    found: dict[str, Registered] = {}
    for entry in answer:
        log = log_from(entry)
        start = uint_at(log.data, 0) // 32
        members = [by_address.get(address_at(log.data, start + 1 + i)) for i in range(uint_at(log.data, start))]
        known = [member for member in members if member is not None]
        if len(known) == len(members) >= 2:
            pool_id = log.topics[1]
            found[pool_id] = Registered(parse_address(pool_id[:42]), pool_id, tuple(known))
    return list(found.values())


async def balancer_specs(client: ChainClient, deployment: Deployment, pools: Sequence[Registered]) -> list[PoolSpec]:
    """Ask pools for their kind and fee, one batch.

    Raises:
        VenueUnavailable: No node answers.
    """
    requests: list[tuple[str, list[Any]]] = [
        ("eth_call", [{"to": pool.address, "data": "0x" + data.hex()}, "latest"])
        for pool in pools
        for data in (_FEE, _WEIGHTS, _AMPLIFICATION)
    ]
    answers = await client.batch(requests)
    found = []
    for index, pool in enumerate(pools):
        fee, weights, amplification = answers[3 * index : 3 * index + 3]
        kinds = {"balancer-weighted": weights, "balancer-stable": amplification}
        kind = next((name for name, answer in kinds.items() if _is_told(answer)), "")
        if not kind or not _is_told(fee):
            continue
        pips, rest = divmod(uint_at(bytes.fromhex(fee[2:]), 0), _PIP)
        if rest:  # Fees finer than ours would be quoted wrong.
            continue
        first, second, *others = (token.terms for token in pool.tokens)
        found.append(
            pool_spec(
                kind=kind,
                chain_id=deployment.chain_id,
                address=pool.address,
                token_a=first,
                token_b=second,
                fee_pips=pips,
                pool_id=pool.pool_id,
                more_tokens=others,
            )
        )
    return found


def _is_told(answer: Any) -> bool:
    return not isinstance(answer, NodeRefused) and len(answer) > 2
