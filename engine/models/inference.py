"""Running a model in process, with ONNX Runtime on one thread.

One row at a time, always: sums of floats depend on their order, and with it on how many rows are computed at once.
Alone, a row gives the same bits whoever asks, in process or over HTTP.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np

from domain import InputError, InvariantError
from engine.models.artefact import Artefact, Card
from engine.models.features import Floats, Vectors

BATCH: Final = 4_096


class Predictor(Protocol):
    """Whatever gives a model's probability of a rise."""

    @property
    def card(self) -> Card: ...

    def probability(self, x: Vectors) -> float:
        """Give the probability for one input, of shape (features,) or (steps, features)."""
        ...


class LocalModel:
    """A model in this process."""

    def __init__(self, artefact: Artefact) -> None:
        """Load it.

        Raises:
            InputError: ONNX Runtime cannot run these bytes, or they take other inputs than the card says.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = 3
        self.artefact = artefact
        try:
            self._session = onnxruntime.InferenceSession(artefact.onnx, options, providers=["CPUExecutionProvider"])
        except Exception as exc:  # Its errors share no base class.
            raise InputError(f"model {artefact.reference}: ONNX Runtime cannot load it: {exc}") from exc
        (given,) = self._session.get_inputs()
        self._input, self._output = given.name, self._session.get_outputs()[-1].name
        self._shape = _row_shape(artefact.card)
        if tuple(given.shape[1:]) != self._shape:
            raise InputError(f"model {artefact.reference} takes {given.shape[1:]}, its card says {self._shape}")

    @property
    def card(self) -> Card:
        return self.artefact.card

    def probability(self, x: Vectors) -> float:
        """Give the probability of a rise for one input.

        Raises:
            InputError: Not the shape that the model takes, or not finite.
        """
        row = np.asarray(x, dtype=np.float32)
        if row.shape != self._shape:
            raise InputError(f"model {self.artefact.reference} takes {self._shape}, not {row.shape}")
        if not np.isfinite(row).all():
            raise InputError(f"model {self.artefact.reference}: an input is not finite")
        return float(self._run(row[None])[0])

    def probabilities(self, x: Vectors) -> Floats:
        """Give many at once, for statistics: the last bits may differ from `probability`."""
        parts = [self._run(np.ascontiguousarray(x[at : at + BATCH])) for at in range(0, len(x), BATCH)]
        return np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)

    def _run(self, rows: Vectors) -> Any:
        (found,) = self._session.run([self._output], {self._input: rows})
        up = found[:, 1] if found.ndim == 2 else found
        if up.shape != (len(rows),):
            raise InvariantError(f"model {self.artefact.reference} gave {found.shape} for {len(rows)} inputs")
        return up


def runtime_version() -> str:
    """Which ONNX Runtime computes here."""
    import onnxruntime

    return str(onnxruntime.__version__)


def _row_shape(card: Card) -> tuple[int, ...]:
    width = len(card.features)
    return (width,) if card.steps == 1 else (card.steps, width)
