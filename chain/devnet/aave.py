"""Aave v3 on the devnet: one market with the devnet's tokens, deep enough for flash loans.

Its code is cut into libraries that the compiler left places for. The pool is a proxy, the first contract that its
provider creates: with the provider at mainnet's address, so is the pool.
"""

from __future__ import annotations

from typing import Final

from chain.abi import Dynamic, address_at, address_word, bytes_words, compose, selector, uint_word
from chain.devnet.artifacts import AAVE_LIBRARIES
from chain.devnet.deployer import DEPLOYER, Deployer
from chain.devnet.market import DECIMALS, Market
from chain.devnet.tokens import ZERO, Tokens
from domain.ids import Address

FLASH_LOAN_PREMIUM_BPS: Final = 5
"""What mainnet's market asks for a flash loan."""

_LOGIC: Final = "contracts/protocol/libraries/logic/{0}.sol:{0}"
_PERCENT: Final = 10**25
_RATES: Final = (80, 0, 4, 60, 1, 60, 1, 8, 20)
"""The rate curve in percent: optimal usage, base, slopes (variable, stable), offsets, optimal stable share."""


async def deploy(to: Deployer) -> None:
    """Deploy the market, put its provider and its pool where mainnet has them, and list every token."""
    libraries: dict[str, str] = {}
    for name in AAVE_LIBRARIES:
        libraries[_LOGIC.format(name)] = await to.create(f"Aave{name}", libraries=libraries)
    market_id = Dynamic(bytes_words(b"Capstan devnet"))
    provider = await to.place("AavePoolAddressesProvider", compose(market_id, address_word(DEPLOYER)))
    own = address_word(provider)

    async def tell(contract: Address, method: str, *words: bytes) -> None:
        await to.send(contract, selector(method) + b"".join(words), what=f"Aave's {method}")

    await tell(provider, "setACLAdmin(address)", address_word(DEPLOYER))
    managers = await to.create("AaveACLManager", own)
    await tell(provider, "setACLManager(address)", address_word(managers))
    await tell(managers, "addPoolAdmin(address)", address_word(DEPLOYER))
    await tell(managers, "addAssetListingAdmin(address)", address_word(DEPLOYER))

    code = await to.create("AavePoolCode", own, libraries=libraries)
    await tell(code, "initialize(address)", own)
    await tell(provider, "setPoolImpl(address)", address_word(code))
    pool = address_at(await to.client.call(provider, selector("getPool()")), 0)
    to.contracts["AavePool"] = pool

    configurator = await to.create("AavePoolConfigurator", libraries=libraries)
    await tell(configurator, "initialize(address)", own)
    await tell(provider, "setPoolConfiguratorImpl(address)", address_word(configurator))
    await _list_tokens(to, own, address_word(pool))


async def _list_tokens(to: Deployer, provider: bytes, pool: bytes) -> None:
    found = await to.client.call(to.contracts["AavePoolAddressesProvider"], selector("getPoolConfigurator()"))
    configurator = address_at(found, 0)
    ledgers = [address_word(await to.create(f"Aave{name}", pool)) for name in ("AToken", "StableDebt", "VariableDebt")]
    rates = address_word(
        await to.create("AaveRates", provider + b"".join(uint_word(percent * _PERCENT) for percent in _RATES))
    )
    entries = []
    for symbol, decimals in DECIMALS.items():
        token = address_word(to.contracts["WETH9" if symbol == "WETH" else symbol])
        names = [kind + symbol for kind in ("a", "a", "variableDebt", "variableDebt", "stableDebt", "stableDebt")]
        fixed = (*ledgers, uint_word(decimals), rates, token, address_word(DEPLOYER), address_word(ZERO))
        texts = (Dynamic(bytes_words(name.encode())) for name in names)
        entries.append(Dynamic(compose(*fixed, *texts, Dynamic(bytes_words(b"\x10")))))
    kind = f"(address,address,address,uint8,{','.join(['address'] * 4 + ['string'] * 6)},bytes)"
    listed = Dynamic(uint_word(len(entries)) + compose(*entries))
    await to.send(configurator, selector(f"initReserves({kind}[])") + compose(listed), what="Aave's reserves")
    for symbol in DECIMALS:
        token = address_word(to.contracts["WETH9" if symbol == "WETH" else symbol])
        allow = selector("setReserveFlashLoaning(address,bool)") + token + uint_word(1)
        await to.send(configurator, allow, what=f"flash loans of {symbol}")
    premium = selector("updateFlashloanPremiumTotal(uint128)") + uint_word(FLASH_LOAN_PREMIUM_BPS)
    await to.send(configurator, premium, what="the flash loans' premium")


async def supply(to: Deployer, tokens: Tokens, market: Market) -> None:
    """Lend the pool what flash loans may take."""
    for symbol in DECIMALS:
        words = address_word(tokens.address(symbol)) + uint_word(market.raw(symbol, market.aave_usd_per_token))
        await to.send(
            to.contracts["AavePool"],
            selector("supply(address,uint256,address,uint16)") + words + address_word(DEPLOYER) + uint_word(0),
            what=f"supply {symbol} to Aave",
        )
