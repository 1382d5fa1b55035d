"""What may leave: the policy that is active, drafts that are looked at, and the administrators' signatures on the next.

A policy is what its administrators have signed; nothing here can change that. Who they are is pinned in the settings of
each process, engine, signer and cosigners judge by it for themselves, and its delay is counted by each.
"""

from __future__ import annotations

import asyncio
import secrets
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict
from sqlmodel import Session, col, select

from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.effects import IdempotencyKeyText
from api.core.errors import Conflict, NotFound
from api.core.pages import CursorText, Limit, Page
from api.core.times import instant
from api.custody.tables import PolicyProposalRow
from api.services import Services, Use
from custody.counter import SignedPolicy
from custody.policy import Admins, Bundle
from custody.policy.bundle import AdminSignature, add_signature, read_bundle
from custody.policy.history import Accepted, PolicyHistory, active_of
from custody.policy.lint import Severity, lint
from custody.policy.rulebook import Rulebook, read_rulebook
from custody.policy.source import write_durably
from domain import InputError

router = APIRouter(prefix="/v1/policies", tags=["policies"])

Reader = Annotated[Principal, require(Scope.POLICIES_READ)]
Writer = Annotated[Principal, require(Scope.POLICIES_WRITE)]
Confirmed = Annotated[Principal, require(Scope.POLICIES_WRITE, step_up=True, weight=20)]
Linter = Annotated[Principal, require(Scope.POLICIES_READ, weight=20)]
ProposalId = Annotated[str, Path(pattern=r"^pol_[0-9a-f]{16}$")]

FINDINGS_MAX: Final = 500
FOUND_MAX: Final = 20_000
"""Of a draft with more only that is said."""
_NS: Final = 10**9
_EXACT: Final = 2**53
_TEXT: Final = "version: 2\nchains: {1: {}}\nrules: []\n"
_DOCUMENT: Final[JsonDict] = {"document": _TEXT}
_SIGNATURE: Final[JsonDict] = {"admin": "ed25519:" + "0" * 64, "signed_s": 1_800_000_000, "signature": "0" * 128}


class Policy(BaseModel):
    """A policy: its document as it was written."""

    version: int
    digest: str
    document: dict[str, Any] = Field(description="Numbers that are not exact in JSON are text.")


class Active(Policy):
    """The one that is judged by now."""

    is_signed: bool = Field(description="By administrators; else it stands in the settings, [custody.policy].")


class Known(BaseModel):
    """A policy that was accepted here."""

    version: int
    digest: str
    is_active: bool
    admins: list[str] = Field(description="The keys of those who have signed it.")
    signed_at: datetime
    seen_at: datetime
    effective_at: datetime = Field(description="One that a higher version overtook before never becomes active.")


class History(BaseModel):
    """Oldest first."""

    data: list[Known]


class Draft(BaseModel):
    """A document in YAML, as docs/policy.md has it."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_DOCUMENT]})

    document: str = Field(min_length=1, max_length=60_000)


class Finding(BaseModel):
    """Something worth a look."""

    code: str
    severity: Severity
    where: str
    text: str


class Linted(BaseModel):
    """What is probably not meant, the worst first."""

    version: int
    digest: str
    is_fit: bool = Field(description="It has no errors, and may be proposed.")
    findings: list[Finding] = Field(max_length=FINDINGS_MAX)
    left_off: int = Field(description="So many more were found.")


class Signature(BaseModel):
    """An administrator's, over the digest, the version and the moment `signed_s`: docs/api/custody.md has the bytes."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [_SIGNATURE]})

    admin: str = Field(max_length=80, description="`ed25519:…`, as the settings' list of administrators has it.")
    signed_s: int = Field(ge=0, le=2**40, description="When it was signed, in Unix seconds.")
    signature: str = Field(max_length=128, pattern=r"^[0-9a-f]*$", description="In hex.")


class Proposal(Policy):
    """A document that administrators may sign, and how many have."""

    id: str = Field(examples=["pol_0123456789abcdef"])
    state: str = Field(description="`open`, or `accepted`.")
    needed: int
    signed_by: list[str]
    proposed_by: str
    created_at: datetime


