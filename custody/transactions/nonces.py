"""Nonces without gaps: handed out in the database transaction that binds them, given back only when nothing was signed.

Several transactions may be between reserving and signing at once, so one that comes back need not be the last. Such a
nonce is kept as free and given out first. If nobody wants it while later ones are out, the desk closes the gap with a
transaction of nothing to ourselves.
"""

from __future__ import annotations

from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from custody.transactions.tables import FreeNonceRow, NonceRow
from domain import Address, ChainId, InvariantError


class Nonces:
    """The counter of one account. Call it inside a transaction that is serialised for the account."""

    def __init__(self, chain_id: ChainId, address: Address) -> None:
        self._place = (int(chain_id), str(address))

    def take(self, session: Session, floor: int) -> int:
        """Give out the lowest free nonce at or above `floor`, or else the next one.

        Args:
            session: The transaction that binds the nonce.
            floor: The chain's count: lower ones are used, by whomever.
        """
        free = session.exec(self._free().order_by(col(FreeNonceRow.nonce))).all()
        for row in free:
            session.delete(row)
            if row.nonce >= floor:
                return row.nonce
        counter = self._counter(session, floor)
        nonce = max(counter.next_nonce, floor)
        counter.next_nonce = nonce + 1
        session.add(counter)
        return nonce

    def claim(self, session: Session, nonce: int) -> None:
        """Take one certain nonce that nothing of ours is bound to, to close the gap there.

        Raises:
            InvariantError: It was never given out.
        """
        counter = self._counter(session, nonce)
        if nonce > counter.next_nonce:
            raise InvariantError(f"nonce {nonce} was never given out, the next one is {counter.next_nonce}")
        counter.next_nonce = max(counter.next_nonce, nonce + 1)
        session.add(counter)
        for row in session.exec(self._free().where(col(FreeNonceRow.nonce) == nonce)):
            session.delete(row)

    def skip_to(self, session: Session, nonce: int) -> None:
        """Give out nothing below a nonce from now on: what lies between may have been used by somebody we forgot."""
        counter = self._counter(session, nonce)
        counter.next_nonce = max(counter.next_nonce, nonce)
        session.add(counter)
        for row in session.exec(self._free().where(col(FreeNonceRow.nonce) < nonce)):
            session.delete(row)

    def give_back(self, session: Session, nonce: int, now_ns: int) -> None:
        """Take a nonce back under which nothing was signed."""
        counter = session.get_one(NonceRow, self._place)
        if nonce >= counter.next_nonce:
            raise InvariantError(f"nonce {nonce} cannot come back: it was never given out")
        session.add(FreeNonceRow(chain_id=self._place[0], address=self._place[1], nonce=nonce, freed_ns=now_ns))
        session.flush()
        free = {row.nonce: row for row in session.exec(self._free())}
        while counter.next_nonce - 1 in free:
            counter.next_nonce -= 1
            session.delete(free[counter.next_nonce])
        session.add(counter)

    def next_nonce(self, session: Session) -> int | None:
        """The next one to be given out; None before the first."""
        counter = session.get(NonceRow, self._place)
        return None if counter is None else counter.next_nonce

    def _counter(self, session: Session, first: int) -> NonceRow:
        found = session.get(NonceRow, self._place)
        return found or NonceRow(chain_id=self._place[0], address=self._place[1], next_nonce=first)

    def _free(self) -> SelectOfScalar[FreeNonceRow]:
        return select(FreeNonceRow).where(
            col(FreeNonceRow.chain_id) == self._place[0], col(FreeNonceRow.address) == self._place[1]
        )
