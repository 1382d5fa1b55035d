"""`capstan strategies`: kinds, schemas that mean what the settings mean, files checked whole in three languages."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from cli.strategies import app
from domain import InputError
from engine.strategies.catalog import CATALOG

PMM = {"kind": "pure-market-making", "instrument": "sandbox:ETHUSDC", "qty": "0.1", "inventory_max": "1"}


def run(*arguments):
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return json.loads(result.stdout)


def test_list_names_every_kind_with_a_line():
    told = run("list", "--json")
    assert [item["kind"] for item in told] == sorted(CATALOG)
    assert all(len(item["about"]) > 20 and "\n" not in item["about"] for item in told)


@pytest.mark.parametrize("kind", sorted(CATALOG))
def test_schema_says_every_key_and_what_most_mean(kind):
    schema = run("schema", kind)
    assert set(schema["properties"]) == set(CATALOG[kind].settings.model_fields)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["kind"]["const"] == kind


def test_schema_of_all_goes_by_kind():
    assert len(run("schema")["anyOf"]) == len(CATALOG)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("s.json", json.dumps({"strategies": [PMM]})),
        ("one.json", json.dumps(PMM)),
        ("s.yaml", "strategies:\n- " + "\n  ".join(f"{k}: '{v}'" for k, v in PMM.items())),
        ("s.toml", "[[strategies]]\n" + "\n".join(f'{k} = "{v}"' for k, v in PMM.items())),
    ],
)  # fmt: skip
def test_the_same_strategies_in_three_languages(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    [found] = run("validate", str(tmp_path / name), "--json")["strategies"]
    assert found == {"id": "s", "kind": "pure-market-making", "instruments": ["sandbox:ETHUSDC"]}


def test_everything_wrong_is_named(tmp_path):
    (tmp_path / "s.json").write_text(json.dumps({"strategies": [PMM | {"qty": "-1", "lvls": 2}, {"kind": "pure"}]}))
    with pytest.raises(InputError, match=r"strategies\.0: .*qty.*; lvls|strategies\.0: .*lvls.*; qty") as caught:
        run("validate", str(tmp_path / "s.json"))
    assert "strategies.1: no kind of strategy is called 'pure'" in str(caught.value)
    (tmp_path / "s.json").write_text(json.dumps({"strategies": [PMM, PMM]}))
    with pytest.raises(InputError, match="same id"):
        run("validate", str(tmp_path / "s.json"))


def test_installations_and_backtests_are_checked_too(tmp_path):
    venue = {"id": "sandbox", "exchange": "binance", "instruments": ["BTCUSDC"]}
    (tmp_path / "capstan.json").write_text(json.dumps({"venues": [venue], "engine": {"strategies": [PMM]}}))
    with pytest.raises(InputError, match="no instrument sandbox:ETHUSDC"):
        run("validate", str(tmp_path / "capstan.json"))
    backtest = {
        "data": [{"kind": "synthetic", "instrument": "sandbox:ETHUSDC"}],
        "instruments": {"sandbox:ETHUSDC": {"base": "ETH", "quote": "USDC", "tick_size": "0.01", "lot_size": "0.001"}},
        "strategies": [PMM],
        "account": "USDC",
    }
    (tmp_path / "run.json").write_text(json.dumps(backtest))
    assert run("validate", str(tmp_path / "run.json"), "--json")["strategies"][0]["kind"] == "pure-market-making"
