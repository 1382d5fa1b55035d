"""The devnet's tokens: WETH9 and mintable ERC-20s at their mainnet addresses."""

from __future__ import annotations

from typing import Final

from chain.abi import Dynamic, address_word, bytes_words, compose, selector, uint_word
from chain.devnet.deployer import DEPLOYER, Deployer
from chain.devnet.market import DECIMALS, NATIVE, Market
from domain.ids import Address

ZERO: Final = Address("0x" + "00" * 20)
UNLIMITED: Final = 2**256 - 1
_NAMES: Final = {"USDC": b"USD Coin", "WBTC": b"Wrapped BTC", "DAI": b"Dai Stablecoin", "USDT": b"Tether USD"}


class Tokens:
    """The tokens once they stand."""

    def __init__(self, to: Deployer) -> None:
        self._to = to

    @classmethod
    async def deploy(cls, to: Deployer) -> Tokens:
        """Deploy all of them."""
        await to.place("WETH9")
        for symbol, name in _NAMES.items():
            arguments = compose(
                Dynamic(bytes_words(name)), Dynamic(bytes_words(symbol.encode())), uint_word(DECIMALS[symbol])
            )
            await to.place(symbol, arguments, artifact="MintableERC20")
        return cls(to)

    def address(self, symbol: str) -> Address:
        """Give a token's address; of the coin itself the zero address."""
        if symbol == NATIVE:
            return ZERO
        return self._to.contracts["WETH9" if symbol == "WETH" else symbol]

    def symbol(self, token: Address) -> str:
        """Name a token by its address."""
        return next(symbol for symbol in (NATIVE, *DECIMALS) if self.address(symbol) == token)

    def amounts(self, pair: tuple[Address, Address], usd: int, market: Market) -> tuple[int, int]:
        """Give what so many dollars are in each of two tokens."""
        return market.raw(self.symbol(pair[0]), usd), market.raw(self.symbol(pair[1]), usd)

    async def fund(self, market: Market) -> None:
        """Give the deployer enough of each for every pool."""
        for symbol in DECIMALS:
            raw, token = market.raw(symbol, market.total_usd), self.address(symbol)
            if symbol == "WETH":
                await self._to.send(token, selector("deposit()"), value_wei=raw, what="deposit WETH")
            else:
                mint = selector("mint(address,uint256)") + address_word(DEPLOYER) + uint_word(raw)
                await self._to.send(token, mint, what=f"mint {symbol}")

    async def approve(self, *spenders: str) -> None:
        """Let contracts take any amount of every token from the deployer."""
        for symbol in DECIMALS:
            for spender in spenders:
                words = address_word(self._to.contracts[spender]) + uint_word(UNLIMITED)
                await self._to.send(
                    self.address(symbol),
                    selector("approve(address,uint256)") + words,
                    what=f"approve {symbol} to {spender}",
                )


def in_order(a: Address, b: Address) -> tuple[Address, Address]:
    """Sort two tokens as Uniswap does, by number."""
    return (a, b) if int(a, 16) < int(b, 16) else (b, a)
