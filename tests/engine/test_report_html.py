"""The report renders whatever the run was: long, short, or over before it began."""

from __future__ import annotations

import pytest

from engine.report_html import write_report
from engine.reporting import RunSummary, summarize, to_json
from engine.sdk import Strategy
from tests.engine.markets import SECOND, V3, book, fill, kernel_opening, native_kernel, order_id, timer


class Once(Strategy):
    """Takes once, at the first timer."""

    done = False

    def on_timer(self, ctx, event):
        if not self.done:
            self.done = ctx.take(0, 0, 300_020, 100) is not None


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
    events = [*kernel_opening((V3,)), book(), timer(), fill(order_id(0, 1), 100)]
    events += [timer(i * SECOND) for i in range(2, seconds + 2)]
    summary = summarize(native_kernel(Once(), pools=(V3,), book_age_ms_max=10**6), events)
    assert to_json(summary)["fills"] == 1
    assert to_json(summary)["orders"] == {"sent": 1, "filled": 1}
    page = rendered(tmp_path / "report.html", summary)
    assert page.count('class="plotly-graph-div"') == 4
    assert "<b>r</b>" not in page.split("</h1>", 1)[0]
    assert 'src="http' not in page
    assert not list(tmp_path.glob("*.tmp"))
