"""A run is built again from its journal's header alone, and refuses what does not fit together."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest

from dex import PoolSpec
from domain import Address, ChainId, InputError, PoolId
from engine.journal import Journal
from engine.settings import (
    EconomicAssetSettings,
    EngineSettings,
    PythonStrategySettings,
    RiskLimits,
)
from engine.setup import RunConfig, build_kernel, pool_label
from engine.strategies.avellaneda_stoikov import AvellanedaStoikovSettings
from engine.strategies.cross_venue_arbitrage import CrossVenueArbitrageSettings
from tests.engine.markets import CHAIN, ETHUSDC, NATIVE, TOKEN_USDC, WETH

POOL = PoolSpec(
    id=PoolId(f"eip155:1337/0x{'C' * 40}"),
    kind="v3",
    address=Address("0x" + "C" * 40),
    chain_id=ChainId(CHAIN),
    token0=TOKEN_USDC,
    token1=WETH,
    token0_address=Address("0x" + "A" * 40),
    token1_address=Address("0x" + "B" * 40),
    fee_pips=500,
)
ASSETS = {
    "USD": EconomicAssetSettings(members=("USDC",)),
    "ETH": EconomicAssetSettings(members=("ETH", "WETH"), mark=ETHUSDC.id),
}
STRATEGIES = (
    CrossVenueArbitrageSettings(instrument=ETHUSDC.id, pools=("v3:WETH/USDC:500",), profit_min=Decimal("1.25")),
    AvellanedaStoikovSettings(
        instrument=ETHUSDC.id, hedge_pools=(pool_label(POOL),), order_qty=Decimal("0.1"),
        inventory_max=Decimal(1), hedge_above=Decimal("0.5"),
    ),
)  # fmt: skip


def config(**settings):
    settings = {"assets": ASSETS, "strategies": STRATEGIES, "risk": RiskLimits(blacklist=("a/b",)), **settings}
    return RunConfig("r", "live", EngineSettings(**settings), (ETHUSDC,), (POOL,), NATIVE)


def test_header_round_trips_through_json():
    header = msgspec.json.decode(msgspec.json.encode(config().to_header()))
    assert RunConfig.from_header(header) == config()
    kernel = build_kernel(RunConfig.from_header(header))
    assert [s.id for s in kernel.strategies] == ["arb", "mm"]
    assert set(kernel.markets.pools) == {POOL.id}


def test_other_version_is_refused():
    with pytest.raises(InputError, match="version 1 is not"):
        RunConfig.from_header({**config().to_header(), "version": 1})


@pytest.mark.parametrize(
    "changed",
    [
        config(risk=RiskLimits(drawdown_max=Decimal(501))),
        config(strategies=STRATEGIES[:1]),
        RunConfig("r", "live", config().settings, (ETHUSDC,), (), NATIVE),
        RunConfig("other", "live", config().settings, (ETHUSDC,), (POOL,), NATIVE),
        RunConfig("r", "paper", config().settings, (ETHUSDC,), (POOL,), NATIVE),
    ],
)
def test_journal_of_other_settings_is_refused_and_unchanged(tmp_path, changed):
    path = tmp_path / "journal.bin"
    Journal.open(path, config().to_header()).close()
    before = path.read_bytes()
    with pytest.raises(InputError, match="other settings"):
        Journal.open(path, changed.to_header())
    assert path.read_bytes() == before
    Journal.open(path, config().to_header()).close()


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"assets": {}}, "no economic asset"),
        ({"assets": {**ASSETS, "ETH": EconomicAssetSettings(members=("ETH", "WETH"), mark="x:Y")}}, "x:Y"),
        ({"assets": {**ASSETS, "B": EconomicAssetSettings(members=("ETH",))}}, "two economic assets"),
        ({"strategies": (CrossVenueArbitrageSettings(instrument="x:Y", pools=()),)}, "x:Y"),
        ({"strategies": (CrossVenueArbitrageSettings(instrument=ETHUSDC.id, pools=("v9:A/B:1",)),)}, "no pool"),
        ({"strategies": (STRATEGIES[0], STRATEGIES[0])}, "same id"),
        ({"risk": RiskLimits(price_collar_bps=Decimal(40))}, "unwind_slippage_bps"),
    ],
)
def test_what_does_not_fit_together_is_refused_by_name(settings, word):
    with pytest.raises(InputError, match=word):
        build_kernel(config(**settings))


OWN = """
from engine.sdk import Strategy

class Own(Strategy):
    def __init__(self, *, lots):
        super().__init__("whatever")
        self.lots = lots
"""


def own(reference, **parameters):
    return config(strategies=(PythonStrategySettings(id="mine", strategy=reference, parameters=parameters),))


def test_a_strategy_of_ones_own_is_made_again_from_the_header_and_the_folder(tmp_path):
    (tmp_path / "own_strategy.py").write_text(OWN)
    header = msgspec.json.decode(msgspec.json.encode(own("own_strategy:Own", lots=5).to_header()))
    (strategy,) = build_kernel(RunConfig.from_header(header), tmp_path).strategies
    assert (strategy.id, strategy.lots) == ("mine", 5)


@pytest.mark.parametrize(
    ("reference", "parameters", "word"),
    [
        ("own_strategy_two:Own", {}, "lots"),
        ("own_strategy_two:Other", {}, "no subclass"),
        ("own_strategy_two:Strategy", {"nothing": 1}, "parameters"),
        ("no_such_module:Own", {}, "cannot import"),
    ],
)
def test_a_strategy_of_ones_own_that_cannot_be_is_refused(tmp_path, reference, parameters, word):
    (tmp_path / "own_strategy_two.py").write_text(OWN)
    with pytest.raises(InputError, match=word):
        build_kernel(own(reference, **parameters), tmp_path)
