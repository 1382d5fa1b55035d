"""Models that give signals: features and labels of bars, training, validation, export to ONNX, and running them.

    bars ──> features, labels ──> purged folds, fit ──> ONNX + card ──> in process | capstan models serve
                 └──────────── the same features, bar by bar ──────────────┘

Names are fetched when they are asked for: running a model needs ONNX Runtime, training it the extra `ml`, an LSTM
PyTorch, and none of them is imported before it is used. docs/models.md is the page.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.models.artefact import Artefact, Card, list_artefacts, load_artefact, save_artefact
    from engine.models.drift import DriftGate, DriftSettings
    from engine.models.features import FeatureStream
    from engine.models.inference import LocalModel, Predictor, runtime_version
    from engine.models.remote import RemoteModel, ServedModel
    from engine.models.settings import TrainSettings, load_train_settings
    from engine.models.training import Trained, evaluate, train
else:
    from runtime.fronts import lazily

    _HOMES = {
        "engine.models.artefact": "Artefact Card list_artefacts load_artefact save_artefact",
        "engine.models.drift": "DriftGate DriftSettings",
        "engine.models.features": "FeatureStream",
        "engine.models.inference": "LocalModel Predictor runtime_version",
        "engine.models.remote": "RemoteModel ServedModel",
        "engine.models.settings": "TrainSettings load_train_settings",
        "engine.models.training": "Trained evaluate train",
    }
    __getattr__ = lazily(__name__, _HOMES)


__all__ = [
    "Artefact",
    "Card",
    "DriftGate",
    "DriftSettings",
    "FeatureStream",
    "LocalModel",
    "Predictor",
    "RemoteModel",
    "ServedModel",
    "TrainSettings",
    "Trained",
    "evaluate",
    "list_artefacts",
    "load_artefact",
    "load_train_settings",
    "runtime_version",
    "save_artefact",
    "train",
]
