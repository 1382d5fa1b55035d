"""Balancer V2 on the devnet: the Vault that holds every pool's tokens, a stable pool and a weighted pool."""

from __future__ import annotations

from typing import Final

from chain.abi import Dynamic, address_array, address_at, address_word, bytes_words, compose, selector, uint_word
from chain.devnet.deployer import DEPLOYER, Deployer
from chain.devnet.market import BalancerSeed, Market
from chain.devnet.tokens import Tokens
from chain.devnet.world import PoolEntry

_PAUSE_WINDOW_S: Final = 7_776_000
_PAUSE_BUFFER_S: Final = 2_592_000
_PIP: Final = 10**12
"""A hundredth of a basis point in Balancer's 18 decimals."""
_PERCENT: Final = 10**16
_INIT: Final = 0
"""What a join says it is, in its user data: the first one, which sets the pool's balances."""


async def deploy(to: Deployer) -> None:
    """Put the Vault and the factories where mainnet has them."""
    authorizer = await to.place("BalancerAuthorizer", address_word(DEPLOYER))
    vault = await to.place(
        "BalancerVault",
        address_word(authorizer)
        + address_word(to.contracts["WETH9"])
        + uint_word(_PAUSE_WINDOW_S)
        + uint_word(_PAUSE_BUFFER_S),
    )
    for factory in ("BalancerStablePoolFactory", "BalancerWeightedPoolFactory"):
        await to.place(factory, address_word(vault))


async def seed(to: Deployer, tokens: Tokens, seed: BalancerSeed, market: Market) -> PoolEntry:
    """Create a pool through its factory and join it with its first balances."""
    members = sorted(seed.members, key=lambda member: int(tokens.address(member.symbol), 16))
    addresses = [tokens.address(member.symbol) for member in members]
    name = f"Balancer {'/'.join(member.symbol for member in members)}"
    label = Dynamic(bytes_words(name.encode()))
    fee, owner = uint_word(seed.fee_pips * _PIP), address_word(DEPLOYER)
    if seed.is_weighted:
        factory, kind = "BalancerWeightedPoolFactory", "balancer-weighted"
        method = "create(string,string,address[],uint256[],uint256,address)"
        weights = Dynamic(_numbers([member.weight_percent * _PERCENT for member in members]))
        words = compose(label, label, address_array(addresses), weights, fee + owner)
    else:
        factory, kind = "BalancerStablePoolFactory", "balancer-stable"
        method = "create(string,string,address[],uint256,uint256,address)"
        words = compose(label, label, address_array(addresses), uint_word(seed.amplification) + fee + owner)
    receipt = await to.send(to.contracts[factory], selector(method) + words, what=f"create {name}")
    created = next(log for log in receipt.logs if log.address == to.contracts[factory])
    pool = address_at(bytes.fromhex(created.topics[1][2:]), 0)  # PoolCreated(address indexed pool)
    pool_id = await to.client.call(pool, selector("getPoolId()"))
    amounts = _numbers([market.raw(member.symbol, member.usd) for member in members])
    request = compose(
        address_array(addresses),
        Dynamic(amounts),
        Dynamic(bytes_words(compose(uint_word(_INIT), Dynamic(amounts)))),
        uint_word(0),
    )
    await to.send(
        to.contracts["BalancerVault"],
        selector("joinPool(bytes32,address,address,(address[],uint256[],bytes,bool))")
        + compose(pool_id, address_word(DEPLOYER), address_word(DEPLOYER), Dynamic(request)),
        what=f"join {name}",
    )
    return PoolEntry(
        kind=kind,
        address=pool,
        token0=addresses[0],
        token1=addresses[1],
        fee=seed.fee_pips,
        pool_id="0x" + pool_id.hex(),
        more_tokens=tuple(addresses[2:]),
    )


def _numbers(values: list[int]) -> bytes:
    return uint_word(len(values)) + b"".join(uint_word(value) for value in values)
