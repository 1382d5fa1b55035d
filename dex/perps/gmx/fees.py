"""The keeper's fee, as the contracts reckon the least they accept: what is too much comes back, too little reverts.

GasUtils: base + per price * (3 + swaps) + estimate * factor / 10^30, times the transaction's gas price. The four
settings are read from the DataStore each time: they change by governance, and SDKs that kept a number of their own
had their orders refused.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from chain import ChainClient, NodeRefused
from dex.perps.gmx.abi import GET_UINT, name_key
from dex.perps.gmx.book import GmxBook
from domain.errors import InputError, Refused
from domain.ids import Wei

_FACTOR: Final = 10**30
_SETTINGS: Final = (
    "ESTIMATED_GAS_FEE_BASE_AMOUNT_V2_1",
    "ESTIMATED_GAS_FEE_PER_ORACLE_PRICE",
    "ESTIMATED_GAS_FEE_MULTIPLIER_FACTOR",
    "INCREASE_ORDER_GAS_LIMIT",
    "DECREASE_ORDER_GAS_LIMIT",
    "SINGLE_SWAP_GAS_LIMIT",
)
_PRICES_WITHOUT_SWAPS: Final = 3
_BPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class ExecutionGas:
    """The settings that the least execution fee comes from, in gas; the factor is over 10^30."""

    base: int
    per_price: int
    factor: int
    increase: int
    decrease: int
    swap: int

    @classmethod
    async def read(cls, client: ChainClient, book: GmxBook) -> ExecutionGas:
        """Ask the DataStore.

        Raises:
            Refused: A setting is zero: it is not the DataStore we know (`stale_address_book`).
            VenueUnavailable: No node answers.
        """
        try:
            calls = (client.call(book.data_store, GET_UINT.encode(name_key(name))) for name in _SETTINGS)
            answers = await asyncio.gather(*calls)
            values = [GET_UINT.decode(answer)[0] for answer in answers]
        except (NodeRefused, InputError) as exc:
            raise Refused(f"{book.data_store} is no DataStore: {exc}", rule="stale_address_book") from exc
        if missing := [name for name, value in zip(_SETTINGS, values, strict=True) if not value]:
            raise Refused(f"GMX's DataStore has no {', '.join(missing)}", rule="stale_address_book")
        return cls(*values)

    def units(self, *, is_increase: bool, swaps: int = 0) -> int:
        """Gas the fee must cover."""
        estimate = (self.increase if is_increase else self.decrease) + swaps * self.swap
        prices = _PRICES_WITHOUT_SWAPS + swaps
        return self.base + self.per_price * prices + estimate * self.factor // _FACTOR

    def fee_up(self, gas_price: int, *, is_increase: bool, swaps: int = 0, margin_bps: int = 3_000) -> Wei:
        """The fee to send along at a gas price, rounded up.

        The contract compares with the gas price of the very transaction, which is not known before it is mined: the
        margin is for that, and comes back when it is not needed.

        Raises:
            InputError: The gas price is not positive, or the margin is negative.
        """
        if gas_price <= 0 or margin_bps < 0:
            raise InputError(f"impossible: gas price {gas_price}, margin {margin_bps} bps")
        return Wei(-(-self.units(is_increase=is_increase, swaps=swaps) * gas_price * (_BPS + margin_bps) // _BPS))
