"""Rules: what raises an alert, how bad it is, and when it goes a level up."""

from __future__ import annotations

import secrets
from typing import Annotated, Any, cast

from fastapi import APIRouter, Path
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import Session, col, select

from api.alerts.rules import BUILT_IN, DRAWDOWN, DRAWDOWN_RULE, Rule, as_rule
from api.alerts.states import Severity
from api.alerts.tables import RuleRow
from api.auth.principal import Principal, require
from api.auth.scopes import Scope
from api.core.amounts import PositiveText
from api.core.errors import Conflict, NotFound
from api.core.pages import Page
from api.services import Services, Use

router = APIRouter(prefix="/v1/alert-rules", tags=["alerts"])

RuleId = Annotated[str, Path(pattern=r"^(rul_[0-9a-f]{16}|[a-z]{1,20}\.[a-z]{1,20})$")]
Reads = Annotated[Principal, require(Scope.ALERTS_READ)]
Writes = Annotated[Principal, require(Scope.ALERTS_WRITE)]
Loosens = Annotated[Principal, require(Scope.ALERTS_WRITE, step_up=True)]
_WHOLE = "rules are about every portfolio: not for a caller of some"
RULES_MAX = 100
AfterS = Annotated[int, Field(ge=0, le=86_400, description="It must be there so long before anybody is told.")]
EscalateS = Annotated[
    int, Field(ge=0, le=86_400, description="Unacknowledged for so long it goes a level up, of three; 0 is never.")
]


class AlertRule(BaseModel):
    """How an organisation wants one kind of alert."""

    id: str = Field(description="Of a kind that is always there, the kind.", examples=["kill.pressed"])
    kind: str
    severity: Severity
    enabled: bool
    after_s: int
    escalate_s: int
    portfolio: str | None = Field(description="Of a drawdown.")
    limit: str | None = Field(description="Of a drawdown, in what results are counted in.")
    peak: str | None = Field(description="Of a drawdown, the highest result since the limit was set.")


class DrawdownRule(BaseModel):
    """Raise an alert when a portfolio's result falls so far below the highest it had."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"portfolio": "pf_0123456789abcdef", "limit": "2500"}]}
    )

    portfolio: str = Field(pattern=r"^pf_[0-9a-f]{16}$")
    limit: PositiveText
    severity: Severity = DRAWDOWN_RULE.severity
    after_s: AfterS = 0
    escalate_s: EscalateS = DRAWDOWN_RULE.escalate_s


class RuleChange(BaseModel):
    """What is to be different; the rest stays."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"escalate_s": 600}]})

    severity: Severity | None = None
    enabled: bool | None = None
    after_s: AfterS | None = None
    escalate_s: EscalateS | None = None
    limit: PositiveText | None = Field(default=None, description="Of a drawdown. The peak is measured anew.")


@router.get("")
async def list_rules(services: Use, who: Reads) -> Page[AlertRule]:
    """Every rule: the kinds that are always there, and the drawdowns that were set."""
    who.check_whole(_WHOLE)

    def read(session: Session) -> list[AlertRule]:
        rows = list(session.exec(_rules(who.organisation).order_by(col(RuleRow.created_ns), col(RuleRow.id))))
        own = {row.kind: row for row in rows if row.limit is None}
        kinds = [_shown(as_rule(own[kind]) if kind in own else rule) for kind, rule in BUILT_IN.items()]
        return kinds + [_shown(as_rule(row), row) for row in rows if row.limit is not None]

    return Page(data=await services.database.read(read))


@router.post("", status_code=201)
async def create_rule(services: Use, who: Writes, body: DrawdownRule) -> AlertRule:
    """Watch a portfolio's drawdown."""
    who.check_whole(_WHOLE)
    await services.directory.refresh()
    services.directory.seen(who, body.portfolio)

    def write(session: Session) -> AlertRule:
        services.database.serialize(session, f"alert-rules/{who.organisation}")
        if len(session.exec(_rules(who.organisation)).all()) >= RULES_MAX:
            raise Conflict(f"there are {RULES_MAX} already")
        row = RuleRow(
            id=f"rul_{secrets.token_hex(8)}", organisation=who.organisation, kind=DRAWDOWN, portfolio=body.portfolio,
            limit=body.limit, severity=body.severity.value, enabled=True, after_s=body.after_s,
            escalate_s=body.escalate_s, created_ns=services.clock.now_ns(),
        )  # fmt: skip
        session.add(row)
        _audit(services, session, "alert-rule.created", row, who)
        return _shown(as_rule(row), row)

    return await services.database.run(write)


