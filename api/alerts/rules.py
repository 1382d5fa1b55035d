"""What is raised, how badly, and when it goes up: what each organisation has unless it says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from sqlmodel import Session, col, select

from api.alerts.states import Severity
from api.alerts.tables import RuleRow

DRAWDOWN: Final = "drawdown"
LEVEL_MAX: Final = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """How one kind of alert is raised."""

    kind: str
    severity: Severity
    after_s: int = 0
    """It must be there so long before anybody is told."""
    escalate_s: int = 0
    """Unacknowledged for so long it goes a level up; 0 is never."""
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a rule looks for was found."""

    organisation: str
    kind: str
    key: str
    summary: str
    portfolio: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    seen_ns: int = 0
    """Of what is an event rather than a state, its instant: the same is not found twice."""
    rule: str | None = None
    """Id of the organisation's rule; None is the one of the kind."""


BUILT_IN: Final = MappingProxyType(
    {
        rule.kind: rule
        for rule in (
            Rule("kill.pressed", Severity.CRITICAL, escalate_s=300),
            Rule("engine.stopped", Severity.CRITICAL, escalate_s=300),
            Rule("component.down", Severity.CRITICAL, after_s=30, escalate_s=300),
            Rule("account.differs", Severity.ERROR),
            Rule("approval.waiting", Severity.WARNING, escalate_s=900),
            Rule("delivery.failing", Severity.WARNING),
        )
    }
)
"""By kind. A drawdown has a limit, so there is one only where somebody set it."""
DRAWDOWN_RULE: Final = Rule(DRAWDOWN, Severity.CRITICAL, escalate_s=300)
ENDED_BY_PEOPLE: Final = frozenset({"account.differs"})
"""What nothing but a person can call over; all others end when they are over."""


def rule_of(session: Session, finding: Finding) -> Rule:
    """The rule for a finding, as its organisation has it."""
    own = None if finding.rule is None else session.get(RuleRow, finding.rule)
    # An alert's key may look like the id of a rule, of another organisation's too: names are people's.
    if own is not None and (own.organisation, own.kind) == (finding.organisation, finding.kind):
        return as_rule(own)
    query = select(RuleRow).where(RuleRow.organisation == finding.organisation, RuleRow.kind == finding.kind)
    row = session.exec(query.where(col(RuleRow.limit).is_(None))).first()
    return BUILT_IN.get(finding.kind, DRAWDOWN_RULE) if row is None else as_rule(row)


def as_rule(row: RuleRow) -> Rule:
    return Rule(row.kind, Severity(row.severity), row.after_s, row.escalate_s, row.enabled)
