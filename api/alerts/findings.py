"""What is wrong, of how things stand: plain functions of plain values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from api.alerts.rules import DRAWDOWN, Finding
from api.portfolios import Portfolio
from engine.feed import text

STOPPED: Final = "engine.stopped"
DIFFERS: Final = "account.differs"
DOWN: Final = "component.down"
WAITING: Final = "approval.waiting"
FAILING: Final = "delivery.failing"
CALM: Final = Decimal("0.8")
"""Of a limit: a drawdown that was beyond it is over once it is back below this part, not at each crossing."""
_RUNNING: Final = "running"
_OPERATOR: Final = "operator"

Owner = Callable[[str], Portfolio | None]


@dataclass(frozen=True, slots=True)
class Held:
    """A press of the kill switch that was not released."""

    organisation: str
    is_whole: bool
    strategies: frozenset[str]


def stopped(
    standing: Mapping[str, Any], owner: Owner, organisations: Collection[str], held: Iterable[Held]
) -> list[Finding]:
    """Strategies that a limit stopped, of their owners; a run that is stopped, of everybody.

    Not of what an organisation's own press holds, which is an alert of itself, nor of a strategy that its own people
    paused; of what another's press holds (the house's) it is.
    """
    presses = list(held)
    found = []
    if (stage := standing["stage"]) != _RUNNING:
        knowing = {press.organisation for press in presses if press.is_whole}
        for organisation in sorted(set(organisations) - knowing):
            summary = f"trading is stopped for everybody: {stage}"
            found.append(Finding(organisation, STOPPED, "engine", summary, detail={"stage": stage}))
    for name, about in sorted(standing["strategies"].items()):
        portfolio = owner(name)
        if about["stage"] == _RUNNING or portfolio is None:
            continue
        pressing = {press.organisation for press in presses if name in press.strategies}
        if portfolio.organisation in pressing or (about["rule"] == _OPERATOR and not pressing):
            continue
        summary = f"strategy {name} was stopped by {about['rule'] or 'nobody known'}: {about['stage']}"
        detail = {"strategy": name, "stage": about["stage"], "rule": about["rule"]}
        found.append(
            Finding(portfolio.organisation, STOPPED, f"strategy/{name}", summary, portfolio=portfolio.id, detail=detail)
        )
    return found


def differing(standing: Mapping[str, Any], house: str) -> list[Finding]:
    """What accounts and books differ in: of the house, which holds the accounts."""
    found = []
    for about in standing["differs"]:
        detail = about["detail"]
        key = f"{detail['finding']}/{detail['order'] or detail['detail']}"
        summary = f"an account differs from the books: {detail['finding']}: {detail['detail']}"
        found.append(Finding(house, DIFFERS, key, summary, detail=detail, seen_ns=int(about["time_ns"])))
    return found


def result_of(standing: Mapping[str, Any], portfolio: str, owner: Owner) -> Decimal | None:
    """What a portfolio's strategies made; None while one of them cannot be counted, or it has none."""
    names = [name for name in standing["strategies"] if (found := owner(name)) is not None and found.id == portfolio]
    results = [standing["strategies"][name]["result"] for name in names]
    if not results or None in results:
        return None
    return sum((Decimal(result) for result in results), Decimal(0))


def fallen(
    organisation: str, rule: str, portfolio: str, *, limit: Decimal, peak: Decimal, result: Decimal, is_raised: bool
) -> Finding | None:
    """A drawdown beyond its limit; one that was raised until it is well below."""
    drawdown = peak - result
    if drawdown <= (limit * CALM if is_raised else limit):
        return None
    detail = {"drawdown": text(drawdown), "limit": text(limit), "peak": text(peak), "result": text(result)}
    summary = f"the result fell {text(drawdown)} below its peak, the limit is {text(limit)}"
    return Finding(organisation, DRAWDOWN, rule, summary, portfolio=portfolio, detail=detail, rule=rule)


def down(problems: Mapping[str, str], house: str) -> list[Finding]:
    """Components that do not answer, of the house."""
    return [
        Finding(house, DOWN, component, f"{component} does not answer: {problem}", detail={"component": component})
        for component, problem in sorted(problems.items())
        if problem
    ]
