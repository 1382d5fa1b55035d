"""What is owed, as leaves: read from the books in one snapshot, salted, in an order that tells nothing."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlmodel import col, func, select

from custody.ledger import balances_in
from custody.ledger.tables import EntryRow
from custody.reserves.verifier import SUM_BYTES, ProofError
from domain import InputError, InvariantError
from runtime.database import Database

FORMAT: Final = "capstan/reserves-liabilities/v1"


@dataclass(frozen=True, slots=True)
class Liability:
    """One user's balance of one asset, with the salt that hides it in the tree."""

    user: str
    asset: str
    raw: int
    salt: bytes


@dataclass(frozen=True, slots=True)
class Liabilities:
    """Everything that is owed at one moment. Private: it names users and salts."""

    build: str
    """Names this build; random."""
    time_ns: int
    entries: int
    """The newest ledger entry that is counted."""
    items: tuple[Liability, ...]

    def to_wire(self) -> dict[str, Any]:
        items = [[item.user, item.asset, str(item.raw), item.salt.hex()] for item in self.items]
        return {
            "format": FORMAT,
            "build": self.build,
            "time_ns": self.time_ns,
            "entries": self.entries,
            "items": items,
        }

    @classmethod
    def from_wire(cls, wire: Any) -> Liabilities:
        """Read a build's private file.

        Raises:
            InputError: It is none.
        """
        try:
            if wire["format"] != FORMAT:
                raise InputError("not a file of liabilities")
            items = tuple(
                Liability(user, asset, int(raw), bytes.fromhex(salt)) for user, asset, raw, salt in wire["items"]
            )
            return cls(wire["build"], wire["time_ns"], wire["entries"], items)
        except (KeyError, TypeError, ValueError) as exc:
            raise InputError(f"not a file of liabilities: {exc}") from exc


def read_liabilities(database: Database, now_ns: int) -> Liabilities:
    """Read what every user is owed: available, pending and held together.

    Raises:
        InvariantError: Somebody is owed less than nothing: the books are broken, `capstan ledger verify` says where.
    """
    owed: dict[tuple[str, str], int] = defaultdict(int)
    with database.snapshot() as session:
        entries = session.exec(select(func.max(col(EntryRow.id)))).one() or 0
        for account, held in balances_in(session, "user").items():
            user = account.split("/")[1]
            for asset, raw in held.items():
                if raw > 0:
                    raise InvariantError(f"{account} is owed {-raw} of {asset}: less than nothing")
                owed[user, asset] -= raw
    items = [Liability(user, asset, raw, secrets.token_bytes(32)) for (user, asset), raw in sorted(owed.items())]
    return Liabilities(secrets.token_hex(16), now_ns, entries, tuple(items))


def by_asset(items: Iterable[Liability]) -> dict[str, list[Liability]]:
    """Group liabilities, each group in the order of its leaves: by salt, which is random.

    Raises:
        ProofError: A user has two balances of an asset, or one that is negative or beyond all measure.
    """
    groups: dict[str, list[Liability]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    for item in items:
        if (item.user, item.asset) in seen:
            raise ProofError(f"{item.user} has two balances of {item.asset}")
        if not 0 <= item.raw < 1 << 8 * (SUM_BYTES - 8):
            raise ProofError(f"{item.user} is owed {item.raw} of {item.asset}")
        seen.add((item.user, item.asset))
        groups[item.asset].append(item)
    return {asset: sorted(group, key=lambda item: item.salt) for asset, group in sorted(groups.items())}
