"""The models in `tests/engine/models/shipped`: a forest and an LSTM, so that both are tested where nothing trains them.

`python -m tests.support.shipped_models` makes them again, which is needed when the features change; the LSTM takes the
extra `torch`. They are of bars of a minute, small, and know nothing of any market.
"""

from __future__ import annotations

from pathlib import Path

from engine.models.artefact import save_artefact
from engine.models.settings import LstmSettings, RandomForestSettings
from engine.models.training import train_on
from tests.support import model_bars

FOLDER = Path(__file__).parents[1] / "engine" / "models" / "shipped"


def shipped(name: str) -> Path:
    """Give the folder of one of them."""
    (folder,) = (FOLDER / name).iterdir()
    return folder


def main() -> None:
    """Train and write them, and the bars that their strategies trade on in the lab."""
    kinds = {
        "forest": RandomForestSettings(trees=5, depth_max=3, leaf_min=50),
        "lstm": LstmSettings(steps=6, hidden=4, epochs=6, batch=64, learning_rate=0.01),
    }
    for name, kind in kinds.items():
        asked = model_bars.settings(kind, name=name).model_copy(update={"period_minutes": 1})
        trained = train_on(asked, [model_bars.bars()])
        folder = save_artefact(trained.artefact, FOLDER)
        print(folder, trained.export_error, trained.artefact.card.skill["test"]["auc"])
    minutes = model_bars.table(300, seed=5, volatility=0.002, period_minutes=1)
    minutes.write_csv(FOLDER / "bars.csv", datetime_format="%Y-%m-%d %H:%M:%S")


if __name__ == "__main__":
    main()
