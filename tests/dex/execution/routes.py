"""Quotes for the tests of execution, made by asking the genuine quoters: an oracle that shares nothing with routing."""

from __future__ import annotations

from fractions import Fraction

from chain import ChainClient
from chain.abi import Dynamic, address_array, address_word, bytes_words, compose, int_word, selector, uint_at, uint_word
from chain.codec import function
from chain.devnet import DevnetWorld
from dex.pools import ZERO_ADDRESS, PoolSpec, devnet_pools
from dex.routing.quote import Hop, Path, Quote
from domain import Asset, ChainId, native_asset, token_asset
from domain.ids import PoolId

_QUERY = function(
    "queryBatchSwap(uint8 kind, (bytes32 poolId, uint256 i, uint256 o, uint256 amount, bytes userData)[] swaps,"
    " address[] assets, (address sender, bool f, address recipient, bool t) funds) returns (int256[] deltas)"
)
_KEY = "(address,address,uint24,int24,address)"


def assets(world: DevnetWorld) -> dict[str, Asset]:
    """The devnet's tokens by symbol; ETH is the coin."""
    chain = ChainId(world.chain_id)
    found = {symbol: token_asset(chain, t.address, symbol, t.decimals) for symbol, t in world.tokens.items()}
    return found | {"ETH": native_asset(chain)}


def pool(world: DevnetWorld, name: str) -> PoolSpec:
    """Describe a pool by `v4:ETH/USDC:500`, or Balancer's by their kind alone."""
    if name.startswith("balancer"):
        return next(spec for spec in devnet_pools(world).values() if spec.kind == name)
    kind, pair, fee = name.split(":")
    by_symbol = assets(world)
    addresses = {symbol: token.address for symbol, token in world.tokens.items()} | {"ETH": ZERO_ADDRESS}
    symbols = sorted(pair.split("/"), key=lambda symbol: int(addresses[symbol], 16))
    entry = next(
        p
        for p in world.pools
        if p.kind == kind and p.fee == int(fee) and {p.token0, p.token1} == {addresses[s] for s in symbols}
    )
    return PoolSpec(
        id=PoolId(name),
        kind=kind,
        address=entry.address,
        chain_id=ChainId(world.chain_id),
        token0=by_symbol[symbols[0]],
        token1=by_symbol[symbols[1]],
        token0_address=addresses[symbols[0]],
        token1_address=addresses[symbols[1]],
        fee_pips=entry.fee,
        pool_id=entry.pool_id,
        tick_spacing=entry.tick_spacing,
        hooks=entry.hooks,
    )


class Asker:
    """Asks the chain's quoters."""

    def __init__(self, client: ChainClient, world: DevnetWorld) -> None:
        self.client, self.world, self.assets = client, world, assets(world)

    async def hop(self, name: str, token_in: str, token_out: str, amount: int, *, exact_out: bool = False) -> Hop:
        spec = pool(self.world, name)
        source, target = self.assets[token_in], self.assets[token_out]
        addresses = spec.address_of(source.id), spec.address_of(target.id)
        if spec.kind.startswith("balancer"):
            pair = await self._balancer(spec, *addresses, amount, exact_out=exact_out)
            return Hop(spec, source, target, *pair)
        data, at = self._question(spec, *addresses, amount, exact_out=exact_out)
        where = {"v2": "UniswapV2Router02", "v3": "QuoterV2", "v4": "V4Quoter"}[spec.kind]
        other = uint_at(await self.client.call(self.world.contracts[where], data), at)
        pair = (other, amount) if exact_out else (amount, other)
        return Hop(spec, source, target, *pair)

    async def _balancer(self, spec, token_in, token_out, amount, *, exact_out):
        """Ask the Vault, which answers with what each asset would move."""
        tokens = [address for _, address in spec.tokens]
        step = (bytes.fromhex(spec.pool_id[2:]), tokens.index(token_in), tokens.index(token_out), amount, b"")
        data = _QUERY.encode(int(exact_out), [step], tokens, (token_in, False, token_in, False))
        (deltas,) = _QUERY.decode(await self.client.call(self.world.contracts["BalancerVault"], data))
        return deltas[tokens.index(token_in)], -deltas[tokens.index(token_out)]

    def _question(self, spec, token_in, token_out, amount, *, exact_out):
        if spec.kind == "v2":
            name = "getAmountsIn" if exact_out else "getAmountsOut"
            data = compose(uint_word(amount), address_array([token_in, token_out]))
            return selector(f"{name}(uint256,address[])") + data, 2 if exact_out else 3
        side = "Output" if exact_out else "Input"
        if spec.kind == "v3":
            words = address_word(token_in) + address_word(token_out) + uint_word(amount) + uint_word(spec.fee_pips)
            method = f"quoteExact{side}Single((address,address,uint256,uint24,uint160))"
            return selector(method) + words + uint_word(0), 0
        key = address_word(spec.token0_address) + address_word(spec.token1_address) + uint_word(spec.fee_pips)
        key += int_word(spec.tick_spacing) + address_word(spec.hooks)
        tail = compose(key, uint_word(token_in == spec.token0_address), uint_word(amount), Dynamic(bytes_words(b"")))
        return selector(f"quoteExact{side}Single(({_KEY},bool,uint128,bytes))") + compose(Dynamic(tail)), 0

    async def path(self, amount: int, steps: str, *, exact_out: bool = False) -> Path:
        """`WETH v3:USDC/WETH:500 USDC v3:WBTC/USDC:500 WBTC`; the coin wraps and unwraps where names differ by it."""
        words = steps.split()
        legs = [(words[i + 1], words[i], words[i + 2]) for i in range(0, len(words) - 2, 2)]
        hops: list[Hop] = []
        for name, token_in, token_out in reversed(legs) if exact_out else legs:
            sides = {"WETH": "ETH"} if name.startswith("v4") else {}
            found = await self.hop(
                name, sides.get(token_in, token_in), sides.get(token_out, token_out), amount, exact_out=exact_out
            )
            hops.append(found)
            amount = found.amount_in if exact_out else found.amount_out
        return Path(tuple(hops[::-1] if exact_out else hops))

    async def quote(self, token_in: str, token_out: str, *paths: Path, exact_out: bool = False) -> Quote:
        head = await self.client.head()
        amounts = [sum(p.amount_in for p in paths), sum(p.amount_out for p in paths)]
        return Quote(
            id="q",
            chain_id=ChainId(self.world.chain_id),
            block_number=head.number,
            block_hash=head.hash,
            token_in=self.assets[token_in],
            token_out=self.assets[token_out],
            amount_in=amounts[0],
            amount_out=amounts[1],
            is_exact_out=exact_out,
            paths=paths,
            mid_price=Fraction(amounts[1], amounts[0]),
            gas_units=0,
            gas_cost=0,
        )
