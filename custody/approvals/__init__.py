"""Approvals: signatures of people over one canonical intent and the words it has for a person.

`DatabaseApprovals` asks and collects; `verify` is what every signer does with the evidence, believing nothing but
signatures of the keys in its own policy bundle; `ApprovalUses` is its memory of what was used.
"""

from custody.approvals.desk import ApprovalRequest, DatabaseApprovals
from custody.approvals.intent import (
    ApprovalState,
    Authorization,
    CanonicalIntent,
    ChainCall,
    Delegation,
    ExchangeWithdrawal,
    Subject,
    TypedDocument,
    Verdict,
    digest_of,
)
from custody.approvals.keys import Approval, Groups, approve, key_text, parse_key
from custody.approvals.uses import ApprovalUses
from custody.approvals.verify import ApprovalRules, VerifiedApprovals, verify

__all__ = [
    "Approval",
    "ApprovalRequest",
    "ApprovalRules",
    "ApprovalState",
    "ApprovalUses",
    "Authorization",
    "CanonicalIntent",
    "ChainCall",
    "DatabaseApprovals",
    "Delegation",
    "ExchangeWithdrawal",
    "Groups",
    "Subject",
    "TypedDocument",
    "Verdict",
    "VerifiedApprovals",
    "approve",
    "digest_of",
    "key_text",
    "parse_key",
    "verify",
]
