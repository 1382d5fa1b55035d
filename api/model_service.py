"""The model service: models over HTTP, each by its digest, the same bits as in process.

    GET  /v1/models                     what is served, and by which ONNX Runtime
    POST /v1/models/{digest}/predict    {"inputs": [[…]]} -> {"model": digest, "outputs": [p], "outside": [[names]]}

An input is one bar's features, or a sequence of bars' for models that read one. Inputs far outside the range of
training are refused by the feature's name; which lay outside at all is told with every output. It keeps no state.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from api.problems import answer_problems
from domain import InputError, Refused
from engine.models.drift import far_outside, outside
from engine.models.inference import LocalModel, runtime_version

INPUTS_MAX: Final = 64

Row = list[float]


class Inputs(BaseModel):
    """What the model is asked about."""

    model_config = ConfigDict(extra="forbid")

    inputs: list[Row] | list[list[Row]] = Field(min_length=1, max_length=INPUTS_MAX)


def create_model_app(models: Iterable[LocalModel], *, reach: float) -> FastAPI:
    """Build the application.

    Args:
        models: What is served.
        reach: An input that lies further outside its range of training than this many of its widths is refused.
    """
    served = {model.artefact.digest: model for model in models}
    app = FastAPI(title="Capstan models", version="1", docs_url=None, redoc_url=None)
    answer_problems(app)

    @app.get("/v1/health")
    async def health() -> dict[str, str]:
        """Whether this process answers."""
        return {"models": "ok"}

    @app.get("/v1/models")
    async def known() -> dict[str, Any]:
        """What is served."""
        return {"runtime": runtime_version(), "models": [_told(model) for model in served.values()]}

    # Not async: the computation runs on a thread, and other requests are answered meanwhile.
    @app.post("/v1/models/{digest}/predict")
    def predict(digest: str, body: Inputs) -> dict[str, Any]:
        """Give the probability of a rise for each input, computed one by one as in process."""
        model = served.get(digest)
        if model is None:
            raise InputError(f"no model {digest[:64]} is served here", hint="GET /v1/models names them")
        try:
            with np.errstate(over="ignore"):  # What is too large for the model is infinite, and refused as that.
                rows = [np.array(row, dtype=np.float32) for row in body.inputs]
        except ValueError as exc:
            raise InputError(f"an input is no table of numbers: {exc}") from exc
        outputs = []
        for row in rows:
            outputs.append(model.probability(row))
            if far := far_outside(model.card, row, reach):
                raise Refused(f"model {model.artefact.reference}: {far}", rule="drift")
        return {"model": digest, "outputs": outputs, "outside": [outside(model.card, row) for row in rows]}

    return app


def _told(model: LocalModel) -> dict[str, Any]:
    card = model.card
    return {
        "digest": model.artefact.digest,
        "name": card.name,
        "kind": card.kind,
        "steps": card.steps,
        "features": card.features,
        "period_minutes": card.period_minutes,
        "horizon_bars": card.horizon_bars,
        "ranges": {name: [bounds.low, bounds.high] for name, bounds in zip(card.features, card.ranges, strict=True)},
    }
