"""Finds the pools of a set of tokens: asks factories, never guesses addresses, in a few round trips.

On a recognised devnet the contracts are mainnet's (`chain.devnet.CANONICAL`); elsewhere the caller says where they are.
What a factory does not know does not exist for us; what it names is still read and checked before it is quoted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

from chain import ChainClient, NodeRefused
from chain.abi import address_at, address_word, selector, uint_word
from chain.devnet import CANONICAL
from dex.pools import ZERO_ADDRESS, PoolSpec, pool_spec
from dex.replicas.lens import read_tokens
from domain.assets import Asset, native_asset, token_asset
from domain.errors import InputError
from domain.ids import Address, ChainId

V2_FEE_PIPS: Final = 3000
V3_FEES_PIPS: Final = (100, 500, 3000, 10000)
_TOKENS_MAX: Final = 64
"""Pairs grow with the square: 64 tokens are 2,016 pairs and about 10,000 questions."""
_BATCH: Final = 500
_GET_PAIR: Final = selector("getPair(address,address)")
_GET_POOL: Final = selector("getPool(address,address,uint24)")


@dataclass(frozen=True, slots=True)
class Deployment:
    """Where the exchanges of a chain stand. What is None is not asked."""

    chain_id: ChainId
    wrapped: Address
    """The ERC-20 form of the chain's own coin."""
    tokens: Mapping[str, Address] = field(default_factory=dict)
    """Tokens to route over, by the name they are known under."""
    v2_factory: Address | None = None
    v3_factory: Address | None = None
    v3_fees_pips: tuple[int, ...] = V3_FEES_PIPS
    native_symbol: str = "ETH"

    @property
    def native(self) -> Asset:
        return native_asset(self.chain_id, self.native_symbol)


@dataclass(frozen=True, slots=True)
class Token:
    """A token with its contract; the chain's own coin has the zero address."""

    asset: Asset
    address: Address


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found: tokens by upper-case symbol and by asset id, and the pools between them."""

    deployment: Deployment
    tokens: Mapping[str, Token]
    pools: tuple[PoolSpec, ...]

    @property
    def wrapped(self) -> Asset:
        """The coin's ERC-20 form, which routing takes for the coin itself."""
        return next(t.asset for t in self.tokens.values() if t.address == self.deployment.wrapped)

    def token(self, text: str) -> Asset:
        """Find a token by symbol (in any case), address or asset id.

        Raises:
            InputError: There is none.
        """
        wanted = text.strip().lower()
        for token in self.tokens.values():
            if wanted in (token.asset.symbol.lower(), token.address.lower(), token.asset.id.lower()):
                return token.asset
        known = ", ".join(sorted(t.asset.symbol for t in self.tokens.values()))
        raise InputError(f"no token {text!r}", hint=f"Known here: {known}; or give a token's address.")


def devnet_deployment(chain_id: int) -> Deployment:
    """Say where everything stands on a devnet: at mainnet's addresses."""
    names = {"WETH": "WETH9", "USDC": "USDC", "WBTC": "WBTC", "DAI": "DAI", "USDT": "USDT"}
    return Deployment(
        chain_id=ChainId(chain_id),
        wrapped=Address(CANONICAL["WETH9"]),
        tokens={symbol: Address(CANONICAL[name]) for symbol, name in names.items() if name in CANONICAL},
        v2_factory=Address(CANONICAL["UniswapV2Factory"]),
        v3_factory=Address(CANONICAL["UniswapV3Factory"]),
    )


async def discover(client: ChainClient, deployment: Deployment, extra_tokens: Sequence[str] = ()) -> Discovery:
    """Find every pool between a deployment's tokens and `extra_tokens` (addresses).

    Raises:
        InputError: Too many tokens, or an address is no token.
        VenueUnavailable: No node answers.
    """
    tokens = await _tokens(client, deployment, extra_tokens)
    listed = [token for token in tokens.values() if token.address != ZERO_ADDRESS]
    pools = await _factory_pools(client, deployment, listed)
    return Discovery(deployment, tokens, tuple(pools))


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


async def _factory_pools(client: ChainClient, deployment: Deployment, tokens: Sequence[Token]) -> list[PoolSpec]:
    questions: list[tuple[str, int, Token, Token]] = []
    requests: list[tuple[str, list[Any]]] = []
    for a, b in combinations(tokens, 2):
        pair = address_word(a.address) + address_word(b.address)
        if deployment.v2_factory is not None:
            questions.append(("v2", V2_FEE_PIPS, a, b))
            requests.append(_question(deployment.v2_factory, _GET_PAIR + pair))
        if deployment.v3_factory is not None:
            for fee in deployment.v3_fees_pips:
                questions.append(("v3", fee, a, b))
                requests.append(_question(deployment.v3_factory, _GET_POOL + pair + uint_word(fee)))
    answers: list[Any] = []
    for start in range(0, len(requests), _BATCH):
        answers += await client.batch(requests[start : start + _BATCH])
    specs = []
    for (kind, fee, a, b), answer in zip(questions, answers, strict=True):
        if isinstance(answer, NodeRefused):
            raise answer
        raw = bytes.fromhex(answer[2:])
        if len(raw) != 32 or (address := address_at(raw, 0)) == ZERO_ADDRESS:  # No factory there, or no such pool.
            continue
        specs.append(
            pool_spec(
                kind=kind,
                chain_id=deployment.chain_id,
                address=address,
                token_a=(a.address, a.asset.symbol, a.asset.decimals),
                token_b=(b.address, b.asset.symbol, b.asset.decimals),
                fee_pips=fee,
            )
        )
    return specs


def _question(to: str, data: bytes) -> tuple[str, list[Any]]:
    return "eth_call", [{"to": to, "data": "0x" + data.hex()}, "latest"]
