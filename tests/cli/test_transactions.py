"""`capstan transactions`: what is listed is what is recorded, and an operator's word is a wish, audited."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sqlalchemy import text

from cli.main import main
from custody import Ledger, open_books
from custody.transactions.lifecycle import Step
from custody.transactions.outbox import Outbox
from runtime import SystemClock
from runtime.database import Database
from tests.custody.test_outbox import CHAIN, SENDER, plan


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with two transactions: one screened, one refused."""
    address = f"sqlite:///{tmp_path / 'books.db'}"
    database = open_books(Database(address))
    now_ns = SystemClock().now_ns
    outbox = Outbox(
        database, Ledger(database, now_ns), chain_id=CHAIN, sender=SENDER, now_ns=now_ns, fence=lambda _session: None
    )
    for number in (1, 2):
        outbox.record(plan(number, 5), initiator="erin", vault="hot")
    first, second = outbox.working()
    with outbox.transaction() as session:
        outbox.step(session, first, Step.SCREENED)
        outbox.end(session, second, Step.DECLINED, "amount", "too much")
    database.dispose()
    return address


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["transactions", *arguments])
    captured = capsys.readouterr()
    return ended.value.code, captured.out, captured.err


def test_those_on_their_way_are_listed_and_the_others_when_asked_for(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "list", "--database", url, "--json")
    (line,) = json.loads(out)
    assert (code, line["intent_id"], line["state"], line["initiator"]) == (0, "i1", "screened", "erin")
    code, out, _ = run(capsys, "list", "--database", url, "--all", "--json")
    assert [line["intent_id"] for line in json.loads(out)] == ["i2", "i1"]
    code, out, _ = run(capsys, "list", "--database", url, "--all")
    assert "refused" in out


def test_every_step_is_shown(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "show", "i2", "--database", url, "--json")
    assert code == 0
    events = json.loads(out)
    assert [(event["step"], event["state"]) for event in events] == [("created", "created"), ("declined", "refused")]
    assert events[1]["detail"] == {"rule": "amount", "reason": "too much"}
    _, out, _ = run(capsys, "show", "i2", "--database", url)
    assert "too much" in out


@pytest.mark.parametrize("wish", ["cancel", "hold", "release", "speed-up"])
def test_a_wish_is_recorded_and_audited_and_changes_no_state(
    url: str, capsys: pytest.CaptureFixture[str], wish: str
) -> None:
    code, _, err = run(capsys, wish, "i1", "--by", "ann", "--database", url)
    assert code in (0, None), err
    _, out, _ = run(capsys, "list", "--database", url, "--json")
    assert [(line["wish"], line["state"]) for line in json.loads(out)] == [(wish, "screened")]
    with Database(url).snapshot() as session:
        row = session.execute(text("SELECT subject, detail FROM audit_log ORDER BY sequence DESC LIMIT 1")).one()
    assert row.subject == "transaction/i1"
    assert json.loads(row.detail) == {"wish": wish, "by": "ann"}


def test_what_is_over_or_unknown_is_an_error(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    for intent_id, words in (("i2", "too late"), ("nobody", "no transaction nobody")):
        code, out, err = run(capsys, "cancel", intent_id, "--by", "ann", "--database", url)
        assert code not in (0, None)
        assert words in err
        assert not out
