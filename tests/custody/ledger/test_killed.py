"""`kill -9` while many are booking: what was answered is there, what was not is there wholly or not at all."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

from sqlmodel import select

from custody.ledger import Ledger
from custody.ledger.tables import EntryRow
from runtime.database import Database

ROOT = Path(__file__).resolve().parents[3]
SEED = 20261125


def test_entries_that_were_answered_survive_a_kill_and_the_books_are_sound(
    database: Database, database_url: str
) -> None:
    chance = random.Random(SEED)
    answered: set[str] = set()
    for run in range(4):
        line = [sys.executable, "-m", "tests.custody.ledger.poster", database_url, str(run)]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, cwd=ROOT) as poster:
            assert poster.stdout is not None
            for _ in range(chance.randint(1, 150)):
                answered.add(poster.stdout.readline().strip())
            poster.kill()
            # What it had said before it died counts too; the last line may be torn.
            answered.update(said.strip() for said in poster.stdout if said.endswith("\n"))
        assert "" not in answered, "the poster ended by itself"
    with database.snapshot() as session:
        booked = set(session.exec(select(EntryRow.key)))
    assert answered <= booked
    ledger = Ledger(database, lambda: 1)
    assert ledger.verify().is_sound
    assert ledger.trial_balance() == {"x/A": 0}
