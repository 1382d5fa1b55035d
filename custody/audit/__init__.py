"""The audit log: hash-chained records of everything that decides over funds."""

from custody.audit.log import AuditLog
from custody.audit.records import canonical, record_hash
from custody.audit.tables import AuditRow

__all__ = ["AuditLog", "AuditRow", "canonical", "record_hash"]
