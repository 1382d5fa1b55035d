"""Deposit addresses: given out once, kept for ever.

A **forwarder** is a contract of the factory's: no key exists for it, and its address is computed here. A **key
address** is the next one under an account's extended public key; whoever holds the private half (a signer process)
sweeps it. Asking again gives the same address; a key's indexes have no gap, so that a restored wallet finds every one
of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import func
from sqlmodel import Session, col, select

from custody.deposits.contracts import forwarder_address, user_id
from custody.deposits.tables import DepositAddressRow
from domain import Address, ChainId, InputError, InvariantError
from runtime.database import Database
from wallets.watch import WatchOnlyAccount

Kind = Literal["forwarder", "key"]
_NAME: Final = re.compile(r"[A-Za-z0-9:._\-]{1,80}")
_LABEL: Final = re.compile(r"[A-Za-z0-9._\-]{0,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositAddress:
    """An address a user pays in at."""

    user: str
    address: Address
    """With its EIP-55 checksum: show it as it is."""
    network: str
    """CAIP-2 (`eip155:1`): coins sent on another network do not arrive."""
    kind: Kind
    label: str
    number: int
    account: bytes
    """The factory's user id; of a key address, empty."""


class DepositAddresses:
    """Gives addresses out. Synchronous and short; from a coroutine, call it through `asyncio.to_thread`.

    Args:
        database: Brought up to date by `custody.open_books`.
        chain_id: Whose addresses.
        factory: The forwarder factory, checked by `check_deposit_contracts`; None gives out no forwarders.
        keys: The account's extended public key; None gives out no key addresses.
        now_ns: UTC nanoseconds.
    """

    def __init__(
        self,
        database: Database,
        *,
        chain_id: ChainId,
        factory: Address | None,
        keys: WatchOnlyAccount | None,
        now_ns: Callable[[], int],
    ) -> None:
        self._database = database
        self._chain_id = chain_id
        self._factory = factory
        self._keys = keys
        self._now_ns = now_ns

    def assign(self, user: str, kind: Kind = "forwarder", *, label: str = "") -> DepositAddress:
        """Give a user an address, the same one whenever it is asked for.

        Args:
            user: Your name for the user.
            kind: A contract without a key, or an address under the extended public key.
            label: Tells several addresses of one user apart; empty for the first.

        Raises:
            InputError: A name that cannot stand in the books, or a kind that is not configured.
        """
        if not _NAME.fullmatch(user) or not _LABEL.fullmatch(label):
            raise InputError(
                f"user {user!r}, label {label!r}: letters, digits and : . _ - are taken, 80 and 64 at most"
            )
        origin = self._origin(kind)
        with self._database.transaction() as session:
            # One at a time per chain: so rows become visible in the order of their numbers, which `AddressBook` needs.
            self._database.serialize(session, f"deposit-addresses/{self._chain_id}")
            known = session.exec(
                select(DepositAddressRow)
                .where(col(DepositAddressRow.chain_id) == self._chain_id, col(DepositAddressRow.kind) == kind)
                .where(col(DepositAddressRow.user) == user, col(DepositAddressRow.label) == label)
            ).first()
            if known is None:
                known = self._new(session, user, kind, label, origin)
            elif known.origin != origin:
                raise InputError(
                    f"{user} has address {known.address} from {known.origin}, the settings say {origin}",
                    hint="addresses once given out stay: bring the former factory or key back, or use a new label",
                )
            return _assigned(known)

    def find(self, address: str) -> DepositAddress | None:
        """Say whose an address is."""
        with self._database.snapshot() as session:
            row = session.exec(
                select(DepositAddressRow).where(
                    col(DepositAddressRow.chain_id) == self._chain_id, col(DepositAddressRow.address) == address
                )
            ).first()
            return None if row is None else _assigned(row)

    def of_user(self, user: str) -> list[DepositAddress]:
        """Every address a user was given, oldest first."""
        with self._database.snapshot() as session:
            query = (
                select(DepositAddressRow)
                .where(col(DepositAddressRow.chain_id) == self._chain_id, col(DepositAddressRow.user) == user)
                .order_by(col(DepositAddressRow.id))
            )
            return [_assigned(row) for row in session.exec(query)]

    def _origin(self, kind: Kind) -> str:
        if kind == "forwarder" and self._factory is not None:
            return self._factory
        if kind == "key" and self._keys is not None:
            return self._keys.evm(0, 1)[0]
        raise InputError(f"no deposit addresses of kind {kind} are configured for chain {self._chain_id}")

    def _new(self, session: Session, user: str, kind: Kind, label: str, origin: str) -> DepositAddressRow:
        last = session.exec(
            select(func.max(col(DepositAddressRow.number))).where(
                col(DepositAddressRow.chain_id) == self._chain_id, col(DepositAddressRow.origin) == origin
            )
        ).one()
        number = 0 if last is None else last + 1
        if kind == "forwarder":
            account = user_id(f"{user}/{label}")  # Neither name holds a slash.
            address = forwarder_address(Address(origin), account)
        elif self._keys is not None:
            account, address = b"", self._keys.evm(number, 1)[0]
        else:
            raise InvariantError("a key address without an extended key")
        row = DepositAddressRow(
            chain_id=self._chain_id,
            user=user,
            kind=kind,
            label=label,
            origin=origin,
            number=number,
            account=account.hex(),
            address=address,
            created_ns=self._now_ns(),
        )
        session.add(row)
        session.flush()
        return row


def _assigned(row: DepositAddressRow) -> DepositAddress:
    return DepositAddress(
        user=row.user,
        address=Address(row.address),
        network=f"eip155:{row.chain_id}",
        kind="forwarder" if row.kind == "forwarder" else "key",
        label=row.label,
        number=row.number,
        account=bytes.fromhex(row.account),
    )


class AddressBook:
    """All addresses of a chain in memory, for the scanner: an address is known before its first block is read."""

    def __init__(self, database: Database, chain_id: ChainId) -> None:
        self._database = database
        self._chain_id = chain_id
        self._users: dict[Address, str] = {}
        self._forwarders: set[Address] = set()
        self._last = 0

    @property
    def users(self) -> dict[Address, str]:
        """Users by address."""
        return self._users

    @property
    def forwarders(self) -> set[Address]:
        return self._forwarders

    def refresh(self) -> None:
        """Read what was given out since. Call it after the newest block was asked for: who was given an address before
        that block is then known."""
        with self._database.snapshot() as session:
            query = select(DepositAddressRow).where(
                col(DepositAddressRow.chain_id) == self._chain_id, col(DepositAddressRow.id) > self._last
            )
            for row in session.exec(query.order_by(col(DepositAddressRow.id))):
                self._users[Address(row.address)] = row.user
                if row.kind == "forwarder":
                    self._forwarders.add(Address(row.address))
                self._last = row.id or self._last
