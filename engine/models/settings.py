"""What `capstan models train` reads: the data, the label, the kind of model, how it is validated."""

from __future__ import annotations

import tomllib
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AwareDatetime, Field, ValidationError

from domain import InputError
from runtime import SettingsPart

Positive = Annotated[Decimal, Field(gt=0)]


class BarsSource(SettingsPart):
    """A history of bars of one instrument, on the grid on which its strategy will see them."""

    instrument: str
    path: Path
    """Parquet, Feather or CSV; relative to the configuration, `$CAPSTAN_DATA` at the beginning is filled in."""
    tick_size: Positive
    lot_size: Positive
    since: AwareDatetime | None = None
    """Bars that opened earlier are left out."""
    until: AwareDatetime | None = None
    """Bars that open then or later are left out."""


class LabelSettings(SettingsPart):
    """What is foretold: whether the price goes up, from the open after the decision."""

    kind: Literal["direction", "triple-barrier"] = "direction"
    """`direction`: the open `horizon_bars` later is higher. `triple-barrier`: the upper of two barriers is touched
    first, or neither and the open at the horizon is higher."""
    horizon_bars: int = Field(default=24, ge=1, le=1_000)
    barrier: Annotated[float, Field(gt=0)] = 1.0
    """Distance of the barriers in standard deviations of the return over the horizon."""


class RandomForestSettings(SettingsPart):
    """Many deep trees on drawn samples, averaged (scikit-learn's `RandomForestClassifier`)."""

    kind: Literal["random-forest"] = "random-forest"
    trees: int = Field(default=200, ge=1, le=5_000)
    depth_max: int = Field(default=6, ge=1, le=30)
    leaf_min: int = Field(default=200, ge=1)
    """Samples a leaf holds at least: overlapping labels make small leaves look certain."""
    features_share: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of the features that each split chooses among."""


class GradientBoostingSettings(SettingsPart):
    """Small trees, each mending what those before got wrong (`HistGradientBoostingClassifier`)."""

    kind: Literal["gradient-boosting"] = "gradient-boosting"
    rounds: int = Field(default=100, ge=1, le=10_000)
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.03
    leaves_max: int = Field(default=8, ge=2, le=255)
    leaf_min: int = Field(default=500, ge=1)
    l2: Annotated[float, Field(ge=0)] = 10.0


class LstmSettings(SettingsPart):
    """A recurrent network over the last `steps` bars' features (PyTorch; needs the extra `torch`)."""

    kind: Literal["lstm"] = "lstm"
    steps: int = Field(default=24, ge=2, le=500)
    hidden: int = Field(default=16, ge=1, le=512)
    epochs: int = Field(default=5, ge=1, le=1_000)
    batch: int = Field(default=512, ge=1)
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 0.002
    weight_decay: Annotated[float, Field(ge=0)] = 0.001
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Of the last state, while training."""


ModelSettings = Annotated[RandomForestSettings | GradientBoostingSettings | LstmSettings, Field(discriminator="kind")]


class TrainSettings(SettingsPart):
    """The whole file."""

    name: str = Field(pattern=r"[a-z0-9][a-z0-9-]{0,39}")
    """What the model is called; its versions are told apart by their digests."""
    data: Annotated[tuple[BarsSource, ...], Field(min_length=1)]
    """Several instruments are learned from together."""
    period_minutes: int = Field(default=60, gt=0)
    model: ModelSettings = RandomForestSettings()
    label: LabelSettings = LabelSettings()
    test_from: AwareDatetime
    """What is decided from then on is never trained on: skill is reported on it."""
    folds: int = Field(default=5, ge=2, le=50)
    """Stretches of time of the purged cross-validation before `test_from`."""
    embargo_bars: int = Field(default=72, ge=0)
    """Left out of training after each tested stretch, because features look back."""
    seed: int = Field(default=7, ge=0, le=2**31 - 1)

    @property
    def period(self) -> timedelta:
        return timedelta(minutes=self.period_minutes)

    @property
    def steps(self) -> int:
        """Bars whose features the model reads."""
        return self.model.steps if isinstance(self.model, LstmSettings) else 1


def load_train_settings(path: Path) -> TrainSettings:
    """Read TOML or YAML and check all of it.

    Raises:
        InputError: Unreadable, an unknown key, or a value that cannot be; names every bad key.
    """
    try:
        text = path.read_text(encoding="utf-8")
        found: Any = yaml.safe_load(text) if path.suffix in (".yaml", ".yml") else tomllib.loads(text)
    except OSError as exc:
        raise InputError(f"cannot read {path}: {exc.strerror}", hint="examples/models/ has some") from exc
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as exc:
        raise InputError(f"{path}: {' '.join(str(exc).split())}") from exc
    try:
        return TrainSettings.model_validate(found)
    except ValidationError as exc:
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'root'}: {e['msg']}" for e in exc.errors(include_input=False)
        )
        raise InputError(f"{path}: {problems}", hint="docs/models.md has every key") from exc


def nanoseconds(moment: datetime) -> int:
    """Count whole microseconds since 1970 as nanoseconds, exactly."""
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")