@router.get("/active")
async def get_active_policy(services: Use, who: Reader) -> Active:
    """The policy that is judged by now; for the house."""
    await services.directory.check_house(who)
    custody = services.custody
    found = await asyncio.to_thread(custody.rulebook)
    return Active(**_policy(found), is_signed=custody.signed_policy is not None)


@router.get("")
async def list_policies(services: Use, who: Reader) -> History:
    """Every signed policy that was accepted, and which is active; for the house."""
    await services.directory.check_house(who)
    history = PolicyHistory(services.custody.database, Admins(1, {}), now_ns=services.clock.now_ns)
    accepted = await asyncio.to_thread(history.all)
    active = active_of(accepted, services.clock.now_ns() // _NS)
    return History(data=[_known(each, is_active=each is active) for each in accepted])


@router.post("/lint")
async def lint_policy(services: Use, who: Linter, body: Draft) -> Linted:
    """Say what of a draft is probably not meant; for the house. Nothing is kept."""
    await services.directory.check_house(who)
    rulebook = await asyncio.to_thread(read_rulebook, body.document)
    return await asyncio.to_thread(_linted, rulebook)


@router.get("/proposals")
async def list_proposals(services: Use, who: Reader, limit: Limit = 50, cursor: CursorText = None) -> Page[Proposal]:
    """What was proposed, the newest first; for the house."""
    await services.directory.check_house(who)
    signed = _signed(services)
    before = services.cursors.open("policy-proposals", cursor, tuple[int, str])

    def read(session: Session) -> list[tuple[int, Proposal]]:
        made, name = col(PolicyProposalRow.created_ns), col(PolicyProposalRow.id)
        query = select(PolicyProposalRow).order_by(made.desc(), name.desc()).limit(limit + 1)
        if before is not None:
            query = query.where((made < before[0]) | ((made == before[0]) & (name < before[1])))
        return [(row.created_ns, _shown(row, signed.admins)) for row in session.exec(query)]

    def position(last: tuple[int, Proposal]) -> tuple[int, str]:
        return last[0], last[1].id

    rows, following = services.cursors.page("policy-proposals", await services.database.read(read), limit, position)
    return Page[Proposal](data=[shown for _, shown in rows], next=following)


@router.post("/proposals", status_code=201, response_model=Proposal)
async def propose_policy(
    request: Request, services: Use, who: Confirmed, body: Draft, key: IdempotencyKeyText
) -> Response:
    """Propose a document for the administrators to sign; one with errors is refused. For the house."""
    await services.directory.check_house(who)
    signed, now = _signed(services), services.clock.now_ns()
    rulebook = await asyncio.to_thread(read_rulebook, body.document)
    found = await asyncio.to_thread(_linted, rulebook)
    if not found.is_fit:
        worst = found.findings[0]
        raise InputError(f"{worst.where}: {worst.text}", hint="POST /v1/policies/lint says all that is wrong")

    def work(session: Session) -> Proposal:
        row = PolicyProposalRow(
            id=f"pol_{secrets.token_hex(8)}", organisation=who.organisation, bundle=Bundle(rulebook, ()).to_json(),
            version=rulebook.version, digest=rulebook.digest, state="open", actor=who.actor, created_ns=now,
        )  # fmt: skip
        session.add(row)
        session.flush()
        detail = {"actor": who.actor, "version": row.version, "digest": row.digest}
        services.auth.audit.append(session, "policy.proposed", f"policy/{row.id}", detail)
        return _shown(row, signed.admins)

    return (await services.effects.once(request, who.organisation, key, work)).response()


@router.get("/proposals/{proposal}")
async def get_proposal(services: Use, who: Reader, proposal: ProposalId) -> Proposal:
    """One of them."""
    await services.directory.check_house(who)
    signed = _signed(services)
    return await services.database.read(lambda session: _shown(_find(session, proposal), signed.admins))


@router.post("/proposals/{proposal}/signatures", status_code=201)
async def sign_proposal(services: Use, who: Writer, proposal: ProposalId, body: Signature) -> Proposal:
    """Add an administrator's signature. The last that is needed puts the policy in force after its delay.

    Whose key it is the settings say; whoever sends it needs a role. Safe to send again.
    """
    await services.directory.check_house(who)
    signed = _signed(services)
    given = AdminSignature(admin=body.admin, signed_s=body.signed_s, signature=body.signature)
    history = PolicyHistory(services.custody.database, signed.admins, now_ns=services.clock.now_ns)

    def write(session: Session) -> tuple[Proposal, str]:
        services.database.serialize(session, f"policy-proposal/{proposal}")
        row = _find(session, proposal)
        bundle = add_signature(read_bundle(row.bundle), given, signed.admins)
        if row.state == "open":
            row.bundle = bundle.to_json()
            detail = {"actor": who.actor, "admin": body.admin, "digest": row.digest}
            services.auth.audit.append(session, "policy.signed", f"policy/{row.id}", detail)
            if len(bundle.signatures) >= signed.admins.threshold:
                history.accept_in(session, bundle)
                row.state = "accepted"
            session.add(row)
            session.flush()
        return _shown(row, signed.admins), row.bundle

    shown, text = await services.database.run(write)
    if shown.state == "accepted":
        # Where the processes look. Sent again after a crash in between, it is put there again.
        await asyncio.to_thread(_install, signed, text, shown.version)
    return shown


def _install(signed: SignedPolicy, text: str, version: int) -> None:
    try:
        present = read_bundle(signed.bundle.read_text(encoding="utf-8")).rulebook.version
    except (OSError, UnicodeDecodeError, InputError):
        present = 0
    if version > present:
        write_durably(signed.bundle, text + "\n")


def _signed(services: Services) -> SignedPolicy:
    found = services.custody.signed_policy
    if found is None:
        raise Conflict(
            "the policy of this installation stands in its settings",
            code="policy_in_settings",
            hint="custody.policy_bundle and custody.policy_admins name a signed one instead",
        )
    return found


def _find(session: Session, proposal: str) -> PolicyProposalRow:
    row = session.get(PolicyProposalRow, proposal)
    if row is None:
        raise NotFound(f"no proposal {proposal}")
    return row


def _linted(rulebook: Rulebook) -> Linted:
    found = lint(rulebook.document, at_most=FOUND_MAX)
    return Linted(
        version=rulebook.version, digest=rulebook.digest,
        is_fit=not any(finding.severity is Severity.ERROR for finding in found),
        findings=[Finding(code=f.code, severity=f.severity, where=f.where, text=f.text) for f in found[:FINDINGS_MAX]],
        left_off=max(0, len(found) - FINDINGS_MAX),
    )  # fmt: skip


def _shown(row: PolicyProposalRow, admins: Admins) -> Proposal:
    bundle = read_bundle(row.bundle)
    return Proposal(
        **_policy(bundle.rulebook), id=row.id, state=row.state, needed=admins.threshold,
        signed_by=[signature.admin for signature in bundle.signatures], proposed_by=row.actor,
        created_at=instant(row.created_ns),
    )  # fmt: skip


def _policy(rulebook: Rulebook) -> dict[str, Any]:
    return {"version": rulebook.version, "digest": rulebook.digest, "document": _exact(dict(rulebook.data))}


def _exact(value: Any) -> Any:
    """Plain data in which no number is one that readers of JSON round."""
    if isinstance(value, dict):
        return {name: _exact(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(each) for each in value]
    if type(value) is int and abs(value) >= _EXACT:
        return str(value)
    return value


def _known(each: Accepted, *, is_active: bool) -> Known:
    return Known(
        version=each.bundle.rulebook.version, digest=each.bundle.rulebook.digest, is_active=is_active,
        admins=[signature.admin for signature in each.bundle.signatures], signed_at=instant(each.signed_s * _NS),
        seen_at=instant(each.seen_s * _NS), effective_at=instant(each.effective_s * _NS),
    )  # fmt: skip
