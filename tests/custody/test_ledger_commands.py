"""`capstan ledger`: it reads books, and makes none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from cli.main import main
from custody import Entry, Ledger, Posting
from tests.databases import books_at


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as ended:
        main(["ledger", *arguments])
    return ended.value.code, capsys.readouterr().out


def test_sound_books_verify_and_altered_ones_do_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    database = books_at(tmp_path / "books.db")
    big = 10**40
    Ledger(database, lambda: 1).post(
        Entry("k", "test", (Posting("venue/v", "x/A", big), Posting("equity/opening", "x/A", -big)))
    )
    url = ["--database", f"sqlite:///{tmp_path / 'books.db'}", "--json"]
    code, out = run(capsys, "verify", *url)
    assert (code, json.loads(out)["sound"], json.loads(out)["entries"]) == (0, True, 1)
    code, out = run(capsys, "balances", "--prefix", "venue", *url)
    assert (code, json.loads(out)) == (0, {"venue/v": {"x/A": str(big)}})
    with database.transaction() as session:
        session.execute(sa.text("DROP TRIGGER ledger_postings_no_update"))
        session.execute(sa.text("UPDATE ledger_postings SET raw = '1' WHERE line = 0"))
    code, out = run(capsys, "verify", *url)
    assert (code, json.loads(out)["sound"]) == (1, False)
    assert len(json.loads(out)["problems"]) >= 2


def test_looking_for_books_that_are_not_there_creates_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _ = run(capsys, "verify", "--database", f"sqlite:///{tmp_path / 'none.db'}")
    assert code == 1
    assert not (tmp_path / "none.db").exists()
    assert run(capsys, "verify")[0] == 1
