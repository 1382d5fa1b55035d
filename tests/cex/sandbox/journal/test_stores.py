"""Both stores: what was appended is there, what failed is not, and nobody else is let in."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from cex.sandbox.journal import open_store
from cex.sandbox.journal import store as store_module
from cex.sandbox.journal.records import pack
from cex.sandbox.journal.store import Store
from domain import InputError, VenueUnavailable

_SERVER = os.environ.get("CAPSTAN_TEST_POSTGRES_URL", "").replace("postgresql+psycopg", "postgresql")
Open = Callable[[], Store]


@pytest.fixture(params=["sqlite", "postgresql"])
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """Open the same journal, again and again."""
    if request.param == "sqlite":
        yield lambda: open_store(str(tmp_path / "journal"))
        return
    if not _SERVER:
        pytest.skip("CAPSTAN_TEST_POSTGRES_URL is not set")
    name = f"sandbox_{uuid4().hex}"
    with psycopg.connect(_SERVER, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
        yield lambda: open_store(_SERVER.rpartition("/")[0] + f"/{name}")
        server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def test_the_last_value_under_each_key_counts(reopen: Open) -> None:
    store = reopen()
    assert store.load() == {}
    store.append(pack([("a", b"1"), ("b", b"1")]))
    store.append(pack([("b", b"2"), ("c", b"\x00\xff")]))
    assert store.load() == {"a": b"1", "b": b"2", "c": b"\x00\xff"}
    store.close()
    store = reopen()
    assert store.load() == {"a": b"1", "b": b"2", "c": b"\x00\xff"}
    store.replace([("z", b"9")])
    store.append(pack([("a", b"3")]))
    store.close()
    store = reopen()
    assert store.load() == {"z": b"9", "a": b"3"}
    store.close()


def test_merging_changes_what_is_stored_and_not_what_is_read(reopen: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "STEP_BYTES", 200)
    store = reopen()
    expected = {}
    for number in range(50):
        entries = [(f"key {number % 7}", b"%d" % number), (f"once {number}", b"x")]
        store.append(pack(entries))
        expected.update(entries)
        if number % 3:
            held = store.group_bytes
            store.merge_step()
            assert store.group_bytes < held
    assert store.load() == expected
    while store.group_bytes:
        store.merge_step()
    assert store.load() == expected
    store.merge_step()
    store.close()
    store = reopen()
    assert store.load() == expected
    store.close()


def test_two_sandboxes_do_not_share_a_journal(reopen: Open) -> None:
    store = reopen()
    with pytest.raises(InputError, match="in use"):
        reopen()
    store.append(pack([("a", b"1")]))
    store.close()
    store = reopen()
    assert store.load() == {"a": b"1"}
    store.close()


def test_a_replacement_that_fails_half_way_leaves_everything_as_it_was(reopen: Open) -> None:
    store = reopen()
    store.append(pack([("a", b"1")]))

    def half() -> Iterator[tuple[str, bytes]]:
        yield "b", b"2"
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError):
        store.replace(half())
    assert store.load() == {"a": b"1"}
    store.close()


def test_a_file_that_is_no_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_text("a letter to my bank, in which I ask for more money than I should" * 20)
    with pytest.raises(InputError, match="journal"):
        open_store(str(tmp_path))


def test_a_journal_of_another_format_is_refused(tmp_path: Path) -> None:
    open_store(str(tmp_path)).close()
    with sqlite3.connect(tmp_path / "journal.sqlite") as db:
        db.execute("UPDATE format SET version = 99")
    db.close()
    with pytest.raises(InputError, match="format 99"):
        open_store(str(tmp_path))


@pytest.mark.parametrize("where", ["mysql://host/name", "sqlite://relative"])
def test_other_databases_are_refused(where: str) -> None:
    with pytest.raises(InputError, match="no database for it"):
        open_store(where)


def test_a_database_that_does_not_answer_is_told_without_its_password() -> None:
    with pytest.raises(VenueUnavailable) as told:
        open_store("postgresql://someone:s3cret@127.0.0.1:1/none")
    assert "s3cret" not in str(told.value)


@pytest.mark.parametrize("password", ["s3%zzcret", "s3 cret", "s3@cret", "s3:cret@1x:2"])
def test_an_address_that_cannot_be_read_is_not_repeated(password: str) -> None:
    with pytest.raises((InputError, VenueUnavailable)) as told:
        open_store(f"postgresql://someone:{password}@127.0.0.1:1/none")
    assert "cret" not in str(told.value)
