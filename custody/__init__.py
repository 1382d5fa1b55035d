"""The one door to the keys: policy, transaction lifecycle, ledger.

`Custody` takes plans and reports what became of them; `Policy` says what may leave, here and (as `PolicyGuard`) again
in the signer process; `Ledger` books every movement, and `Books` is the engine's way to it. All of it lives in one
database that `open_books` brings up to date.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from custody.guard import PolicyGuard
    from custody.ledger import Books, Entry, Ledger, Posting, Verification, postings
    from custody.policy import (
        LIFETIME_S,
        AllowedContract,
        AssetLimits,
        Decision,
        Policy,
        PolicySettings,
        Proposal,
        Requirement,
        Spent,
    )
    from custody.ports import ChainPort
    from custody.tables import open_books
    from custody.transactions.desk import Custody, OnSettled
    from custody.transactions.lifecycle import State, Step
    from custody.transactions.options import DeskOptions
else:
    from runtime.fronts import lazily

    _HOMES = {
        "custody.guard": "PolicyGuard",
        "custody.ledger": "Books Entry Ledger Posting Verification postings",
        "custody.policy": (
            "LIFETIME_S AllowedContract AssetLimits Decision Policy PolicySettings Proposal Requirement Spent"
        ),
        "custody.ports": "ChainPort",
        "custody.tables": "open_books",
        "custody.transactions.desk": "Custody OnSettled",
        "custody.transactions.lifecycle": "State Step",
        "custody.transactions.options": "DeskOptions",
    }
    __getattr__ = lazily(__name__, _HOMES)


__all__ = [
    "LIFETIME_S",
    "AllowedContract",
    "AssetLimits",
    "Books",
    "ChainPort",
    "Custody",
    "Decision",
    "DeskOptions",
    "Entry",
    "Ledger",
    "OnSettled",
    "Policy",
    "PolicyGuard",
    "PolicySettings",
    "Posting",
    "Proposal",
    "Requirement",
    "Spent",
    "State",
    "Step",
    "Verification",
    "open_books",
    "postings",
]
