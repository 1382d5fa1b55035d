"""`capstan ledger proof`: from the books to files that anybody can check."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from cli.main import main
from custody import Entry, Ledger, Posting, open_books
from runtime.database import Database


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as ended:
        main(["ledger", "proof", *arguments])
    return ended.value.code, capsys.readouterr().out


@pytest.fixture
def books(tmp_path: Path) -> str:
    database = open_books(Database.at(tmp_path / "books.db"))
    for user, raw in (("ann", 5), ("bob", 10**40), ("cid", 7)):
        legs = (Posting(f"user/{user}/available", "x/A", -raw), Posting("venue/x", "x/A", raw))
        Ledger(database, lambda: 1).post(Entry(user, "test", legs))
    return f"sqlite:///{tmp_path / 'books.db'}"


def test_a_build_is_proven_to_its_users_to_its_auditor_and_by_its_addresses(
    books: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "build"
    root = str(folder / "root.json")
    code, out = run(capsys, "build", str(folder), "--database", books, "--json")
    assert (code, json.loads(out)["assets"][0]["sum"]) == (0, str(10**40 + 12))
    assert (folder / "liabilities.json").stat().st_mode & 0o777 == 0o600
    assert run(capsys, "build", str(folder), "--database", books)[0] == 1  # A build is never overwritten.
    proofs = []
    for user in ("ann", "bob"):
        proofs += ["--proof", str(tmp_path / f"{user}.json")]
        assert run(capsys, "user", str(folder), user, "--out", str(tmp_path / f"{user}.json"))[0] == 0
    account = Account.from_key(bytes([7]) * 32)
    _, text = run(capsys, "message", str(folder), account.address)
    signature = account.sign_message(encode_defunct(text=text)).signature.to_0x_hex()
    assert run(capsys, "own", str(folder), "--signature", f"{account.address}={signature}")[0] == 0
    files = ["--ownership", str(folder / "ownership.json"), "--liabilities", str(folder / "liabilities.json")]
    code, out = run(capsys, "verify", root, *proofs, *files, "--json")
    assert code == 0
    assert json.loads(out) == {
        "ok": True,
        "users": [
            {"user": "ann", "balances": {"x/A": "5"}},
            {"user": "bob", "balances": {"x/A": str(10**40)}},
        ],
        "addresses": [account.address],
        "whole": True,
    }
    code, out = run(capsys, "verify", root, *proofs)
    assert "ann is in the published sums with 5 x/A" in out


def test_what_does_not_hold_is_told_with_its_file(
    books: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "build"
    run(capsys, "build", str(folder), "--database", books)
    run(capsys, "user", str(folder), "ann", "--out", str(tmp_path / "ann.json"))
    proof = json.loads((tmp_path / "ann.json").read_text())
    proof["balances"][0]["raw"] = "6"
    (tmp_path / "ann.json").write_text(json.dumps(proof))
    root = str(folder / "root.json")
    assert run(capsys, "verify", root, "--proof", str(tmp_path / "ann.json"))[0] == 1
    twice = ["--proof", str(tmp_path / "b.json")] * 2
    run(capsys, "user", str(folder), "bob", "--out", str(tmp_path / "b.json"))
    assert run(capsys, "verify", root, *twice[:2])[0] == 0
    assert run(capsys, "verify", root, *twice)[0] == 1  # One leaf, twice.
    assert run(capsys, "user", str(folder), "nobody")[0] == 1
    assert run(capsys, "verify", str(tmp_path / "none.json"))[0] == 1
