"""Withdrawals as exchanges know them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueWithdrawal:
    """What an exchange is asked to send. `client_id` is chosen before it is asked, and names it for ever."""

    client_id: str
    asset: str
    """The exchange's code: `USDC`."""
    amount: Decimal
    """What is taken from the account; an exchange's own fee is part of it."""
    network: str
    """The exchange's name of the network: `ETH`."""
    address: str
    memo: str = ""


class VenueWithdrawalState(StrEnum):
    PENDING = "pending"
    COMPLETED = "completed"
    """Sent, and deep enough for the exchange."""
    FAILED = "failed"
    """It came to nothing; the exchange has given the amount back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueWithdrawalReport:
    """What an exchange says of a withdrawal."""

    ref: str
    """The exchange's own id of it."""
    client_id: str
    """Ours, where the exchange keeps it; else empty."""
    state: VenueWithdrawalState
    amount: Decimal
    """What the recipient gets, as far as the exchange says."""
    fee: Decimal
    """What the exchange keeps of what is taken."""
    address: str
    tx_hash: str
    time_ms: int
