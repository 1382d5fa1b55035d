"""`capstan custody session-keys`: from a hot key's file to a grant, and its end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import capstan_native as native
import msgspec
import pytest

from cli.main import main
from custody import open_books
from runtime.database import Database
from tests.support.hot import SECP_NAME, SECP_SECRET, terms


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, Any]:
    with pytest.raises(SystemExit) as ended:
        main(["custody", "session-keys", *arguments, "--json"])
    out = capsys.readouterr().out
    return ended.value.code, json.loads(out) if out.strip() else None


@pytest.fixture
def books(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'books.db'}"
    open_books(Database(url)).dispose()
    return url


def test_a_key_is_named_granted_listed_and_ended(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, books: str
) -> None:
    (tmp_path / "hot.key").write_text(SECP_SECRET + "\n")
    assert run(capsys, "name", "secp256k1", f"file:{tmp_path / 'hot.key'}") == (0, {"key": SECP_NAME})
    code, made = run(capsys, "create-authority", str(tmp_path / "authority.key"))
    assert (code, len(made["authority"])) == (0, 64)
    assert (tmp_path / "authority.key").stat().st_mode & 0o077 == 0
    assert run(capsys, "create-authority", str(tmp_path / "authority.key"))[0] == 1

    far = 4_000_000_000 * 10**9
    (tmp_path / "terms.json").write_bytes(msgspec.json.encode(terms(from_ns=0, until_ns=far)))
    authority = f"file:{tmp_path / 'authority.key'}"
    grant = ("issue", str(tmp_path / "terms.json"), "--authority", authority, "--operator", "ann", "--database", books)
    code, granted = run(capsys, *grant, "--yes")
    assert (code, granted["id"], granted["terms"]["order_max"]) == (0, 1, str(1_000 * 10**8))
    assert run(capsys, *grant, "--yes")[0] == 1, "it has a grant already"

    code, revoked = run(capsys, "revoke", "1", "--operator", "bob", "--reason", "host was lost", "--database", books)
    assert (code, revoked["revoked"]) == (0, "operator:bob: host was lost")
    code, found = run(capsys, "list", "--database", books)
    assert (code, [item["revoked"] for item in found]) == (0, ["operator:bob: host was lost"])


def test_a_grant_is_shown_and_asked_about(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, books: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.key").write_text("07" * 32)
    (tmp_path / "terms.json").write_bytes(msgspec.json.encode(terms(from_ns=0, until_ns=4_000_000_000 * 10**9)))
    options = ["--authority", f"file:{tmp_path / 'a.key'}", "--operator", "ann", "--database", books]
    monkeypatch.setattr("typer.confirm", lambda *_args, **_kwargs: (_ for _ in ()).throw(SystemExit(1)))
    with pytest.raises(SystemExit) as ended:
        main(["custody", "session-keys", "issue", str(tmp_path / "terms.json"), *options])
    assert ended.value.code == 1
    shown = capsys.readouterr().err
    assert SECP_NAME in shown
    assert "100000000000 at once" in shown
    assert run(capsys, "list", "--database", books) == (0, [])


def test_what_are_no_terms_and_no_keys_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path, books: str) -> None:
    (tmp_path / "a.key").write_text("07" * 32)
    (tmp_path / "terms.json").write_text('{"key": "x", "unlimited": true}')
    authority = ("--authority", f"file:{tmp_path / 'a.key'}", "--operator", "ann", "--database", books, "--yes")
    assert run(capsys, "issue", str(tmp_path / "terms.json"), *authority)[0] == 1
    assert run(capsys, "issue", str(tmp_path / "absent.json"), *authority)[0] == 1
    assert run(capsys, "name", "rsa", f"file:{tmp_path / 'a.key'}")[0] == 1
    assert run(capsys, "revoke", "9", "--operator", "ann", "--reason", "x", "--database", books)[0] == 1
    assert native.HotKey("ed25519", "07" * 32).name.startswith("ed25519:")
