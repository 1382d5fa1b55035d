"""LSTMs: fitted by PyTorch on one thread, exported with the scaling of their inputs in the graph.

The network reads the features of the last bars, oldest first, scaled by mean and deviation of training and cut at eight
deviations, and gives the probability of a rise from its last state.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from domain import InputError
from engine.models.dataset import Samples
from engine.models.features import Floats
from engine.models.settings import LstmSettings

_OPSET: Final = 17
_CUT: Final = 8.0


def fit_lstm(
    settings: LstmSettings,
    samples: Samples,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Any:
    """Fit a network; the same samples and seed give the same one on the same machine.

    Args:
        settings: Its size and how it learns.
        samples: Inputs of shape (n, steps, features).
        seed: Of the first weights, the order of the batches and dropout.
        progress: Told epochs done and in all.

    Raises:
        InputError: PyTorch is not installed, or the samples only ever rise or fall.
    """
    torch = _torch()
    if len(set(samples.y.tolist())) < 2:
        raise InputError("every sample has the same label: there is nothing to tell apart")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return _fit(torch, settings, samples, progress)
    finally:
        torch.set_num_threads(threads)


def _fit(torch: Any, settings: LstmSettings, samples: Samples, progress: Callable[[int, int], None]) -> Any:
    x, y = torch.from_numpy(samples.x), torch.from_numpy(samples.y.astype(np.float32))
    network = _network(torch, settings, samples)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    loss_of = torch.nn.BCEWithLogitsLoss()
    for epoch in range(settings.epochs):
        for rows in torch.randperm(len(x)).split(settings.batch):
            optimizer.zero_grad()
            loss = loss_of(network.logit(x[rows]), y[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
        progress(epoch + 1, settings.epochs)
    return network.eval()


def lstm_probabilities(network: Any, samples: Samples) -> Floats:
    """Give what PyTorch itself makes of samples: the measure of the exported file."""
    torch = _torch()
    with torch.no_grad():
        return np.asarray(network(torch.from_numpy(samples.x)).numpy(), dtype=np.float64)


def export_lstm(network: Any, steps: int, width: int) -> bytes:
    """Write a network as ONNX: input (n, steps, width) of float32, output (n,)."""
    torch = _torch()
    file = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter that needs no further package is called old, and fears for initial states, which are zero here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, steps, width),),
            file,
            dynamo=False,
            opset_version=_OPSET,
            input_names=["x"],
            output_names=["probability"],
            dynamic_axes={"x": {0: "n"}, "probability": {0: "n"}},
        )
    return file.getvalue()


def _network(torch: Any, settings: LstmSettings, samples: Samples) -> Any:
    flat = samples.x.reshape(-1, samples.x.shape[-1]).astype(np.float64)
    deviation = flat.std(axis=0)
    mean = torch.tensor(flat.mean(axis=0), dtype=torch.float32)
    scale = torch.tensor(np.where(deviation > 0.0, deviation, 1.0), dtype=torch.float32)

    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", mean)
            self.register_buffer("scale", scale)
            self.lstm = torch.nn.LSTM(samples.x.shape[-1], settings.hidden, batch_first=True)
            self.dropout = torch.nn.Dropout(settings.dropout)
            self.head = torch.nn.Linear(settings.hidden, 1)

        def logit(self, x: Any) -> Any:
            scaled = torch.clamp((x - self.mean) / self.scale, -_CUT, _CUT)
            states, _ = self.lstm(scaled)
            return self.head(self.dropout(states[:, -1]))[:, 0]

        def forward(self, x: Any) -> Any:
            return torch.sigmoid(self.logit(x))

    return Network()


def _torch() -> Any:
    try:
        import torch
    except ImportError as exc:
        raise InputError(
            "an LSTM is trained with PyTorch, which is not installed", hint="uv sync --extra torch"
        ) from exc
    return torch
