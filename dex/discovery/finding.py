"""One batch of questions to everything that creates pools, and what the answers mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from typing import Any, Final

from chain import ChainClient, NodeRefused
from chain.abi import address_at, address_word, selector, uint_word
from dex.discovery.balancer import balancer_specs, registered, registered_question
from dex.discovery.book import Deployment, Discovery, Token
from dex.discovery.uniswap4 import events_question, events_specs, key_specs, keys_questions
from dex.pools import ZERO_ADDRESS, PoolSpec, pool_spec
from dex.replicas.lens import read_tokens
from domain.assets import token_asset
from domain.errors import InputError
from domain.ids import Address

V2_FEE_PIPS: Final = 3000
_TOKENS_MAX: Final = 64
"""Pairs grow with the square: 64 tokens are 2,016 pairs and about 10,000 questions."""
_BATCH: Final = 500
_GET_PAIR: Final = selector("getPair(address,address)")
_GET_POOL: Final = selector("getPool(address,address,uint24)")


@dataclass(frozen=True, slots=True)
class _Question:
    """A request to the node, and what its answer says."""

    request: tuple[str, list[Any]]
    read: Callable[[Any], list[PoolSpec]]
    may_refuse: bool = False
    """A node may decline a search through many blocks; the pools it would have named are then not found."""


async def discover(client: ChainClient, deployment: Deployment, extra_tokens: Sequence[str] = ()) -> Discovery:
    """Find every pool between a deployment's tokens, the chain's coin, and `extra_tokens` (addresses).

    Raises:
        InputError: Too many tokens, or an address is no token.
        NodeRefused: The node declines a plain question.
        VenueUnavailable: No node answers.
    """
    tokens = await _tokens(client, deployment, extra_tokens)
    everything = list(tokens.values())
    listed = [token for token in everything if token.address != ZERO_ADDRESS]
    questions = [*_factory_questions(deployment, listed), *_singleton_questions(deployment, everything)]
    found: dict[str, PoolSpec] = {}
    for start in range(0, len(questions), _BATCH):
        part = questions[start : start + _BATCH]
        for question, answer in zip(part, await client.batch([q.request for q in part]), strict=True):
            if isinstance(answer, NodeRefused):
                if question.may_refuse:
                    continue
                raise answer
            found.update((spec.id, spec) for spec in question.read(answer))
    for spec in await _balancer(client, deployment, listed):
        found[spec.id] = spec
    return Discovery(deployment, tokens, tuple(found.values()))


async def _balancer(client: ChainClient, deployment: Deployment, tokens: Sequence[Token]) -> list[PoolSpec]:
    if deployment.vault is None or deployment.events_from is None:
        return []
    (answer,) = await client.batch([registered_question(deployment.vault, deployment.events_from)])
    if isinstance(answer, NodeRefused):  # It would not search so many blocks.
        return []
    return await balancer_specs(client, deployment, registered(tokens, answer))


async def _tokens(client: ChainClient, deployment: Deployment, extra: Sequence[str]) -> dict[str, Token]:
    """Ask the tokens for symbol and decimals. Two of one symbol are told apart by their addresses only."""
    addresses = list(dict.fromkeys([deployment.wrapped, *deployment.tokens.values(), *map(Address, extra)]))
    if len(addresses) > _TOKENS_MAX:
        raise InputError(f"{len(addresses)} tokens to route over are more than {_TOKENS_MAX}")
    found = {deployment.native.id: Token(deployment.native, ZERO_ADDRESS)}
    states = await read_tokens(client, addresses, ZERO_ADDRESS)
    for address, state in zip(addresses, states, strict=True):
        if not state.is_readable:
            if address in extra or address == deployment.wrapped:
                raise InputError(f"{address} is no ERC-20 token on chain {deployment.chain_id}")
            continue
        asset = token_asset(deployment.chain_id, address, state.symbol or address[:10], state.decimals)
        found[asset.id] = Token(asset, address)
    return found


def _factory_questions(deployment: Deployment, tokens: Sequence[Token]) -> list[_Question]:
    questions = []
    for a, b in combinations(tokens, 2):
        pair = address_word(a.address) + address_word(b.address)
        if deployment.v2_factory is not None:
            reader = _reader("v2", V2_FEE_PIPS, deployment, a, b)
            questions.append(_Question(_call(deployment.v2_factory, _GET_PAIR + pair), reader))
        if deployment.v3_factory is not None:
            for fee in deployment.v3_fees_pips:
                request = _call(deployment.v3_factory, _GET_POOL + pair + uint_word(fee))
                questions.append(_Question(request, _reader("v3", fee, deployment, a, b)))
    return questions


def _reader(kind: str, fee: int, deployment: Deployment, a: Token, b: Token) -> Callable[[str], list[PoolSpec]]:
    def read(answer: str) -> list[PoolSpec]:
        raw = bytes.fromhex(answer[2:])
        if len(raw) != 32 or (address := address_at(raw, 0)) == ZERO_ADDRESS:  # No factory there, or no such pool.
            return []
        spec = pool_spec(
            kind=kind,
            chain_id=deployment.chain_id,
            address=address,
            token_a=a.terms,
            token_b=b.terms,
            fee_pips=fee,
        )
        return [spec]

    return read


def _call(to: Address, data: bytes) -> tuple[str, list[Any]]:
    return "eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"]


def _singleton_questions(deployment: Deployment, tokens: Sequence[Token]) -> list[_Question]:
    manager = deployment.pool_manager
    if manager is None:
        return []
    questions = [
        _Question(request, partial(key_specs, specs)) for request, specs in keys_questions(deployment, manager, tokens)
    ]
    if deployment.events_from is not None:
        request = events_question(manager, tokens, deployment.events_from)
        read = partial(events_specs, deployment, manager, tokens)
        questions.append(_Question(request, read, may_refuse=True))
    return questions
