"""`capstan wallets`: what it prints, what it writes, what it never shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chain.devnet import TEST_ADDRESSES, TEST_MNEMONIC
from cli.main import main


@pytest.fixture
def password(tmp_path: Path) -> str:
    (tmp_path / "password").write_text("pw")
    return f"file:{tmp_path / 'password'}"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any, str]:
    """Run a command; gives its exit code, its JSON and its standard error."""
    with pytest.raises(SystemExit) as ended:
        main(["wallets", *arguments])
    captured = capsys.readouterr()
    code = ended.value.code
    assert isinstance(code, int)
    return code, json.loads(captured.out) if captured.out else None, captured.err


def test_a_created_wallet_is_restored_from_its_phrase_alone(
    tmp_path: Path, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    phrase, first, second = tmp_path / "phrase", tmp_path / "a.json", tmp_path / "b.json"
    code, made, _ = run(
        capsys, "create", "--out", str(first), "--password-ref", password, "--mnemonic-out", str(phrase), "--json"
    )
    assert code == 0
    assert "mnemonic" not in made
    assert phrase.stat().st_mode & 0o777 == 0o600
    reference = ["--mnemonic-ref", f"file:{phrase}", "--json"]
    _, restored, _ = run(capsys, "import", "--out", str(second), "--password-ref", password, *reference)
    _, derived, _ = run(capsys, "derive", "--count", "2", *reference)
    _, shown, _ = run(capsys, "show", str(second), "--password-ref", password, "--json")
    assert made["address"] == restored["address"] == shown["address"] == derived[0]["address"]


def test_a_phrase_nobody_would_see_is_not_made(
    tmp_path: Path, password: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, "create", "--out", str(tmp_path / "a.json"), "--password-ref", password)
    assert (code, "only backup" in error) == (1, True)
    assert not (tmp_path / "a.json").exists()


def test_the_public_test_phrase_gives_a_marked_key(
    tmp_path: Path, password: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PHRASE", TEST_MNEMONIC)
    out = str(tmp_path / "a.json")
    code, made, error = run(
        capsys, "import", "--out", out, "--password-ref", password, "--mnemonic-ref", "env:PHRASE", "--json"
    )
    assert (code, made["address"], made["test_key"]) == (0, TEST_ADDRESSES[0], True)
    assert "junk" not in error + json.dumps(made)
    code, _, error = run(capsys, "import", "--out", out, "--password-ref", password, "--mnemonic-ref", "env:PHRASE")
    assert (code, "not overwritten" in error) == (1, True)


@pytest.mark.parametrize("secret", ["", "not a phrase at all", "0xzz", "ab" * 31])
@pytest.mark.parametrize("option", ["--mnemonic-ref", "--private-key-ref"])
def test_secrets_that_are_none_end_in_one_line_that_does_not_repeat_them(
    tmp_path: Path, password: str, capsys: pytest.CaptureFixture[str], secret: str, option: str
) -> None:
    (tmp_path / "secret").write_text(secret)
    out = tmp_path / "a.json"
    code, _, error = run(
        capsys, "import", "--out", str(out), "--password-ref", password, option, f"file:{tmp_path / 'secret'}"
    )
    assert code == 1
    assert error.startswith("error: ")
    assert not secret or secret not in error
    assert not out.exists()


def test_a_password_on_the_command_line_is_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(capsys, "create", "--out", str(tmp_path / "a"), "--password-ref", "hunter2", "--show-mnemonic")
    assert code == 1
    assert "hunter2" not in error


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--committee", "coordinator"], "belong together"),
        (["--mpc-wallet", "treasury"], "belong together"),
        (["--mpc-presign", "1"], "belong together"),
        (["--committee", "nowhere", "--mpc-wallet", "a", "--mpc-wallet", "a"], "twice"),
        (["--committee", "nowhere", "--mpc-wallet", "a"], "--journal is needed"),
    ],
)
def test_mpc_options_that_do_not_fit_are_explained(
    capsys: pytest.CaptureFixture[str], options: list[str], word: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["signer", "serve", "--socket", "s.sock", *options])
    assert ended.value.code == 1
    assert word in capsys.readouterr().err
