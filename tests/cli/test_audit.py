"""`capstan audit` from a key to a log that somebody cut."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from cli.main import main
from custody import open_books
from custody.audit import AuditLog
from runtime.database import Database


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as ended:
        main(["audit", *arguments])
    return ended.value.code, capsys.readouterr().out


@pytest.fixture
def books(tmp_path: Path) -> Database:
    database = open_books(Database.at(tmp_path / "books.db"))
    log = AuditLog(database, lambda: 1_700_000_000_000_000_000)
    for number in range(4):
        with database.transaction() as session:
            log.append(session, ("freeze.imposed", "key.created")[number % 2], f"x/{number}", {"n": number})
    return database


def test_a_log_is_signed_exported_and_its_missing_end_is_noticed(
    books: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = ["--database", f"sqlite:///{tmp_path / 'books.db'}", "--json"]
    away = tmp_path / "away"
    away.mkdir()
    code, out = run(capsys, "create-key", str(tmp_path / "audit.key"), "--json")
    key = json.loads(out)["key"]
    assert code == 0
    assert (tmp_path / "audit.key").stat().st_mode & 0o777 == 0o600
    assert run(capsys, "create-key", str(tmp_path / "audit.key"))[0] == 1  # It is never overwritten.
    signing = ["--key-ref", f"file:{tmp_path / 'audit.key'}", "--directory", str(away)]
    code, out = run(capsys, "checkpoint", *signing, *url)
    assert (code, json.loads(out)["count"]) == (0, 4)
    assert json.loads(run(capsys, "checkpoint", *signing, *url)[1])["count"] is None
    code, out = run(capsys, "verify", "--checkpoints", str(away), "--key", key, *url)
    assert code == 0
    assert json.loads(out) == {
        "sound": True,
        "records": 4,
        "checkpoints": 1,
        "covered": 4,
        "keys": [key],
        "first_bad": None,
        "problems": [],
    }
    with books.transaction() as session:
        for table, condition in (("audit_log", "sequence > 2"), ("audit_checkpoints", "true")):
            session.execute(sa.text(f"DROP TRIGGER {table}_no_delete"))
            session.execute(sa.text(f"DELETE FROM {table} WHERE {condition}"))
    assert run(capsys, "verify", *url)[0] == 0
    code, out = run(capsys, "verify", "--checkpoints", str(away), "--key", key, *url)
    assert (code, json.loads(out)["first_bad"], json.loads(out)["records"]) == (1, 3, 2)
    code, out = run(capsys, "verify", "--checkpoints", str(away), *url[:2])
    assert code == 1
    assert "first bad record: 3" in out


def test_records_are_listed_by_kind_and_subject(
    books: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def listed(*options: str) -> list[int]:
        url = ("--database", f"sqlite:///{tmp_path / 'books.db'}", "--json")
        return [json.loads(line)["sequence"] for line in run(capsys, "list", *options, *url)[1].splitlines()]

    assert listed() == [1, 2, 3, 4]
    assert listed("--kind", "freeze.") == listed("--kind", "freeze.imposed") == [1, 3]
    assert listed("--kind", "freeze") == []
    assert listed("--subject", "x/3") == [4]
    assert listed("--after", "1", "--limit", "2") == [2, 3]
    _, out = run(capsys, "list", "--database", f"sqlite:///{tmp_path / 'books.db'}", "--limit", "1")
    assert out.split() == ["1", "2023-11-14T22:13:20.000+00:00", "freeze.imposed", "x/0", '{"n":0}']
