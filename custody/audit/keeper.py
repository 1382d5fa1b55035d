"""Writing checkpoints when they are due, and sending them off this host."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog
from sqlmodel import Session, col, func, select

from custody.audit.chain import Chain, pages
from custody.audit.checkpoints import Checkpoint, CheckpointSigner, statement
from custody.audit.exports import Exporter
from custody.audit.merkle import MerkleTree
from custody.audit.records import GENESIS
from custody.audit.tables import AuditCheckpointRow, AuditExportRow, AuditRow
from domain import InvariantError, VenueUnavailable
from runtime.database import Database
from runtime.metrics import AUDIT_EXPORT_FAILED

log = structlog.get_logger(__name__)


class CheckpointKeeper:
    """Makes checkpoints of a log. Synchronous; several may run, a count is signed once."""

    def __init__(
        self,
        database: Database,
        signer: CheckpointSigner,
        now_ns: Callable[[], int],
        exporters: Sequence[Exporter] = (),
    ) -> None:
        self._database = database
        self._signer = signer
        self._now_ns = now_ns
        self._exporters = tuple(exporters)

    def run(self, *, every_records: int = 1, every_s: int = 0) -> Checkpoint | None:
        """Write a checkpoint if one is due, and export what is not exported yet; give the one written.

        Due means: that many new records since the last one, or any at all and it is that many seconds old. What a
        place does not take is kept for the next run.

        Raises:
            InvariantError: The log does not hold together since the last checkpoint: nothing is signed.
            VenueUnavailable: The signer does not answer.
        """
        written = self._write() if self._is_due(every_records, every_s) else None
        for exporter in self._exporters:
            self._export(exporter)
        return written

    def _is_due(self, every_records: int, every_s: int) -> bool:
        with self._database.snapshot() as session:
            last = _last(session)
            newest = session.exec(select(func.max(AuditRow.sequence))).one() or 0
            count, time_ns = (0, 0) if last is None else (last.count, last.time_ns)
        fresh = newest - count
        return fresh >= max(every_records, 1) or (fresh > 0 and self._now_ns() - time_ns >= every_s * 10**9)

    def _write(self) -> Checkpoint | None:
        with self._database.snapshot() as session:
            chain = _resume(_last(session))
            before = chain.count
            for page in pages(session, after=before):
                if broken := chain.follow(page):
                    log.critical("audit.broken", sequence=broken.sequence, reason=broken.reason)
                    raise InvariantError(f"the audit log does not hold together: {broken.reason}")
        if chain.count == before:
            return None
        time_ns, root, key = self._now_ns(), chain.tree.root(), self._signer.key
        signature = self._signer.sign(statement(chain.count, chain.head, root, time_ns, key))
        made = Checkpoint(chain.count, chain.head, root, time_ns, key, signature)
        if not made.is_signed():
            raise InvariantError(f"the signature of audit checkpoint {made.count} is not by {key}")
        with self._database.transaction() as session:
            self._database.serialize(session, "audit-checkpoint")
            last = _last(session)
            if last is not None and last.count >= made.count:
                return None  # Another keeper was faster.
            fields = {name: getattr(made, name) for name in made.__dataclass_fields__}
            session.add(AuditCheckpointRow(**fields, frontier=chain.tree.frontier()))
        return made

    def _export(self, exporter: Exporter) -> None:
        with self._database.snapshot() as session:
            done = select(AuditExportRow.count).where(col(AuditExportRow.target) == exporter.name)
            query = select(AuditCheckpointRow).where(col(AuditCheckpointRow.count).not_in(done))
            waiting = [_checkpoint(row) for row in session.exec(query.order_by(col(AuditCheckpointRow.count)))]
        for checkpoint in waiting:
            try:
                exporter.put(checkpoint)
            except VenueUnavailable as exc:
                AUDIT_EXPORT_FAILED.labels(exporter.name).inc()
                log.error("audit.export_failed", target=exporter.name, count=checkpoint.count, error=str(exc))
                return
            with self._database.transaction() as session:
                self._database.serialize(session, "audit-checkpoint")
                if session.get(AuditExportRow, (checkpoint.count, exporter.name)) is None:
                    session.add(AuditExportRow(count=checkpoint.count, target=exporter.name, time_ns=self._now_ns()))


def stored_checkpoints(session: Session) -> list[Checkpoint]:
    """Every checkpoint in the database, in order."""
    return [
        _checkpoint(row) for row in session.exec(select(AuditCheckpointRow).order_by(col(AuditCheckpointRow.count)))
    ]


def _checkpoint(row: AuditCheckpointRow) -> Checkpoint:
    return Checkpoint(row.count, row.head, row.root, row.time_ns, row.key, row.signature)


def _last(session: Session) -> AuditCheckpointRow | None:
    return session.exec(select(AuditCheckpointRow).order_by(col(AuditCheckpointRow.count).desc()).limit(1)).first()


def _resume(last: AuditCheckpointRow | None) -> Chain:
    if last is None:
        return Chain(GENESIS)
    tree = MerkleTree.from_frontier(last.count, last.frontier)
    if tree.root() != last.root or not _checkpoint(last).is_signed():
        raise InvariantError(f"audit checkpoint {last.count} is not what was signed")
    return Chain(last.head, tree)
