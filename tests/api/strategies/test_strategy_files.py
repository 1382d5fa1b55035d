"""Strategies made over HTTP: checked whole, running at once, there in later runs; and what each ran with, by whom."""

from __future__ import annotations

import json
import pathlib
from decimal import Decimal

import pytest

from api.strategies.files import read_yaml, settings_of
from cli.data_dir import read_json
from cli.engine_join import with_created
from custody.audit import list_audit
from domain import InputError
from engine.settings import EngineSettings
from engine.strategies.catalog import CATALOG
from tests.api.lab import api_services
from tests.api.running import ACME, HOUSE, House
from tests.engine.markets import ETHUSDC
from tests.engine.strategies.test_reconfigure import OURS, run_config

YAML = f"""
kind: pure-market-making
id: quotes
instrument: {ETHUSDC.id}
qty: "0.01"
inventory_max: 1
"""


@pytest.fixture
def house(tmp_path):
    with api_services(tmp_path) as services:
        yield House(services, tmp_path)


async def make(house, *, key="make-0001", **body):
    return await house.ask("POST", "/v1/strategies", {"yaml": YAML, "reason": "quote"} | body, key=key)


async def test_one_is_made_once_runs_at_once_and_belongs_to_a_portfolio(house):
    async with house.engine() as engine:
        status, made = await make(house, portfolio=house.acme)
        assert (status, made["id"], made["portfolio"], made["instruments"]) == (201, "quotes", house.acme, [ETHUSDC.id])
        assert engine.kernel.numbers.strategies == ["obi", "quotes"]
        assert await make(house, portfolio=house.acme) == (201, made)
        assert len(engine.kernel.strategies) == 2
        status, shown = await house.by(ACME).ask("GET", "/v1/strategies/quotes")
        assert (status, shown["kind"], shown["stage"]) == (200, "pure-market-making", "running")
        [first] = (await house.ask("GET", "/v1/strategies/quotes/versions"))[1]["data"]
        assert (first["version"], first["author"], first["reason"], first["changed"]) == (1, HOUSE.actor, "quote", {})
        assert first["parameters"]["qty"] == "0.01"
    with house.services.database.snapshot() as session:
        [row] = list_audit(session, kind="strategy.created")
        assert (row.subject, json.loads(row.detail)["outcome"]) == ("strategy/quotes", "taken")


async def test_what_is_anothers_is_not_taken_away_by_making_it_again(house):
    async with house.engine() as engine:
        assert (await make(house, portfolio=house.acme))[0] == 201
        for body in ({}, {"portfolio": house.main}):
            status, said = await make(house, key="make-0002", **body)
            assert (status, said["code"], house.acme in said["detail"]) == (409, "conflict", True)
        assert (await make(house, key="make-0003", portfolio=house.acme))[0] == 201
        assert (await house.by(ACME).ask("GET", "/v1/strategies/quotes"))[0] == 200
        assert engine.kernel.numbers.strategies == ["obi", "quotes"]


async def test_a_table_is_as_good_as_yaml(house):
    async with house.engine() as engine:
        assert (await make(house, yaml=None, settings=read_yaml(YAML)))[0] == 201
        assert str(engine.kernel.parameters["quotes"].inventory_max) == "1"


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"yaml": YAML.replace("quotes", "obi")}, 422, "there is a strategy obi"),
        ({"yaml": YAML.replace("quotes", "kinds")}, 422, "no strategy can be called 'kinds'"),
        ({"yaml": YAML.replace(ETHUSDC.id, "sandbox:NONE")}, 422, "sandbox:NONE is not among"),
        ({"yaml": YAML.replace("pure-market-making", "python")}, 422, "no kind of strategy is called 'python'"),
        ({"yaml": YAML + "colour: red\n"}, 422, "colour"),
        ({"yaml": YAML.replace('"0.01"', "-1")}, 422, "qty"),
        ({"yaml": "a: [1"}, 422, "YAML"),
        ({"yaml": "a: &b [1]\nc: *b"}, 422, "no aliases"),
        ({"yaml": "!!python/object/apply:os.system ['true']"}, 422, "YAML"),
        ({"yaml": "[" * 10_000}, 422, "YAML"),
        ({"yaml": "- 1"}, 422, "a table of keys"),
        ({"yaml": None}, 422, ""),
        ({"settings": {"kind": "rsi"}}, 422, ""),
        ({"portfolio": "pf_0000000000000000"}, 404, ""),
    ],
)
async def test_what_cannot_be_is_refused_by_name_and_makes_nothing(house, body, status, why):
    async with house.engine() as engine:
        found, said = await make(house, **body)
        assert (found, why in said["detail"]) == (status, True), said
        assert engine.kernel.numbers.strategies == ["obi"]
    assert list(house.folder.glob("strategies/*")) == []


async def test_a_tenant_makes_none_and_sees_no_others_versions(house):
    async with house.engine() as engine:
        assert (await make(house))[0] == 201
        house.by(ACME)
        status, said = await make(house, yaml=YAML.replace("quotes", "mine"), key="make-0002")
        assert (status, said["code"]) == (403, "house_only")
        for path in ("quotes/versions", "nobody/versions"):
            assert (await house.ask("GET", f"/v1/strategies/{path}"))[0] == 404
        assert (await house.ask("POST", "/v1/strategies/quotes/stop", {}))[0] == 404
        assert "mine" not in engine.kernel.numbers.strategies


