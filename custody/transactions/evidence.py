"""What a signer is shown beside a transaction: the intent, people's approvals, what services attest.

None of it is believed there; each signer verifies it by its own policy.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final

import structlog

from custody.approvals import CanonicalIntent, ChainCall
from custody.policy import Facts, Proposal
from custody.policy.attestations import attested_facts, subject_of
from custody.policy.rests import ANNOUNCED
from custody.transactions.records import Intent
from custody.transactions.tools import Tools
from domain import InputError, Refused
from domain.plans import TransactionPlan
from wallets import TransactionToSign

log = structlog.get_logger(__name__)

_NO_NONCE: Final = (1 << 64) - 2
"""No account gets so far: an announcement must not look like another transaction under a nonce that was used."""


def proposal_of(plan: TransactionPlan) -> Proposal:
    """A plan as policy sees it: its own bytes, no promises."""
    return Proposal(chain_id=plan.chain_id, sender=plan.sender, to=plan.to, value_wei=plan.value_wei, data=plan.data)


def canonical_intent(tools: Tools, intent: Intent, *, version: int, digest: str, expires_s: int) -> CanonicalIntent:
    """Write an intent as approvers and signers read it, with the policy's caps for what the plan leaves open.

    Raises:
        InputError: It has a name that cannot be written.
    """
    plan = intent.plan
    caps = tools.policy.caps(plan.chain_id)
    return CanonicalIntent(
        intent_id=plan.intent_id,
        vault=intent.vault,
        initiator=intent.initiator,
        subject=ChainCall(
            chain_id=plan.chain_id,
            sender=plan.sender,
            to=plan.to,
            value_wei=plan.value_wei,
            data=plan.data,
            gas_limit=plan.gas_limit or caps.gas_limit_max,
            fee_per_gas_wei_max=caps.fee_per_gas_wei_max,
        ),
        expires_s=expires_s,
        policy_version=version,
        policy_digest=digest,
    )


async def facts_of(tools: Tools, intent: Intent, *, chain_time_s: int) -> Facts:
    """What custody itself knows when it judges: who asked, the time, and what services attest."""
    now_s = tools.now_ns() // 10**9
    known = Facts(initiator=intent.initiator, vault=intent.vault, now_s=now_s, chain_time_s=chain_time_s)
    if tools.statements is None:
        return known
    proposal = proposal_of(intent.plan)
    statements = list(await tools.statements(proposal))
    return attested_facts(
        statements,
        tools.policy.document,
        known=known,
        now_s=now_s,
        subject=subject_of(proposal),
        sender=proposal.sender,
    )


async def evidence_of(tools: Tools, intent: Intent) -> dict[str, Any]:
    """Put together what signers are shown of an intent."""
    shown: dict[str, Any] = {}
    if needs_approval(intent) and tools.approvals is not None:
        shown = dict(await asyncio.to_thread(tools.approvals.evidence, str(intent.plan.intent_id)))
    else:
        try:
            policy, expires_s = tools.policy, tools.now_ns() // 10**9 + tools.options.approval_s
            written = canonical_intent(tools, intent, version=policy.version, digest=policy.digest, expires_s=expires_s)
            shown = {"intent": written.to_document()}
        except InputError as exc:
            log.warning("custody.unwritten_intent", intent_id=intent.plan.intent_id, error=str(exc))
    if tools.statements is not None:
        shown["attestations"] = [dict(each) for each in await tools.statements(proposal_of(intent.plan))]
    return shown


async def has_rested(tools: Tools, intent: Intent) -> bool:
    """Show the signer what it will be asked to sign; False while it wants that to rest longer.

    Signers count delays for themselves, from when they are first shown a transaction.
    """
    plan = intent.plan
    tx = TransactionToSign(
        chain_id=plan.chain_id,
        nonce=_NO_NONCE,
        to=plan.to,
        value_wei=plan.value_wei,
        data=plan.data,
        gas_limit=plan.gas_limit,
    )
    evidence = {**await evidence_of(tools, intent), "announce": True}
    try:
        await tools.signer.sign_transaction(tx, network=tools.network, evidence=evidence)
    except Refused as exc:
        # Anything but a time to wait is for the signing itself to say.
        return exc.rule != ANNOUNCED
    raise Refused("the signer signed an announcement", rule="announcement")


def needs_approval(intent: Intent) -> bool:
    """Whether people have to approve it."""
    decided: Mapping[str, Any] = json.loads(intent.decision) if intent.decision else {}
    return bool(decided.get("requirements"))


def needs_rest(intent: Intent) -> bool:
    """Whether policy wants it to wait."""
    decided: Mapping[str, Any] = json.loads(intent.decision) if intent.decision else {}
    return bool(decided.get("delay_s"))
