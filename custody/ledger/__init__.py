"""The double-entry ledger: accounts, entries, and the one way to book them.

`Ledger` books entries and answers balances; `postings` builds the entries of everything that happens; `Books` is the
engine's way to it.
"""

from custody.ledger import postings
from custody.ledger.accounts import (
    inflight_account,
    suspense_account,
    user_account,
    vault_account,
    venue_account,
)
from custody.ledger.books import Books
from custody.ledger.entries import Entry, Posting
from custody.ledger.ledger import Ledger, balances_in
from custody.ledger.postings import DepositLeg
from custody.ledger.verification import Verification

__all__ = [
    "Books",
    "DepositLeg",
    "Entry",
    "Ledger",
    "Posting",
    "Verification",
    "balances_in",
    "inflight_account",
    "postings",
    "suspense_account",
    "user_account",
    "vault_account",
    "venue_account",
]
