"""Which strategies ship: their kinds, what settings they take, what they are made by.

To add one: a module with its settings (`CatalogSettings`) and its class (`CatalogStrategy`), a line here, a page in
`docs/strategies/`, a case in `tests/engine/strategies/cases.py`.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Final, NamedTuple

from engine.strategies.avellaneda_stoikov import AvellanedaStoikov, AvellanedaStoikovSettings
from engine.strategies.base import CatalogSettings, CatalogStrategy
from engine.strategies.breakout import BreakoutSettings, BreakoutStrategy
from engine.strategies.client_orders import ClientOrders, ClientOrdersSettings
from engine.strategies.composite_order import CompositeOrder, CompositeOrderSettings
from engine.strategies.copy_trading import CopyTrading, CopyTradingSettings
from engine.strategies.cross_exchange_market_making import (
    CrossExchangeMarketMaking,
    CrossExchangeMarketMakingSettings,
)
from engine.strategies.cross_venue_arbitrage import CrossVenueArbitrage, CrossVenueArbitrageSettings
from engine.strategies.exchange_arbitrage import ExchangeArbitrage, ExchangeArbitrageSettings
from engine.strategies.execute import Execute, ExecuteSettings
from engine.strategies.funding_arbitrage import FundingArbitrage, FundingArbitrageSettings
from engine.strategies.glft import Glft, GlftSettings
from engine.strategies.grid import Grid, GridSettings
from engine.strategies.macd import MacdSettings, MacdStrategy
from engine.strategies.model_signal import ModelSignal, ModelSignalSettings
from engine.strategies.moving_average import MovingAverage, MovingAverageSettings
from engine.strategies.netted import Netted, NettedSettings
from engine.strategies.order_book_imbalance import OrderBookImbalance, OrderBookImbalanceSettings
from engine.strategies.portfolio_rebalancing import PortfolioRebalancing, PortfolioRebalancingSettings
from engine.strategies.pure_market_making import PureMarketMaking, PureMarketMakingSettings
from engine.strategies.routed_order import RoutedOrder
from engine.strategies.routed_order_settings import RoutedOrderSettings
from engine.strategies.rsi import RsiSettings, RsiStrategy
from engine.strategies.statistical_arbitrage import StatisticalArbitrage, StatisticalArbitrageSettings


class Entry(NamedTuple):
    """One kind of strategy."""

    settings: type[CatalogSettings]
    strategy: type[CatalogStrategy[Any]]

    @property
    def kind(self) -> str:
        return str(self.settings.model_fields["kind"].default)


ENTRIES: Final = (
    Entry(FundingArbitrageSettings, FundingArbitrage),
    Entry(PortfolioRebalancingSettings, PortfolioRebalancing),
    Entry(StatisticalArbitrageSettings, StatisticalArbitrage),
    Entry(CrossVenueArbitrageSettings, CrossVenueArbitrage),
    Entry(AvellanedaStoikovSettings, AvellanedaStoikov),
    Entry(BreakoutSettings, BreakoutStrategy),
    Entry(ClientOrdersSettings, ClientOrders),
    Entry(CopyTradingSettings, CopyTrading),
    Entry(CrossExchangeMarketMakingSettings, CrossExchangeMarketMaking),
    Entry(ExchangeArbitrageSettings, ExchangeArbitrage),
    Entry(CompositeOrderSettings, CompositeOrder),
    Entry(ExecuteSettings, Execute),
    Entry(GlftSettings, Glft),
    Entry(GridSettings, Grid),
    Entry(MacdSettings, MacdStrategy),
    Entry(ModelSignalSettings, ModelSignal),
    Entry(MovingAverageSettings, MovingAverage),
    Entry(NettedSettings, Netted),
    Entry(OrderBookImbalanceSettings, OrderBookImbalance),
    Entry(PureMarketMakingSettings, PureMarketMaking),
    Entry(RoutedOrderSettings, RoutedOrder),
    Entry(RsiSettings, RsiStrategy),
)
CATALOG: Final = {entry.kind: entry for entry in ENTRIES}

CatalogUnion: Any = reduce(or_, (entry.settings for entry in ENTRIES))
"""Any of the settings, for pydantic: it goes by `kind`."""


def make(settings: CatalogSettings, folder: Path | None = None) -> CatalogStrategy[Any]:
    """Make the strategy that settings are of; relative paths in them begin in `folder`."""
    made = CATALOG[str(settings.kind)].strategy(settings)  # type: ignore[attr-defined]
    made.folder = folder
    return made
