"""What is wrong, of how things stand."""

from __future__ import annotations

from decimal import Decimal

from api.alerts.findings import Held, differing, down, fallen, result_of, stopped
from api.portfolios import Portfolio

MM = Portfolio("pf_mm", "org_acme", "mm", frozenset({"mm"}), False)
HOUSE = Portfolio("pf_house", "org_house", "main", frozenset(), True)
BOTH = ("org_acme", "org_house")


def owner(strategy):
    return MM if strategy in MM.strategies else HOUSE


def standing(stage="running", **strategies):
    about = {"stage": "running", "rule": None, "result": "0"}
    return {"stage": stage, "strategies": {name: about | more for name, more in strategies.items()}, "differs": []}


def keys(found):
    return [(one.organisation, one.key, one.portfolio) for one in found]


def test_a_strategy_that_a_limit_stopped_is_its_owners():
    now = standing(mm={"stage": "cancel", "rule": "loss-day"}, arb={"stage": "reduce", "rule": "exposure"})
    found = stopped(now, owner, BOTH, [])
    assert keys(found) == [("org_house", "strategy/arb", "pf_house"), ("org_acme", "strategy/mm", "pf_mm")]
    assert "loss-day" in found[1].summary
    assert stopped(standing(mm={}), owner, BOTH, []) == []


def test_what_a_person_paused_or_an_own_press_holds_is_no_finding():
    paused = standing(mm={"stage": "cancel", "rule": "operator"})
    assert stopped(paused, owner, BOTH, []) == []
    held = standing(mm={"stage": "cancel", "rule": "loss-day"})
    assert stopped(held, owner, BOTH, [Held("org_acme", False, frozenset({"mm"}))]) == []
    for others in (held, paused):  # The house stops a tenant's strategy: the tenant is told.
        assert len(stopped(others, owner, BOTH, [Held("org_house", False, frozenset({"mm"}))])) == 1


def test_a_run_that_is_stopped_is_everybodys_but_whose_press_it_was():
    assert keys(stopped(standing("cancel"), owner, BOTH, [])) == [(org, "engine", None) for org in BOTH]
    assert keys(stopped(standing("cancel"), owner, BOTH, [Held("org_house", True, frozenset())])) == [
        ("org_acme", "engine", None)
    ]


def test_a_portfolio_of_which_one_strategy_has_no_price_has_no_result():
    now = standing(mm={"result": "1.5"}, arb={"result": "-2"}, third={"result": None})
    assert result_of(now, "pf_mm", owner) == Decimal("1.5")
    assert result_of(now, "pf_house", owner) is None
    assert result_of(standing(), "pf_mm", owner) is None


def test_a_drawdown_begins_beyond_the_limit_and_ends_well_below_it():
    def one(result, is_raised):
        about = {"limit": Decimal(10), "peak": Decimal(100), "result": Decimal(result), "is_raised": is_raised}
        return fallen("org_acme", "rul_1", "pf_mm", **about)

    assert one("90", False) is None
    found = one("89.5", False)
    assert (found.key, found.portfolio, found.rule) == ("rul_1", "pf_mm", "rul_1")
    assert found.detail == {"drawdown": "10.5", "limit": "10", "peak": "100", "result": "89.5"}
    assert one("91", True) is not None
    assert one("92", True) is None


def test_what_accounts_differ_in_and_what_is_down_is_the_houses():
    told = {"detail": {"finding": "unknown-order", "detail": "x1 is open", "order": "x1"}, "time_ns": "7"}
    (found,) = differing(standing() | {"differs": [told]}, "org_house")
    assert (found.organisation, found.key, found.seen_ns) == ("org_house", "unknown-order/x1", 7)
    assert keys(down({"engine": "no answer", "signer": ""}, "org_house")) == [("org_house", "engine", None)]
