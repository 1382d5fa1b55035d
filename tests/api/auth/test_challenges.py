"""What is good once and soon over, on each database: shown twice or late it is nothing."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from api.auth.challenges import Challenges
from runtime.database import Database


class Noon:
    def __init__(self):
        self.ns = 10**18

    def now_ns(self):
        return self.ns


@pytest.fixture
def noon():
    return Noon()


@pytest.fixture
def database(database_url):
    database = Database(database_url)
    yield database
    database.dispose()


def test_each_of_several_is_taken_once_by_its_word_alone(database, noon):
    challenges = Challenges(noon.now_ns)
    with database.transaction() as session:
        one, other = challenges.issue_among(session, "kind", [({"n": 1}, "usr_a"), ([2], None)], ttl_s=30)
        chosen = challenges.issue(session, "kind", "three", ttl_s=30, word="chosen")
    assert chosen == "chosen"
    with database.transaction() as session:
        assert challenges.take(session, "another kind", one) is None
        assert challenges.take_among(session, "kind", [other, one, "made up", one]) == [[2], {"n": 1}, None, None]
        assert challenges.take(session, "kind", one) is None
        assert challenges.take(session, "kind", "chosen") == "three"


def test_what_is_over_is_nothing_and_gone(database, noon):
    challenges = Challenges(noon.now_ns)
    with database.transaction() as session:
        word, forgotten, kept = (challenges.issue(session, "kind", n, ttl_s=30, user=f"usr_{n}") for n in range(3))
        challenges.forget(session, "usr_1")
        assert challenges.take(session, "kind", forgotten) is None
    noon.ns += 30 * 10**9
    with database.transaction() as session:
        assert challenges.take(session, "kind", kept) == 2
    noon.ns += 1
    with database.transaction() as session:
        assert challenges.take(session, "kind", word) is None
        assert session.execute(text("SELECT COUNT(*) FROM api_challenges")).scalar_one() == 0