def test_a_file_is_named_within_the_data_directory():
    kinds = [kind for kind, entry in CATALOG.items() if "Path" in str(entry.settings.model_fields)]
    assert "model-signal" in kinds
    for path in ("/etc/passwd", "../other/model"):
        table = {"kind": "model-signal", "id": "m", "instrument": ETHUSDC.id, "model": path, "qty": "1"}
        with pytest.raises(InputError, match=r"path in the data directory|model-signal: "):
            settings_of(table)


async def test_it_is_there_after_a_restart_and_in_a_new_run(house):
    async with house.engine():
        await make(house)
    async with house.engine() as again:
        assert again.kernel.numbers.strategies == ["obi", "quotes"]
        assert len(again.kernel.strategies) == 2
    async with house.engine(journal="another.bin") as new:
        assert new.kernel.numbers.strategies == ["obi", "quotes"]
        versions = (await house.ask("GET", "/v1/strategies/quotes/versions"))[1]["data"]
        assert [one["version"] for one in versions] == [1]


async def test_one_that_died_between_its_file_and_its_journal_joins_at_the_next_start(house):
    async with house.engine():
        pass
    (house.folder / "strategies").mkdir()
    settings = settings_of(read_yaml(YAML)).model_dump(mode="json")
    (house.folder / "strategies" / "quotes.json").write_text(json.dumps({"settings": settings, "is_stopped": False}))
    async with house.engine() as engine:
        assert engine.kernel.numbers.strategies == ["obi", "quotes"]
    async with house.engine() as again:
        assert len(again.kernel.strategies) == 2, "it is in the journal, and joins once"


async def test_a_stopped_one_stays_stopped_and_is_not_in_a_new_run(house):
    async with house.engine() as engine:
        await make(house)
        status, told = await house.ask("POST", "/v1/strategies/quotes/stop", {"reason": "over"})
        assert (status, told) == (200, {"strategy": "quotes", "stage": "cancel", "in_later_runs": False})
        assert engine.kernel.stages["quotes"] == "cancel"
        await house.by(ACME).ask("POST", "/v1/strategies/obi/stop", {"flatten": True})
        assert engine.kernel.stages["obi"] in ("cancel", "flatten")
    house.by(HOUSE)
    async with house.engine() as again:
        assert again.kernel.stages["quotes"] == "cancel"
    async with house.engine(journal="another.bin") as new:
        assert new.kernel.numbers.strategies == ["obi"]
    async with house.engine() as again:
        assert (await house.ask("POST", "/v1/strategies/quotes/start", {}))[1]["stage"] == "running"
        assert read_json(house.folder / "strategies" / "quotes.json")["is_stopped"] is False
        assert again.kernel.stages["quotes"] == "running"


async def test_versions_have_what_changed_by_whom_and_why_page_by_page(house):
    async with house.engine():
        house.by(ACME)
        path = "/v1/strategies/obi"
        change = {"changes": {"enter": "0.7"}, "reason": "calmer"}
        assert (await house.ask("PATCH", f"{path}/parameters", change))[0] == 200
        await house.ask("PATCH", f"{path}/parameters", {"changes": {"enter": "0.8"}})
        await house.ask("PATCH", f"{path}/parameters", {"changes": {"enter": "0.9"}, "dry_run": True})
        status, page = await house.ask("GET", f"{path}/versions?limit=2")
        assert (status, [one["version"] for one in page["data"]]) == (200, [3, 2])
        two = page["data"][1]
        assert (two["changed"], two["author"], two["reason"]) == ({"enter": ["0.6", "0.7"]}, ACME.actor, "calmer")
        assert two["parameters"]["enter"] == "0.7"
        rest = (await house.ask("GET", f"{path}/versions?limit=2&cursor={page['next']}"))[1]
        assert ([one["source"] for one in rest["data"]], rest["next"]) == (["file"], None)


async def test_a_file_that_changed_between_two_starts_is_a_version_of_its_own(house):
    async with house.engine():
        pass
    async with house.engine(run_config(OURS.model_copy(update={"enter": Decimal("0.7")}))):
        pass
    async with house.engine(run_config(OURS.model_copy(update={"enter": Decimal("0.7")}))):
        versions = (await house.by(ACME).ask("GET", "/v1/strategies/obi/versions"))[1]["data"]
        assert [(one["version"], one["source"], one["changed"]) for one in versions] == [
            (2, "file", {"enter": ["0.6", "0.7"]}), (1, "file", {}),
        ]  # fmt: skip


async def test_every_kind_has_its_schema(house):
    kinds = {one["kind"]: one for one in (await house.ask("GET", "/v1/strategies/kinds"))[1]["data"]}
    assert set(kinds) == set(CATALOG)
    made = kinds["pure-market-making"]
    assert {"qty", "inventory_max", "spread_bps"} <= set(made["json_schema"]["properties"])
    assert (made["is_driven"], kinds["client-orders"]["is_driven"], made["fixed"]) == (False, True, ["refresh_ms"])
    assert all(one["about"] for one in kinds.values())


def test_files_that_contradict_the_settings_stop_a_start(tmp_path):
    settings = EngineSettings(strategies=(OURS,))
    assert with_created(settings, tmp_path / "none", is_new_run=True) == settings
    for table in ({"settings": OURS.model_dump(mode="json")}, {"settings": {"kind": "python"}}, {}):
        pathlib.Path(tmp_path / "obi.json").write_text(json.dumps(table))
        with pytest.raises(InputError, match=r"obi\.json"):
            with_created(settings, tmp_path, is_new_run=False)
