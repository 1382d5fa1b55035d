"""The audit log: hash-chained records of everything that decides over funds, with signed checkpoints off this host."""

from custody.audit.chain import list_audit
from custody.audit.checkpoints import (
    Checkpoint,
    CheckpointSigner,
    Ed25519CheckpointSigner,
    WalletCheckpointSigner,
)
from custody.audit.exports import CommandExporter, DirectoryExporter, Exporter, read_checkpoints
from custody.audit.keeper import CheckpointKeeper
from custody.audit.log import AuditLog
from custody.audit.records import canonical, record_hash
from custody.audit.settings import AuditSettings
from custody.audit.tables import AuditRow
from custody.audit.verification import AuditVerification, verify_audit

__all__ = [
    "AuditLog",
    "AuditRow",
    "AuditSettings",
    "AuditVerification",
    "Checkpoint",
    "CheckpointKeeper",
    "CheckpointSigner",
    "CommandExporter",
    "DirectoryExporter",
    "Ed25519CheckpointSigner",
    "Exporter",
    "WalletCheckpointSigner",
    "canonical",
    "list_audit",
    "read_checkpoints",
    "record_hash",
    "verify_audit",
]
