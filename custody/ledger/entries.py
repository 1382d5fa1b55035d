"""Entries: balanced movements of value, as values."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from custody.ledger.accounts import is_account
from domain import InvariantError

_KEY_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class Posting:
    """Add `raw` smallest units of an asset (by asset id) to an account; negative takes them away."""

    account: str
    asset: str
    raw: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A balanced movement of value. `key` names what happened, uniquely and for ever.

    `tx_hash` is the transaction (the first version of it) that moves the value on a chain, if one does:
    reconciliation asks the chain what became of it.

    Raises:
        InvariantError: Not balanced, empty, or with an account that is none.
    """

    key: str
    kind: str
    postings: tuple[Posting, ...]
    strategy: str = ""
    note: str = ""
    tx_hash: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "postings", tuple(posting for posting in self.postings if posting.raw))
        if not self.key or len(self.key) > _KEY_LENGTH_MAX or not self.postings:
            raise InvariantError(f"entry {self.key!r} needs a key of at most {_KEY_LENGTH_MAX} characters and postings")
        totals: dict[str, int] = defaultdict(int)
        for posting in self.postings:
            if type(posting.raw) is not int or not is_account(posting.account):
                raise InvariantError(f"entry {self.key}: cannot post {posting}")
            totals[posting.asset] += posting.raw
        if left := {asset: raw for asset, raw in totals.items() if raw}:
            raise InvariantError(f"entry {self.key} is not balanced: {left}")

    def digest(self) -> str:
        """Fingerprint of what is posted; note and transaction hash may differ."""
        legs = [[posting.account, posting.asset, str(posting.raw)] for posting in self.postings]
        content = json.dumps([self.key, self.kind, self.strategy, legs], separators=(",", ":"))
        return hashlib.sha256(content.encode()).hexdigest()
