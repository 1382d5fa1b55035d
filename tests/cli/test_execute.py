"""`capstan execute`: a plan, a try on a market, a report from a journal, a curve; mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.main import main
from domain import OrderState
from domain import events as e
from engine.journal import Journal
from engine.settings import EngineSettings
from engine.setup import RunConfig, build_kernel
from tests.engine.markets import ETHUSDC, SECOND, book, fill, order_id, report, timer

EXAMPLES = Path(__file__).parents[2] / "examples"
ORDER = EXAMPLES / "execute.toml"


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(["execute", *map(str, arguments)])
    return ended.value.code


def test_a_plan_says_what_is_done_by_when(capsys):
    assert run("plan", ORDER, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["slices"][0] == {"after_s": 5.0, "done": "0.166666"}
    assert [float(one["done"]) for one in told["slices"]] == pytest.approx([2 / 12 * n for n in range(1, 13)], abs=1e-5)
    assert float(told["slices"][-1]["done"]) == 2.0
    assert run("plan", ORDER) == 0
    assert "after 60 s" in capsys.readouterr().err


def test_a_try_on_a_market_reports_its_cost(capsys):
    assert run("simulate", ORDER, "--on", EXAMPLES / "execute_market.toml", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["filled"] == told["qty"] == 2.0
    assert told["ahead_max"] <= told["slice_max"]


def test_a_curve_is_made_of_trades(capsys):
    market = EXAMPLES / "execute_market.toml"
    assert run("curve", market, "--instrument", "sim:BTCUSDT", "--parts", 4, "--json") == 0
    assert sum(map(float, json.loads(capsys.readouterr().out)["curve"])) == pytest.approx(1, abs=1e-5)


def test_a_report_comes_from_the_journal(tmp_path, capsys):
    order = {"kind": "execute", "instrument": ETHUSDC.id, "side": "buy", "qty": "0.1",
             "algorithm": {"name": "twap", "duration_s": 4, "every_s": 2, "style": "cross"}}  # fmt: skip
    assets = {"USD": {"members": ["USDC"]}, "ETH": {"members": ["ETH"], "mark": ETHUSDC.id}}
    settings = EngineSettings.model_validate({"strategies": [order], "assets": assets})
    config = RunConfig("t", "live", settings, (ETHUSDC,), (), None)
    kernel, journal = build_kernel(config), Journal.open(tmp_path / "journal.bin", config.to_header())
    placed: list[e.PlaceOrder] = []

    def tell(event):
        journal.append(event)
        placed.extend(command for command in kernel.step(event) if isinstance(command, e.PlaceOrder))

    tell(book())
    for at, half in ((1, placed[0]), (4, None)):
        one = half or placed[-1]
        tell(fill(one.client_order_id, one.qty_lots, trade_id=str(at), ticks=300_030, now_ns=at * SECOND))
        tell(report(one.client_order_id, OrderState.FILLED, at * SECOND, one.qty_lots))
        tell(book((at + 2) * SECOND))
    tell(timer(10 * SECOND))
    journal.close()
    assert placed[0].client_order_id.startswith(order_id(0, 1)[:5])
    assert run("report", tmp_path / "journal.bin", "--json") == 0
    [told] = json.loads(capsys.readouterr().out).values()
    assert told["filled"] == pytest.approx(0.1)
    # Arrival 3,000.00, paid 3,000.30: one basis point.
    assert told["shortfall_bps"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("text", "says"), [('side = "buy"', "instrument"), ("side = ", "Invalid value"), (None, "cannot read")]
)
def test_mistakes_are_one_line(tmp_path, capsys, text, says):
    path = tmp_path / "order.toml"
    if text is not None:
        path.write_text(text)
    assert run("plan", path) != 0
    assert says in capsys.readouterr().err
