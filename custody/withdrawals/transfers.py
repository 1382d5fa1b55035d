"""The house's own transfers: from an exchange to a vault of ours. No client's debt changes, only where we hold things.

The same door as for clients, under the user `house`: screened, judged, approved, asked for once. A coin at an exchange
and a token on a chain are two assets, so the arrival is an exchange of one for the other, booked through
`trading/transfers`; what the exchange kept is a cost, `fees/transfers`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from custody.ledger import Entry, Posting, inflight_account
from domain import InputError

HOUSE: Final = "house"
"""The user of such a transfer; no client may have this name."""
_STRATEGY: Final = "transfers"


@dataclass(frozen=True, slots=True)
class OwnAsset:
    """What a coin of an exchange becomes at an address of ours."""

    account: str
    """In the ledger: `chain/<id>/<address>`."""
    asset: str
    decimals: int


OwnAssets = Callable[[str, str], OwnAsset | None]
"""(address, the exchange's code) → what arrives there; None when the address is not ours, or the coin has no token."""


def check_owner(user: str, own: OwnAsset | None, *, is_ours: bool) -> None:
    """Keep the house's transfers and clients' withdrawals apart.

    Raises:
        InputError: The house sends to others, or a client to the house.
    """
    if user == HOUSE and own is None:
        raise InputError("the house withdraws to addresses of its own, of assets that the settings know there")
    if user != HOUSE and is_ours:
        raise InputError("that address is the house's own: a client does not withdraw to it")


def arrived(
    withdrawal: str, asset: str, own: OwnAsset, *, total_raw: int, fee_raw: int, decimals: int, tx_hash: str
) -> Entry:
    """Book an arrival.

    Args:
        withdrawal: Its id.
        asset: At the exchange.
        own: What it is on the chain.
        total_raw: What left the exchange, its fee included; in the exchange's units.
        fee_raw: What the exchange kept.
        decimals: Of the exchange's units.
        tx_hash: By which it arrived.

    Raises:
        InputError: The chain cannot count so finely.
    """
    sent = total_raw - fee_raw
    scaled, rest = divmod(sent * 10**own.decimals, 10**decimals)
    if rest:
        raise InputError(f"{withdrawal}: {sent} of {asset} is no whole number of units of {own.asset}")
    legs = (
        Posting(inflight_account(withdrawal), asset, -total_raw),
        Posting(f"fees/{_STRATEGY}", asset, fee_raw),
        Posting(f"trading/{_STRATEGY}", asset, sent),
        Posting(f"trading/{_STRATEGY}", own.asset, -scaled),
        Posting(own.account, own.asset, scaled),
    )
    return Entry(f"withdrawal/{withdrawal}/arrived", "withdrawal-arrived", legs, _STRATEGY, tx_hash=tx_hash)
