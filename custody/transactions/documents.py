"""Documents (EIP-712) that the account signs: a permit moves funds as a transaction does, so it is judged as one.

Screened, judged by policy from its own values, written to the audit log, then signed, in this order; the signer judges
it again. What would need people's approval or time to rest is refused: a document is signed at once or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from sqlmodel import Session

from custody import freeze
from custody.approvals import CanonicalIntent, TypedDocument
from custody.audit import AuditLog
from custody.policy import Facts, read_typed_data
from custody.policy.rulebook import canonical_json
from custody.transactions.tools import Tools
from domain import InputError, Refused
from wallets import Signature, TypedDataToSign

log = structlog.get_logger(__name__)


class Documents:
    """Signs for one desk's account. `check_running` raises when the desk must not act."""

    def __init__(self, tools: Tools, audit: AuditLog, check_running: Callable[[], None]) -> None:
        self._tools = tools
        self._audit = audit
        self._check_running = check_running

    async def sign(
        self, document: Mapping[str, Any], *, intent_id: str, initiator: str = "engine", vault: str = "default"
    ) -> Signature:
        """Sign a document that policy allows at once.

        Args:
            document: `types`, `primaryType`, `domain` and `message`; plain JSON, bytes as 0x-hex.
            intent_id: What it is for; names it in the audit log.
            initiator: Who asks.
            vault: The vault it is for, as policy names it.

        Raises:
            InputError: Not a document, or for another chain.
            Refused: It cannot be read, screening or policy (here or at the signer) says no, it would need approvals or
                a delay (`no-approval`, `delay`), or the vault is frozen.
            VenueUnavailable: The node, the database or the signer cannot be reached; nothing was signed.
        """
        self._check_running()
        tools, subject = self._tools, TypedDocument.of(self._tools.sender, document)
        action = read_typed_data(tools.sender, document)
        if action.chain != tools.chain.chain_id:
            raise InputError(f"{intent_id}: the document is for chain {action.chain}, not {tools.chain.chain_id}")
        await tools.screener.screen(action.parties)
        head, now_s = await tools.chain.head(), tools.now_ns() // 10**9
        facts = Facts(initiator=initiator, vault=vault, now_s=now_s, chain_time_s=head.time_s)
        decision = tools.policy.judge(action, spent=lambda _counter, _window_s: 0, facts=facts)
        if decision.requirements:
            raise Refused(f"{intent_id}: the document needs people's approval", rule="no-approval")
        if decision.delay_s:
            raise Refused(f"{intent_id}: the document must rest for {decision.delay_s} s", rule="delay")
        digest = hashlib.sha256(canonical_json(subject.to_document())).hexdigest()
        shown = CanonicalIntent(
            intent_id=intent_id,
            vault=vault,
            initiator=initiator,
            subject=subject,
            expires_s=now_s + tools.options.approval_s,
            policy_version=decision.policy_version,
            policy_digest=decision.policy_digest,
        )

        def record(session: Session) -> None:
            scopes = (freeze.chain_scope(tools.chain.chain_id), freeze.vault_scope(vault))
            freeze.check(session, *scopes, freeze.vault_scope(tools.sender))
            detail = {"type": str(document["primaryType"]), "contract": action.contract, "sha256": digest}
            self._audit.append(
                session,
                "document.signing",
                f"document/{intent_id}",
                {**detail, "initiator": initiator, "vault": vault, "rules": list(decision.rules)},
            )

        await tools.write("document", record)
        signature = await tools.signer.sign_typed_data(
            TypedDataToSign(document), network=tools.network, evidence={"intent": shown.to_document()}
        )
        log.info("custody.document_signed", intent_id=intent_id, type=document["primaryType"])
        return signature
