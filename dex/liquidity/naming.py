"""Pools as people name them: `v3:WETH/USDC/500`, a V3 pool's address, or a V4 pool's id."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from chain import ChainClient, keccak256, parse_address
from chain.abi import address_at, address_word, int_at, selector, uint_at, uint_word
from dex.liquidity.contracts import PositionContracts
from dex.liquidity.v4 import pool_key
from dex.pools import ZERO_ADDRESS, PoolSpec
from dex.replicas.lens import read_tokens
from domain.assets import Asset, native_asset, token_asset
from domain.errors import InputError
from domain.ids import Address, PoolId

_GET_POOL: Final = selector("getPool(address,address,uint24)")
_POOL_KEYS: Final = selector("poolKeys(bytes25)")
_TOKENS: Final = (selector("token0()"), selector("token1()"))
_FEE: Final = selector("fee()")
_SPACING: Final = selector("tickSpacing()")
_SPACINGS: Final[Mapping[int, int]] = {100: 1, 500: 10, 3000: 60, 10000: 200}
"""V4 pools choose theirs; these are what V3's factory gives, and what most V4 pools took over."""

_NAME: Final = re.compile(r"(v3|v4):([^/]+)/([^/]+)/(\d{1,7})(?::(\d{1,5}))?")
_ID: Final = re.compile(r"0x[0-9a-fA-F]{64}")


class PoolNames:
    """Finds pools on one chain. `tokens` are addresses by symbol; others are named by address."""

    def __init__(
        self, client: ChainClient, contracts: PositionContracts, tokens: Mapping[str, Address], coin: str = "ETH"
    ) -> None:
        self._client = client
        self._contracts = contracts
        self._coin = coin
        self._tokens = {symbol.upper(): address for symbol, address in tokens.items()} | {coin: ZERO_ADDRESS}

    async def find(self, text: str) -> PoolSpec:
        """Find a pool that exists.

        Args:
            text: `v3:WETH/USDC/500` (fee in millionths), `v4:ETH/USDC/3000` (or `…/3000:60` with its tick spacing), a
                V3 pool's address, or the 32-byte id of a V4 pool that has had a position.

        Raises:
            InputError: No such pool, or the text names none.
        """
        if named := _NAME.fullmatch(text):
            kind, one, other, fee, spacing = named.groups()
            ends = sorted((self._token(one), self._token(other)), key=lambda token: int(token, 16))
            if kind == "v3":
                return await self._v3_by_tokens(text, ends, int(fee))
            wide = int(spacing) if spacing else _SPACINGS.get(int(fee), 0)
            if not wide:
                raise InputError(f"{text}: say the tick spacing", hint=f"{text}:60")
            return await self._v4(ends, int(fee), wide, ZERO_ADDRESS)
        if _ID.fullmatch(text):
            return await self._v4_by_id(text)
        if text.startswith("0x"):
            return await self._v3_at(parse_address(text))
        raise InputError(
            f"{text!r} names no pool", hint="Like v3:WETH/USDC/500, v4:ETH/USDC/3000, or an address, or a V4 pool's id."
        )

    def _token(self, text: str) -> Address:
        if text.startswith("0x"):
            return parse_address(text)
        token = self._tokens.get(text.upper())
        if token is None:
            known = ", ".join(sorted(self._tokens))
            raise InputError(f"no token {text!r}", hint=f"Known here: {known}; or give a token's address.")
        return token

    async def _v3_by_tokens(self, text: str, ends: list[Address], fee: int) -> PoolSpec:
        words = address_word(ends[0]) + address_word(ends[1]) + uint_word(fee)
        pool = address_at(await self._client.call(self._contracts.need("v3_factory"), _GET_POOL + words), 0)
        if pool == ZERO_ADDRESS:
            raise InputError(f"there is no pool {text}", hint="V3 pools have fees of 100, 500, 3000 or 10000.")
        return await self._v3_at(pool)

    async def _v3_at(self, pool: Address) -> PoolSpec:
        if not await self._client.code(pool):
            raise InputError(f"there is no contract at {pool}", hint="Is it another chain's?")
        tokens = [address_at(await self._client.call(pool, each), 0) for each in _TOKENS]
        fee = uint_at(await self._client.call(pool, _FEE), 0)
        spacing = int_at(await self._client.call(pool, _SPACING), 0)
        assets = await self._assets(tokens)
        chain = self._client.chain_id
        name = PoolId(f"eip155:{chain}/{pool}")
        return PoolSpec(name, "v3", pool, chain, *assets, tokens[0], tokens[1], fee, tick_spacing=spacing)

    async def _v4_by_id(self, text: str) -> PoolSpec:
        # The manager keeps keys by the first 25 bytes of the id.
        data = _POOL_KEYS + bytes.fromhex(text[2:52]) + bytes(7)
        key = await self._client.call(self._contracts.need("v4"), data)
        if not int_at(key, 3):
            raise InputError(f"no position was ever made in pool {text}", hint="Name it like v4:ETH/USDC/3000.")
        tokens = [address_at(key, 0), address_at(key, 1)]
        return await self._v4(tokens, uint_at(key, 2), int_at(key, 3), address_at(key, 4))

    async def _v4(self, tokens: list[Address], fee: int, spacing: int, hooks: Address) -> PoolSpec:
        chain, pools = self._client.chain_id, self._contracts.need("v4_pools")
        assets = await self._assets(tokens)
        spec = PoolSpec(
            PoolId(""), "v4", pools, chain, *assets, tokens[0], tokens[1], fee, tick_spacing=spacing, hooks=hooks
        )
        pool_id = "0x" + keccak256(pool_key(spec)).hex()
        return replace(spec, pool_id=pool_id, id=PoolId(f"eip155:{chain}/{pools}/{pool_id}"))

    async def _assets(self, tokens: list[Address]) -> tuple[Asset, Asset]:
        found = []
        for token, state in zip(tokens, await read_tokens(self._client, tokens, ZERO_ADDRESS), strict=True):
            if token == ZERO_ADDRESS:
                found.append(native_asset(self._client.chain_id, self._coin))
            elif state.is_readable:
                found.append(token_asset(self._client.chain_id, token, state.symbol, state.decimals))
            else:
                raise InputError(f"{token} is no token that can be read")
        return found[0], found[1]
