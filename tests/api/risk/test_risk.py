"""Risk limits over HTTP: tighter at once, looser when confirmed, one's own and nobody else's, kept in later runs."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from custody.audit import list_audit
from domain import VenueUnavailable
from tests.api.lab import api_services
from tests.api.running import ACME, HOUSE, House
from tests.engine.markets import SECOND, book
from tests.engine.strategies.test_reconfigure import HEAVY, OURS, run_config

OTHER = OURS.model_copy(update={"id": "main"})


def two():
    config = run_config()
    return replace(config, settings=config.settings.model_copy(update={"strategies": (OURS, OTHER)}))


@pytest.fixture
def house(tmp_path):
    with api_services(tmp_path) as services:
        yield House(services, tmp_path)


@pytest.fixture
def house_on_each(tmp_path, database_url):
    with api_services(tmp_path, url=database_url) as services:
        yield House(services, tmp_path)


async def change(house, path, **changes):
    return await house.ask("PATCH", f"/v1/risk/{path}", {"changes": changes, "reason": "thin market"})


async def limits(house):
    found = (await house.ask("GET", "/v1/risk/limits"))[1]["data"]
    return {(one["strategy"], one["name"]): one for one in found}


async def test_limits_are_told_with_what_is_used_and_left(house):
    async with house.engine(two()) as engine:
        engine.runner.emit(book(SECOND, *HEAVY))
        await engine.runner.until(lambda: engine.kernel.trades_booked == 2, 10)
        found = await limits(house)
        exposure = found[None, "exposure_notional_max"]
        assert (exposure["limit"], exposure["used"]) == ("10000", "59.976"), "what was bought, less fees"
        assert (exposure["headroom"], exposure["unit"], exposure["stage"]) == ("9940.024", "value", None)
        assert (found[None, "open_orders_max"]["used"], found[None, "order_notional_max"]["used"]) == ("0", None)
        mine = found["obi", "position_notional_max"]
        assert (mine["limit"], mine["used"], mine["headroom"], mine["is_own"]) == ("5000", "29.988", "4970.012", False)
        assert (found["obi", "capital"]["limit"], found["obi", "capital"]["used"]) == ("5000", "29.988")
        assert (found["obi", "drawdown_max"]["limit"], found["obi", "drawdown_max"]["stage"]) == (None, "cancel")
        assert {strategy for strategy, _ in found} == {None, "obi", "main"}
        house.by(ACME)
        assert {strategy for strategy, _ in await limits(house)} == {"obi"}


async def test_tighter_holds_at_once_and_looser_only_when_confirmed(house):
    async with house.engine(two()) as engine:
        house.by(ACME)
        status, told = await change(house, "limits/obi", order_notional_max="10", open_orders_max=2)
        assert (status, told["applied"], told["recorded"], told["loosened"]) == (200, True, True, [])
        assert told["changed"] == {"order_notional_max": [None, "10"], "open_orders_max": [None, 2]}
        assert house.gate.asked == 0
        engine.runner.emit(book(SECOND, *HEAVY))
        await engine.runner.until(lambda: engine.kernel.trades_booked > 0, 10)
        assert {order.strategy for order in engine.kernel.orders.orders.values()} == {"main"}
        status, said = await change(house, "limits/obi", order_notional_max="20")
        assert (status, said["code"], house.gate.asked) == (403, "step_up_required", 1)
        assert engine.kernel.limits.of("obi", "order_notional_max") == 10
        house.gate.confirms = True
        status, told = await change(house, "limits/obi", order_notional_max=None)
        assert (status, told["applied"], told["loosened"]) == (200, True, ["order_notional_max"])
        assert engine.kernel.limits.of("obi", "order_notional_max") == 1_000
        assert (await limits(house))["obi", "open_orders_max"]["is_own"] is True


async def test_a_loss_that_is_more_already_stops_at_once(house):
    async with house.engine(two()) as engine:
        engine.runner.emit(book(SECOND, *HEAVY))
        await engine.runner.until(lambda: engine.kernel.trades_booked == 2, 10)
        lost = Decimal((await limits(house))[None, "drawdown_max"]["used"])
        assert lost > Decimal("0.01"), "fees"
        assert (await change(house.by(ACME), "limits/obi", drawdown_max="0.01"))[0] == 200
        assert (engine.kernel.stage, engine.kernel.stages) == ("running", {"obi": "cancel"})
        assert (await change(house.by(HOUSE), "limits", drawdown_max="0.01"))[0] == 200
        assert engine.kernel.stage == "cancel"


@pytest.mark.parametrize(
    ("path", "changes", "status"),
    [
        ("limits", {"drawdown_max": "1"}, 403),
        ("limits/main", {"drawdown_max": "1"}, 404),
        ("limits/nobody", {"drawdown_max": "1"}, 404),
        ("limits/obi", {"price_collar_bps": "1"}, 422),
        ("limits/obi", {"order_notional_max": "1001"}, 422),
        ("limits/obi", {"order_notional_max": "0"}, 422),
        ("limits/obi", {"order_notional_max": "1e3"}, 422),
        ("limits/obi", {"open_orders_max": True}, 422),
        ("limits/obi", {"open_orders_max": "1.5"}, 422),
        ("limits/obi", {}, 422),
        ("portfolios/pf_0000000000000000/limits", {"drawdown_max": "1"}, 404),
    ],
)
async def test_what_is_not_ones_own_or_cannot_be_changes_nothing(house, path, changes, status):
    async with house.engine(two()) as engine:
        before = engine.kernel.limits
        house.by(ACME).gate.confirms = True
        assert (await change(house, path, **changes))[0] == status
        assert (await change(house, f"portfolios/{house.main}/limits", drawdown_max="1"))[0] == 404
        assert engine.kernel.limits == before
        assert (await house.ask("GET", "/v1/risk/changes"))[1]["data"] == []


async def test_the_house_may_change_all_and_a_portfolio_is_each_of_its_strategies(house):
    async with house.engine(two()) as engine:
        assert (await change(house, "limits", order_notional_max="900"))[1]["strategy"] is None
        assert (await change(house, "limits/obi", drawdown_max="40"))[0] == 200
        status, told = await change(house, f"portfolios/{house.main}/limits", drawdown_max="30")
        assert (status, [one["strategy"] for one in told["data"]]) == (200, ["main"])
        assert (await change(house, f"portfolios/{house.acme}/limits", drawdown_max="50"))[0] == 403
        house.gate.confirms = True
        assert (await change(house, f"portfolios/{house.acme}/limits", drawdown_max="50"))[0] == 200
        assert [engine.kernel.limits.of(name, "drawdown_max") for name in ("obi", "main")] == [50, 30]
        assert engine.kernel.limits.of("main", "order_notional_max") == 900


async def test_changes_are_journaled_and_told_page_by_page_to_whom_they_concern(house_on_each):
    house = house_on_each
    async with house.engine(two()):
        await change(house, "limits", drawdown_max="400")
        await change(house, "limits/main", drawdown_max="300")
        await change(house.by(ACME), "limits/obi", drawdown_max="200")
        mine = (await house.ask("GET", "/v1/risk/changes"))[1]["data"]
        assert [(one["strategy"], one["actor"], one["reason"]) for one in mine] == [("obi", ACME.actor, "thin market")]
        first = (await house.by(HOUSE).ask("GET", "/v1/risk/changes?limit=2"))[1]
        rest = (await house.ask("GET", f"/v1/risk/changes?limit=2&cursor={first['next']}"))[1]
        assert [one["strategy"] for one in (*first["data"], *rest["data"])] == ["obi", "main", None]
        assert rest["data"][0]["changed"] == {"drawdown_max": ["500", "400"]}
        dry = {"changes": {"drawdown_max": "1"}, "dry_run": True}
        assert (await house.ask("PATCH", "/v1/risk/limits", dry))[1]["applied"] is False
    with house.services.database.snapshot() as session:
        rows = list_audit(session, kind="limits.changed")
        assert sorted(row.subject for row in rows) == ["run", "strategy/main", "strategy/obi"]
        assert json.loads(rows[0].detail)["by"] in (ACME.actor, HOUSE.actor)


async def test_what_was_tightened_holds_in_later_runs_and_what_was_loosened_does_not(house):
    house.gate.confirms = True
    async with house.engine(two()):
        await change(house, "limits", drawdown_max="400", order_notional_max="2000")
        await change(house, "limits/obi", order_notional_max="50")
    async with house.engine(two()) as again:
        assert (again.kernel.limits.run.drawdown_max, again.kernel.limits.run.order_notional_max) == (400, 2_000)
        assert again.kernel.limits.of("obi", "order_notional_max") == 50
    async with house.engine(two(), journal="another.bin") as new:
        assert (new.kernel.limits.run.drawdown_max, new.kernel.limits.run.order_notional_max) == (400, 1_000)
        assert new.kernel.limits.of("obi", "order_notional_max") == 50
        assert new.kernel.limits.run.swap_notional_max == 1_000


async def test_tightening_waits_for_no_database_and_loosening_does(house, monkeypatch):
    async with house.engine(two()) as engine:

        async def away(_work):
            raise VenueUnavailable("the database does not answer")

        monkeypatch.setattr(engine.changing.limiter, "_database", type("Away", (), {"run": staticmethod(away)})())
        told = (await change(house, "limits", drawdown_max="400"))[1]
        assert (told["applied"], told["recorded"]) == (True, False)
        house.gate.confirms = True
        assert (await change(house, "limits", drawdown_max="450"))[0] == 503
        assert engine.kernel.limits.run.drawdown_max == 400
