"""Clients' withdrawals: requested, screened, approved, sent and booked, on a chain or by an exchange.

`WithdrawalDesk` carries them; `AddressBook` says since when an address is known; `VenueSecrets` keeps the keys of
exchanges that may withdraw, sealed.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custody.withdrawals.addresses import AddressBook, KnownAddress
    from custody.withdrawals.desk import WithdrawalDesk, WithdrawalOptions
    from custody.withdrawals.lifecycle import State, Step
    from custody.withdrawals.plans import plan_withdrawal
    from custody.withdrawals.ports import ExchangeWithdrawals, TransactionDesk
    from custody.withdrawals.requests import ChainDestination, VenueDestination, WithdrawalRequest
    from custody.withdrawals.secrets import FileEnvelopes, HsmSealer, VenueSecrets
    from custody.withdrawals.store import Withdrawal, WithdrawalStore
    from custody.withdrawals.transfers import HOUSE, OwnAsset
    from custody.withdrawals.venue_admission import VenueOptions
    from custody.withdrawals.venues import VenueDesk
else:
    from runtime.fronts import lazily

    _HOMES = {
        "custody.withdrawals.addresses": "AddressBook KnownAddress",
        "custody.withdrawals.desk": "WithdrawalDesk WithdrawalOptions",
        "custody.withdrawals.lifecycle": "State Step",
        "custody.withdrawals.plans": "plan_withdrawal",
        "custody.withdrawals.ports": "ExchangeWithdrawals TransactionDesk",
        "custody.withdrawals.requests": "ChainDestination VenueDestination WithdrawalRequest",
        "custody.withdrawals.secrets": "FileEnvelopes HsmSealer VenueSecrets",
        "custody.withdrawals.store": "Withdrawal WithdrawalStore",
        "custody.withdrawals.transfers": "HOUSE OwnAsset",
        "custody.withdrawals.venue_admission": "VenueOptions",
        "custody.withdrawals.venues": "VenueDesk",
    }
    __getattr__ = lazily(__name__, _HOMES)


__all__ = [
    "HOUSE",
    "AddressBook",
    "ChainDestination",
    "ExchangeWithdrawals",
    "FileEnvelopes",
    "HsmSealer",
    "KnownAddress",
    "OwnAsset",
    "State",
    "Step",
    "TransactionDesk",
    "VenueDesk",
    "VenueDestination",
    "VenueOptions",
    "VenueSecrets",
    "Withdrawal",
    "WithdrawalDesk",
    "WithdrawalOptions",
    "WithdrawalRequest",
    "WithdrawalStore",
    "plan_withdrawal",
]
