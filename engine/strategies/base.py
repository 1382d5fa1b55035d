"""What the strategies of the catalog have in common: settings with a schema, and parameters that may change.

A strategy of the catalog is made of its settings alone. Names, ticks and lots become numbers in `on_start`, from the
context; so the same class, made of the same settings, runs in a backtest, on paper and live.
"""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Annotated, ClassVar, Generic, Self, TypeVar

from pydantic import Field

from engine.sdk import Context, Strategy
from runtime import SettingsPart

Positive = Annotated[Decimal, Field(gt=0)]
NotNegative = Annotated[Decimal, Field(ge=0)]


class CatalogSettings(SettingsPart):
    """Settings of one strategy: `kind` (a `Literal` with its default) is what the catalog knows it by."""

    id: str = Field(default="s", pattern=r"[a-z0-9-]{1,16}")

    fixed: ClassVar[tuple[str, ...]] = ()
    """Keys that may not change while it runs, besides `kind`, `id` and whatever names instruments or pools."""

    def instrument_names(self) -> tuple[str, ...]:
        """Every instrument it looks at or trades, by name (`binance:BTCUSDT`)."""
        raise NotImplementedError

    def pool_names(self) -> tuple[str, ...]:
        """Every pool, as the settings name them. A kind that has some keeps them in `pools`."""
        return ()

    def pair(self) -> str | None:
        """The instrument whose two assets every pool has to trade; nothing where pools may trade others."""
        return None

    def with_pools(self, pools: tuple[str, ...]) -> Self:
        """Return the same with its pools by the names that the run has for them."""
        return self.model_copy(update={"pools": pools})


S = TypeVar("S", bound=CatalogSettings)


class CatalogStrategy(Strategy, Generic[S]):
    """A strategy made of its settings. It reads its parameters from `self.settings` whenever it decides."""

    is_driven: ClassVar[bool] = False
    """It trades on requests from outside alone (`on_request`), and does nothing in a backtest."""

    folder: Path | None = None
    """Where relative paths in its settings begin: beside the backtest's file, or the installation's data directory."""

    def __init__(self, settings: S) -> None:
        super().__init__(settings.id)
        self.settings = settings
        self.instruments = settings.instrument_names()

    def located(self, path: Path) -> Path:
        """Give a path of its settings as one that can be opened."""
        return path if self.folder is None else self.folder / path

    def reconfigure(self, ctx: Context, settings: S) -> None:
        """Take new parameters between two events; whoever keeps something computed of them overrides this.

        The caller has checked that the settings are valid and that nothing `fixed` changed.
        """
        self.settings = settings
