"""A model is what its bytes are: what was changed is refused, and so is a model of other features."""

from __future__ import annotations

import msgspec
import pytest

from domain import InputError
from engine.models.artefact import list_artefacts, load_artefact, make_artefact, save_artefact
from tests.engine.models.trained import forest


@pytest.fixture
def saved(tmp_path):
    return save_artefact(forest().artefact, tmp_path)


def test_a_model_comes_back_as_it_was(saved):
    artefact = forest().artefact
    assert load_artefact(saved) == artefact
    assert saved.name == artefact.digest[:16]
    assert saved.parent.name == artefact.card.name
    assert not [path for path in saved.iterdir() if path.name.startswith(".")]
    assert save_artefact(artefact, saved.parent.parent) == saved


@pytest.mark.parametrize("name", ["model.onnx", "card.json"])
def test_a_changed_byte_is_refused(saved, name):
    path = saved / name
    path.write_bytes(path.read_bytes().replace(b"tried", b"fried", 1))
    with pytest.raises(InputError, match="changed after it was trained"):
        load_artefact(saved)


def test_a_model_of_other_features_is_refused(tmp_path):
    artefact = forest().artefact
    other = msgspec.structs.replace(artefact.card, features_digest="0" * 16)
    with pytest.raises(InputError, match="train"):
        load_artefact(save_artefact(make_artefact(other, artefact.onnx), tmp_path))


def test_a_listing_tells_the_whole_from_the_damaged(saved):
    models = saved.parent.parent
    assert [(path, found.digest) for path, found in list_artefacts(models)] == [(saved, forest().artefact.digest)]
    (saved / "card.json").write_bytes(b"{}")
    ((_, problem),) = list_artefacts(models)
    assert isinstance(problem, InputError)


def test_no_model_is_told_with_where_to_look(tmp_path):
    with pytest.raises(InputError, match="no model at") as caught:
        load_artefact(tmp_path / "none")
    assert "capstan models list" in caught.value.hint
