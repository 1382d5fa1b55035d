"""The audit log: hash-chained records of everything that decides over funds, with signed checkpoints off this host."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
else:
    from runtime.fronts import lazily

    _HOMES = {
        "custody.audit.chain": "list_audit",
        "custody.audit.checkpoints": "Checkpoint CheckpointSigner Ed25519CheckpointSigner WalletCheckpointSigner",
        "custody.audit.exports": "CommandExporter DirectoryExporter Exporter read_checkpoints",
        "custody.audit.keeper": "CheckpointKeeper",
        "custody.audit.log": "AuditLog",
        "custody.audit.records": "canonical record_hash",
        "custody.audit.settings": "AuditSettings",
        "custody.audit.tables": "AuditRow",
        "custody.audit.verification": "AuditVerification verify_audit",
    }
    __getattr__ = lazily(__name__, _HOMES)


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
