"""Settings refuse what they do not know, and never repeat what might be a secret."""

from __future__ import annotations

import pytest

from domain import InputError
from runtime import Secret, SecretRef, SettingsBase, SettingsPart
from runtime.secrets import resolve_secret


class Section(SettingsPart):
    port: int = 1
    key: SecretRef = "env:KEY"


class Tree(SettingsBase):
    section: Section = Section()


def load(tmp_path, text, environ=None):
    path = tmp_path / "capstan.toml"
    path.write_text(text)
    return Tree.load(path, environ or {})


def test_environment_lies_over_the_file(tmp_path):
    assert load(tmp_path, "[section]\nport = 2\n", {"CAPSTAN__SECTION__PORT": "3"}).section.port == 3


@pytest.mark.parametrize(
    ("text", "environ", "names"),
    [
        ("[section]\nprot = 2\n", {}, "section.prot"),
        ("sektion = 1\n", {}, "sektion"),
        ("[section]\nport = 'x'\n", {}, "section.port"),
        ("", {"CAPSTAN__SECTION__PROT": "3"}, "section.prot"),
        ("", {"CAPSTAN__SECTION__PORT__DEEPER": "3"}, "section.port"),
        ("port = = 3", {}, "not TOML"),
    ],
)
def test_bad_settings_are_named(tmp_path, text, environ, names):
    with pytest.raises(InputError, match=names):
        load(tmp_path, text, environ)


def test_missing_file_is_a_clear_error(tmp_path):
    with pytest.raises(InputError, match="cannot read settings"):
        Tree.load(tmp_path / "absent.toml", {})


def test_a_secret_pasted_instead_of_a_reference_is_not_repeated(tmp_path):
    with pytest.raises(InputError) as caught:
        load(tmp_path, "[section]\nkey = 'hunter2'\n")
    assert "hunter2" not in str(caught.value)
    assert "reference" in str(caught.value)


def test_secrets_resolve_by_reference(tmp_path, monkeypatch):
    (tmp_path / "key").write_text("s3cret\n")
    assert resolve_secret("file:key", base_dir=tmp_path).reveal() == "s3cret"
    monkeypatch.setenv("THE_KEY", "other")
    assert resolve_secret("env:THE_KEY").reveal() == "other"
    for bad in ("file:absent", "env:ABSENT_KEY", "literal-test:x", "plain"):
        with pytest.raises(InputError):
            resolve_secret(bad, base_dir=tmp_path)


def test_a_secret_does_not_show_itself():
    import pickle

    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {[secret]} {secret:>20}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
