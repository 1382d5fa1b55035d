"""Random forests and gradient boosting: fitted by scikit-learn, exported to ONNX by skl2onnx."""

from __future__ import annotations

import warnings
from typing import Any, Final

from domain import InputError
from engine.models.dataset import Samples
from engine.models.settings import GradientBoostingSettings, RandomForestSettings

_OPSET: Final = {"": 17, "ai.onnx.ml": 3}


def fit_trees(settings: RandomForestSettings | GradientBoostingSettings, samples: Samples, seed: int) -> Any:
    """Fit a classifier; the same samples and seed give the same trees.

    Raises:
        InputError: scikit-learn is not installed, or the samples only ever rise or fall.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
        from threadpoolctl import threadpool_limits
    except ImportError as exc:
        raise InputError("training needs scikit-learn", hint="uv sync --extra ml") from exc
    if len(set(samples.y.tolist())) < 2:
        raise InputError("every sample has the same label: there is nothing to tell apart")
    match settings:
        case RandomForestSettings():
            model: Any = RandomForestClassifier(
                n_estimators=settings.trees,
                max_depth=settings.depth_max,
                min_samples_leaf=settings.leaf_min,
                max_features=settings.features_share,
                random_state=seed,
                n_jobs=1,
            )
        case GradientBoostingSettings():
            model = HistGradientBoostingClassifier(
                max_iter=settings.rounds,
                learning_rate=settings.learning_rate,
                max_leaf_nodes=settings.leaves_max,
                min_samples_leaf=settings.leaf_min,
                l2_regularization=settings.l2,
                early_stopping=False,  # Its validation split is random in time: it would leak.
                random_state=seed,
            )
    with threadpool_limits(1):  # One order of sums, so the same trees.
        return model.fit(samples.x, samples.y)


def export_trees(model: Any, width: int, name: str) -> bytes:
    """Write a fitted classifier as ONNX: input (n, width) of float32, last output (n, 2) of probabilities."""
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import FloatTensorType

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of protobuf, about booleans: pyproject.toml pins it.
        exported = convert_sklearn(
            model,
            name=name,
            initial_types=[("x", FloatTensorType([None, width]))],
            options={id(model): {"zipmap": False}},
            target_opset=_OPSET,
        )
    return bytes(exported.SerializeToString(deterministic=True))
