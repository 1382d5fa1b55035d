"""The report renders whatever the run was: long, short, or over before it began."""

from __future__ import annotations

import pytest

from domain import Side
from engine.report_html import write_report
from engine.reporting import RunSummary, summarize, to_json
from tests.engine.markets import ETHUSDC, SECOND, V3, Script, book, fill, kernel_opening, pool_kernel, timer


def result(summary):
    return {
        "run": "<b>r</b>",
        **to_json(summary),
        "fees": {},
        "gas": "0",
        "transactions": 0,
        "ledger": {"balanced": True, "matches_venues": True, "entries": 0, "problems": [], "differences": []},
        "latency_us": {"tick_to_order": {"p50": None, "p90": None, "p99": None, "count": 0}},
        "open_orders_after_stop": 0,
    }


def rendered(path, summary):
    write_report(path, summary, result(summary), {V3: "V3 <pool>"})
    return path.read_text()


def test_empty_run_has_a_report(tmp_path):
    page = rendered(tmp_path / "report.html", RunSummary())
    assert page.startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")


@pytest.mark.parametrize("seconds", [1, 30])
def test_short_run_shows_its_curves_and_needs_no_network(tmp_path, seconds):
    script = Script()
    script.then = [lambda c: c.take(ETHUSDC.id, Side.BUY, 300_020, 100)]
    events = [*kernel_opening((V3,)), book(), timer(), fill("t-0-s-1", 100)]
    events += [timer(i * SECOND) for i in range(2, seconds + 2)]
    summary = summarize(pool_kernel(script, pools=(V3,), is_open=False), events)
    assert to_json(summary)["fills"] == 1
    assert to_json(summary)["orders"] == {"sent": 1, "filled": 1}
    page = rendered(tmp_path / "report.html", summary)
    assert page.count('class="plotly-graph-div"') == 4
    assert "<b>r</b>" not in page.split("</h1>", 1)[0]
    assert 'src="http' not in page
    assert not list(tmp_path.glob("*.tmp"))
