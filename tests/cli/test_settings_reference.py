"""The settings reference is the models' own word, and the example works."""

from __future__ import annotations

from cli.settings import Settings, load_settings
from cli.settings_reference import describe
from tests.cli.demo_run import ROOT


def test_every_section_and_key_is_listed_once():
    names = [key.name for key in describe(Settings)]
    assert len(names) == len(set(names))
    assert {"mode", "chain.chain_id", "venues[].api_key", "engine.risk.drawdown_max"} <= set(names)
    assert "engine.strategies[].hedge_pools" in names
    assert "custody.policy.assets.<name>.per_day_raw" in names
    assert "engine.assets.<name>.mark" in names


def test_example_is_sound_and_safe():
    settings = load_settings(ROOT / "examples" / "binance-testnet.toml")
    assert settings.mode == "paper"
    assert settings.venues[0].testnet
    assert settings.engine.strategies[0].id == "mm"


def test_defaults_send_nothing():
    assert {key.name: key.default for key in describe(Settings)}["mode"] == "paper"
    assert {key.name: key.default for key in describe(Settings)}["venues[].testnet"] == "True"