@router.patch("/{rule}")
async def change_rule(services: Use, who: Loosens, rule: RuleId, body: RuleChange) -> AlertRule:
    """Change a rule. A person confirms it: whoever can change rules could silence them."""
    who.check_whole(_WHOLE)

    def write(session: Session) -> AlertRule:
        services.database.serialize(session, f"alert-rules/{who.organisation}")
        row = _find(services, session, who, rule)
        if body.limit is not None:
            if row.limit is None:
                raise Conflict(f"{row.kind} has no limit")
            row.limit, row.peak = body.limit, None
        row.severity = row.severity if body.severity is None else body.severity.value
        row.enabled = row.enabled if body.enabled is None else body.enabled
        row.after_s = row.after_s if body.after_s is None else body.after_s
        row.escalate_s = row.escalate_s if body.escalate_s is None else body.escalate_s
        session.add(row)
        _audit(services, session, "alert-rule.changed", row, who)
        return _shown(as_rule(row), row if row.limit is not None else None)

    return await services.database.run(write)


@router.delete("/{rule}", status_code=204)
async def delete_rule(services: Use, who: Loosens, rule: RuleId) -> None:
    """End a drawdown's rule, with its alert; a kind that is always there goes back to what it is by itself."""
    who.check_whole(_WHOLE)

    def write(session: Session) -> None:
        services.database.serialize(session, f"alert-rules/{who.organisation}")
        row = _find(services, session, who, rule)
        _audit(services, session, "alert-rule.deleted", row, who)
        if row in session:
            # First the rule, then its alert, as the watch has them: neither waits for what the other holds.
            session.delete(row)
            session.flush()
        if row.limit is not None:
            services.alerts.book.resolve_key(session, who.organisation, DRAWDOWN, row.id, who.actor)

    await services.database.run(write)


# --- parts


def _find(services: Services, session: Session, who: Principal, rule: str) -> RuleRow:
    """A row to change; of a kind without one, one that says what holds already."""
    if rule in BUILT_IN:
        query = _rules(who.organisation).where(RuleRow.kind == rule, col(RuleRow.limit).is_(None))
        if (found := session.exec(query).first()) is not None:
            return cast(RuleRow, found)
        known = BUILT_IN[rule]
        return RuleRow(
            id=f"rul_{secrets.token_hex(8)}", organisation=who.organisation, kind=rule, severity=known.severity.value,
            enabled=known.enabled, after_s=known.after_s, escalate_s=known.escalate_s,
            created_ns=services.clock.now_ns(),
        )  # fmt: skip
    row = session.get(RuleRow, rule)
    if row is None or row.organisation != who.organisation or row.limit is None:
        raise NotFound(f"no rule {rule}")
    return row


def _rules(organisation: str) -> Any:
    return select(RuleRow).where(RuleRow.organisation == organisation)


def _audit(services: Services, session: Session, what: str, row: RuleRow, who: Principal) -> None:
    detail = {
        "actor": who.actor,
        "kind": row.kind,
        "enabled": row.enabled,
        "severity": row.severity,
        "limit": row.limit,
    }
    services.auth.audit.append(session, what, f"alert-rule/{row.id}", detail)


def _shown(rule: Rule, row: RuleRow | None = None) -> AlertRule:
    about = {"portfolio": row.portfolio, "limit": row.limit, "peak": row.peak} if row is not None else {}
    return AlertRule.model_validate(
        {
            "id": rule.kind if row is None else row.id, "kind": rule.kind, "severity": rule.severity,
            "enabled": rule.enabled, "after_s": rule.after_s, "escalate_s": rule.escalate_s,
            "portfolio": None, "limit": None, "peak": None, **about,
        }
    )  # fmt: skip
