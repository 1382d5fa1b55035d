"""Backups of a whole installation, one sealed archive per trust zone; restoring; and asking the chain afterwards."""

from custody.backup.create import create_archive, zone_files
from custody.backup.manifest import Manifest, Member, Role, Zone, signer_text
from custody.backup.reconcile import Reconciled, Seen, adopt, first_unknown_nonce, look_at_chain, open_journals, skip_to
from custody.backup.restore import freeze_restored, restore_archive, verify_archive
from custody.backup.sealed import Recipient, SealedReader, SealedWriter, generate_identity
from custody.backup.snapshot import restore_postgresql

__all__ = [
    "Manifest",
    "Member",
    "Recipient",
    "Reconciled",
    "Role",
    "SealedReader",
    "SealedWriter",
    "Seen",
    "Zone",
    "adopt",
    "create_archive",
    "first_unknown_nonce",
    "freeze_restored",
    "generate_identity",
    "look_at_chain",
    "open_journals",
    "restore_archive",
    "restore_postgresql",
    "signer_text",
    "skip_to",
    "verify_archive",
    "zone_files",
]
