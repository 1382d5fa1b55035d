"""A trained model on disk: `NAME/DIGEST/model.onnx` and `card.json`, nothing else.

The digest is the SHA-256 over both files, and it is the folder's name: a model is what its bytes are, and one that was
changed is refused. The card holds no time and no machine, so the same settings and data make the same digest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from domain import InputError
from engine.models import features

FORMAT: Final = 1
DIGEST_SHOWN: Final = 16
"""Hexadecimal digits of the digest in folder names and texts."""


class FeatureRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Between which values a feature lay while the model was trained."""

    low: float
    high: float


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one has to know of a model to use it."""

    format: int = FORMAT
    name: str
    kind: str
    features: tuple[str, ...]
    features_digest: str
    steps: int
    """Bars whose features it reads."""
    period_minutes: int
    horizon_bars: int
    instruments: tuple[str, ...]
    trained_from: str
    trained_until: str
    tested_until: str
    base_rate: float
    """Share of rises while training."""
    ranges: tuple[FeatureRange, ...]
    """One a feature."""
    skill: dict[str, Any]
    """Measures of cross-validation (`cv`) and of what was never trained on (`test`)."""
    settings: dict[str, Any]
    """What it was trained with, data by instrument and digest; no paths."""
    runtime: str
    """The version of ONNX Runtime that it was checked with."""


@dataclass(frozen=True, slots=True)
class Artefact:
    """A model that was read and is whole."""

    card: Card
    onnx: bytes
    digest: str

    @property
    def reference(self) -> str:
        """`name/digest`, as people write it."""
        return f"{self.card.name}/{self.digest[:DIGEST_SHOWN]}"


def make_artefact(card: Card, onnx: bytes) -> Artefact:
    """Name a model by its bytes."""
    return Artefact(card, onnx, _digest(_encode(card), onnx))


def save_artefact(artefact: Artefact, models: Path) -> Path:
    """Write a model under its name and digest; one that is there already is the same one.

    Returns:
        Its folder.
    """
    folder = models / artefact.card.name / artefact.digest[:DIGEST_SHOWN]
    folder.mkdir(parents=True, exist_ok=True)
    # The card is what makes a model: written last, so that a folder is whole or no model.
    for name, content in (("model.onnx", artefact.onnx), ("card.json", _encode(artefact.card))):
        part = folder / f".{name}.{os.getpid()}"
        part.write_bytes(content)
        part.replace(folder / name)
    return folder


def load_artefact(folder: Path) -> Artefact:
    """Read a model and check that it is what its folder's name says.

    Raises:
        InputError: No model, one that was changed, or one of features that this version does not compute.
    """
    try:
        encoded, onnx = (folder / "card.json").read_bytes(), (folder / "model.onnx").read_bytes()
    except OSError as exc:
        raise InputError(
            f"no model at {folder}: {exc.strerror}", hint="`capstan models list` shows what there is"
        ) from exc
    try:
        card = msgspec.json.decode(encoded, type=Card)
    except msgspec.DecodeError as exc:
        raise InputError(f"{folder}/card.json is no model's card: {exc}") from exc
    digest = _digest(encoded, onnx)
    if folder.resolve().name != digest[:DIGEST_SHOWN]:
        raise InputError(
            f"the model at {folder} is {digest[:DIGEST_SHOWN]}: it was changed after it was trained",
            hint="take it from where it came from again, or train it",
        )
    if card.format != FORMAT:
        raise InputError(f"{folder}: expected a card of format {FORMAT}, found {card.format}")
    if (card.features, card.features_digest) != (features.NAMES, features.DIGEST):
        raise InputError(
            f"{folder}: the model was trained on features {card.features_digest}, this version computes "
            f"{features.DIGEST}",
            hint="train it again",
        )
    return Artefact(card, onnx, digest)


def list_artefacts(models: Path) -> Iterator[tuple[Path, Artefact | InputError]]:
    """Give every model's folder in order of name and digest, with the model or what is wrong with it."""
    for card in sorted(models.glob("*/*/card.json")):
        try:
            yield card.parent, load_artefact(card.parent)
        except InputError as exc:
            yield card.parent, exc


def _encode(card: Card) -> bytes:
    return msgspec.json.format(msgspec.json.encode(card, order="deterministic"), indent=1)


def _digest(card: bytes, onnx: bytes) -> str:
    # Lengths first: the same bytes split at another place are another model.
    head = f"capstan-model {len(card)} {len(onnx)}\n".encode()
    return hashlib.sha256(head + card + onnx).hexdigest()
