"""Sweeps that others make: anybody may call the factory, and the books follow the chain all the same."""

from __future__ import annotations

import structlog
from sqlmodel import Session, col, select

from custody.audit import AuditLog
from custody.deposits.reading import SeenSweep
from custody.deposits.sweep_plans import Moved, moving_entries
from custody.deposits.tables import ForeignSweepRow
from custody.ledger import Entry, Ledger, postings
from custody.transactions.tables import AttemptRow
from domain import Address, ChainId

log = structlog.get_logger(__name__)


class ForeignSweeps:
    """Books them as they are seen, and undoes them with their block. Works in transactions of the caller's."""

    def __init__(self, ledger: Ledger, audit: AuditLog, chain_id: ChainId, vault: Address | None) -> None:
        self._ledger = ledger
        self._audit = audit
        self._chain_id = chain_id
        self._vault = vault

    def note(self, session: Session, sweep: SeenSweep) -> None:
        """Book a sweep, unless it is ours: custody books those, and has recorded their hashes before sending them."""
        if self._vault is None or session.exec(
            select(AttemptRow.number).where(col(AttemptRow.tx_hash) == sweep.tx_hash)
        ).first() is not None:  # fmt: skip
            return
        row = session.exec(
            select(ForeignSweepRow)
            .where(col(ForeignSweepRow.chain_id) == self._chain_id, col(ForeignSweepRow.tx_hash) == sweep.tx_hash)
            .where(col(ForeignSweepRow.log_index) == sweep.log_index)
        ).first()
        if row is None:
            row = ForeignSweepRow(
                chain_id=self._chain_id,
                tx_hash=sweep.tx_hash,
                log_index=sweep.log_index,
                occurrence=-1,
                block_number=sweep.block_number,
                address=sweep.part.address,
                asset=sweep.part.asset,
                sent_raw=sweep.part.sent_raw,
                arrived_raw=sweep.part.arrived_raw,
                is_undone=False,
            )
            session.add(row)
        row.occurrence += 1
        row.block_number, row.is_undone = sweep.block_number, False
        row.address, row.asset = sweep.part.address, sweep.part.asset
        row.sent_raw, row.arrived_raw = sweep.part.sent_raw, sweep.part.arrived_raw
        session.flush()
        self._ledger.post_all_in(session, self._entries(row, self._vault))
        detail = {"tx_hash": row.tx_hash, "asset": row.asset, "raw": str(row.sent_raw)}
        self._audit.append(session, "sweep.foreign", f"address/{row.address}", detail)
        log.warning("deposits.swept_by_others", address=row.address, asset=row.asset, tx_hash=row.tx_hash)

    def undo(self, session: Session, ancestor: int) -> None:
        """Undo every one after a block."""
        if self._vault is None:
            return
        rows = session.exec(
            select(ForeignSweepRow)
            .where(col(ForeignSweepRow.chain_id) == self._chain_id, col(ForeignSweepRow.is_undone).is_(False))
            .where(col(ForeignSweepRow.block_number) > ancestor)
            .order_by(col(ForeignSweepRow.id).desc())
        )
        for row in rows:
            entries = reversed(self._entries(row, self._vault))
            self._ledger.post_all_in(session, [postings.contra(entry, "its block is gone") for entry in entries])
            row.is_undone = True

    def _entries(self, row: ForeignSweepRow, vault: Address) -> list[Entry]:
        movement = f"foreign-{row.tx_hash[2:34]}-{row.log_index}-{row.occurrence}"
        part = Moved(Address(row.address), row.asset, row.sent_raw, row.arrived_raw)
        return moving_entries(movement, self._chain_id, vault, part, row.tx_hash)
