"""Archives open for whom they are meant, whole or not at all; what is put back is safe before it is used."""

from __future__ import annotations

import os
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custody import Ledger, open_books
from custody.backup import (
    Manifest,
    Recipient,
    Role,
    Zone,
    create_archive,
    generate_identity,
    restore_archive,
    restore_postgresql,
    signer_text,
    verify_archive,
    zone_files,
)
from custody.backup.sealed import Lock
from custody.freeze import standing
from custody.ledger import Entry, Posting
from domain import ChainId, InputError, Refused, VenueUnavailable
from runtime import Secret
from runtime.database import Database
from wallets import KeySigner, SigningJournal, TransactionToSign
from wallets.mpc.store import PartyStore, StoredShare

SIGNING = Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\x01")
SIGNER = signer_text(SIGNING.public_key())
IDENTITY, RECIPIENT = generate_identity()
KEY = KeySigner(bytes(31) + b"\x07", is_test_key=True)
TX = TransactionToSign(
    chain_id=ChainId(1337),
    nonce=0,
    to=KEY.address,
    value_wei=1,
    gas_limit=21_000,
    max_fee_per_gas_wei=10,
    max_priority_fee_per_gas_wei=1,
)


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A small installation: settings, books, a signer's and a cosigner's files, and what no backup takes."""
    root = tmp_path / "house"
    (root / "party-1").mkdir(parents=True)
    (root / "logs").mkdir()
    (root / "capstan.toml").write_text("mode = 'live'\n")
    (root / "keystore.json").write_text("{}")
    (root / "logs" / "x.log").write_text("noise")
    (root / "engine.sock").write_text("")
    database = open_books(Database.at(root / "capstan.db"))
    Ledger(database, lambda: 1).post(entry(1))
    database.dispose()
    with SigningJournal(root / "signer-journal.db", now_ns=lambda: 1) as journal:
        journal.record(KEY.address, TX, lambda _spent: {})
    with PartyStore(root / "party-1" / "party.db", now_ns=lambda: 1) as store:
        store.add_pending(StoredShare("w", 1, KEY.address, False, b"active"))
        store.activate("w", 1)
        store.add_pending(StoredShare("w", 2, KEY.address, False, b"pending"))
        store.begin_session(b"begun")
    return root


def entry(number: int) -> Entry:
    return Entry(f"e/{number}", "test", (Posting("venue/a", "a/X", 1), Posting("venue/b", "a/X", -1)))


def signer_files(root: Path) -> list[Path]:
    return [root / "keystore.json", root / "signer-journal.db"]


def back_up(root: Path, target: Path, zone: Zone = Zone.INSTALLATION, lock: Lock = RECIPIENT) -> Manifest:
    home = root / "party-1" if zone is Zone.COSIGNER else root
    files = zone_files(home, zone, signer=signer_files(root), apart=[root / "party-1"])
    return create_archive(
        target, zone=zone, name="house", root=home, files=files, lock=lock, signing_key=SIGNING, now_ns=7
    )


def put_back(archive: Path, target: Path, **changes: object) -> Manifest:
    options = {"is_passphrase": False, "signer": SIGNER, "now_ns": 9, **changes}
    return restore_archive(archive, target, IDENTITY, **options)  # type: ignore[arg-type]


def test_each_zone_has_its_own_files_and_together_they_are_everything(installation: Path, tmp_path: Path) -> None:
    found = {zone: back_up(installation, tmp_path / f"{zone}.cbk", zone) for zone in Zone}
    paths = {zone: {member.path: member.role for member in manifest.members} for zone, manifest in found.items()}
    assert paths[Zone.INSTALLATION] == {"capstan.toml": Role.FILE, "capstan.db": Role.DATABASE}
    assert paths[Zone.SIGNER] == {"keystore.json": Role.FILE, "signer-journal.db": Role.JOURNAL}
    assert paths[Zone.COSIGNER] == {"party.db": Role.PARTY}
    content = b"".join((tmp_path / f"{zone}.cbk").read_bytes() for zone in Zone)
    assert b"keystore" not in content
    assert b"live" not in content


def test_a_restored_installation_has_its_books_and_is_frozen(installation: Path, tmp_path: Path) -> None:
    back_up(installation, tmp_path / "a.cbk")
    put_back(tmp_path / "a.cbk", tmp_path / "new")
    database = open_books(Database.at(tmp_path / "new" / "capstan.db"))
    ledger = Ledger(database, lambda: 1)
    assert ledger.verify().is_sound
    assert ledger.balance("venue/a", "a/X") == 1
    with database.snapshot() as session:
        assert [freeze.source for freeze in standing(session)] == ["restore"]
    assert (tmp_path / "new" / "capstan.toml").read_text() == "mode = 'live'\n"
    assert not list(tmp_path.glob(".new*"))


def test_a_restored_journal_is_closed_and_a_restored_party_has_no_share_on_its_way(
    installation: Path, tmp_path: Path
) -> None:
    back_up(installation, tmp_path / "s.cbk", Zone.SIGNER)
    put_back(tmp_path / "s.cbk", tmp_path / "signer")
    with SigningJournal(tmp_path / "signer" / "signer-journal.db", now_ns=lambda: 1) as journal:
        journal.record(KEY.address, TX, lambda _spent: {})
        with pytest.raises(VenueUnavailable, match="restored from a backup"):
            journal.record(KEY.address, replace(TX, nonce=1), lambda _spent: {})
    back_up(installation, tmp_path / "c.cbk", Zone.COSIGNER)
    put_back(tmp_path / "c.cbk", tmp_path / "party")
    with PartyStore(tmp_path / "party" / "party.db", now_ns=lambda: 1) as store:
        assert [(share.epoch, share.is_active) for share in store.shares()] == [(1, True)]
        with pytest.raises(Refused):
            store.begin_session(b"begun")
    raw = (tmp_path / "party" / "party.db").read_bytes()
    assert b"pending" not in raw  # overwritten, not only unlinked
    put_back(tmp_path / "c.cbk", tmp_path / "bare", without_shares=True)
    assert not (tmp_path / "bare" / "party.db").exists()


def test_nothing_is_restored_over_something_and_an_archive_is_not_overwritten(
    installation: Path, tmp_path: Path
) -> None:
    archive = tmp_path / "a.cbk"
    back_up(installation, archive)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        put_back(archive, tmp_path / "full")
    assert (tmp_path / "full" / "x").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    put_back(archive, tmp_path / "empty")
    with pytest.raises(InputError, match="exists"):
        back_up(installation, archive)


def test_only_the_recipient_opens_it_and_only_the_pinned_signer_is_believed(installation: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.cbk"
    back_up(installation, archive)
    verify_archive(archive, IDENTITY, is_passphrase=False, signer=SIGNER)
    stranger, _ = generate_identity()
    with pytest.raises(InputError, match="opened by the identity"):
        verify_archive(archive, stranger, is_passphrase=False, signer=SIGNER)
    with pytest.raises(InputError, match="identity of"):
        verify_archive(archive, Secret("guess"), is_passphrase=True, signer=SIGNER)
    other = signer_text(Ed25519PrivateKey.generate().public_key())
    with pytest.raises(InputError, match="was made by"):
        verify_archive(archive, IDENTITY, is_passphrase=False, signer=other)


def test_a_passphrase_opens_what_it_closed(installation: Path, tmp_path: Path) -> None:
    archive, passphrase = tmp_path / "a.cbk", Secret("correct horse")
    back_up(installation, archive, lock=passphrase)
    verify_archive(archive, passphrase, is_passphrase=True, signer=SIGNER)
    with pytest.raises(InputError, match="chunk 0"):
        verify_archive(archive, Secret("wrong horse"), is_passphrase=True, signer=SIGNER)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An archive of several chunks."""
    root = tmp_path_factory.mktemp("large")
    (root / "a").write_bytes(os.urandom(700_000))
    (root / "b").write_bytes(b"b" * 100)
    create_archive(
        root / "x.cbk",
        zone=Zone.INSTALLATION,
        name="large",
        root=root,
        files=[root / "a", root / "b"],
        lock=RECIPIENT,
        signing_key=SIGNING,
        now_ns=1,
    )
    return (root / "x.cbk").read_bytes()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_changed_cut_or_appended_it_is_noticed(large: bytes, tmp_path: Path, data: st.DataObject) -> None:
    archive = tmp_path / "x.cbk"
    kind = data.draw(st.sampled_from(["flip", "cut", "append", "swap"]))
    chunk, header = 256 * 1024 + 16, large.index(b"\n") + 1
    if kind == "flip":
        at = data.draw(st.integers(0, len(large) - 1))
        changed = large[:at] + bytes([large[at] ^ (1 << data.draw(st.integers(0, 7)))]) + large[at + 1 :]
    elif kind == "cut":
        # At chunk edges above all: what is left there is well-formed.
        edges = [header + number * chunk for number in range(4) if header + number * chunk < len(large)]
        changed = large[: data.draw(st.sampled_from(edges) | st.integers(0, len(large) - 1))]
    elif kind == "append":
        changed = large + data.draw(st.binary(min_size=1, max_size=64))
    else:
        first, second = large[header : header + chunk], large[header + chunk : header + 2 * chunk]
        changed = large[:header] + second + first + large[header + 2 * chunk :]
    archive.write_bytes(changed)
    with pytest.raises(InputError):
        restore_archive(archive, tmp_path / "new", IDENTITY, is_passphrase=False, signer=SIGNER, now_ns=1)
    assert not (tmp_path / "new").exists()


def test_a_restore_that_dies_half_way_leaves_nothing_and_can_be_done_again(installation: Path, tmp_path: Path) -> None:
    pid = os.fork()
    back = tmp_path / "a.cbk"
    if pid == 0:  # a child that is killed between reading and making safe
        back_up(installation, back)
        import custody.backup.restore as module

        module._make_safe = lambda *_a, **_k: os._exit(9)  # type: ignore[assignment]
        put_back(back, tmp_path / "new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    assert not (tmp_path / "new").exists()
    put_back(back, tmp_path / "new")
    assert (tmp_path / "new" / "capstan.db").exists()


def test_books_that_are_written_meanwhile_are_copied_at_one_instant(installation: Path, tmp_path: Path) -> None:
    database, stop = Database.at(installation / "capstan.db"), threading.Event()
    ledger = Ledger(database, lambda: 1)

    def write() -> None:
        number = 2
        while not stop.is_set():
            ledger.post(entry(number))
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            back_up(installation, tmp_path / f"{number}.cbk")
    finally:
        stop.set()
        writer.join()
        database.dispose()
    for number in range(3):
        put_back(tmp_path / f"{number}.cbk", tmp_path / str(number))
        restored = open_books(Database.at(tmp_path / str(number) / "capstan.db"))
        found = Ledger(restored, lambda: 1).verify()
        assert found.is_sound
        assert found.entries >= 1
        restored.dispose()


@pytest.mark.postgres
def test_a_postgresql_database_is_dumped_and_put_into_an_empty_one(
    request: pytest.FixtureRequest, tmp_path: Path, two_postgresql_urls: tuple[str, str]
) -> None:
    if shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    source, target = two_postgresql_urls
    database = open_books(Database(source))
    Ledger(database, lambda: 1).post(entry(1))
    create_archive(
        tmp_path / "p.cbk",
        zone=Zone.INSTALLATION,
        name="p",
        root=tmp_path,
        files=[],
        lock=RECIPIENT,
        signing_key=SIGNING,
        now_ns=1,
        postgresql_url=source,
    )
    put_back(tmp_path / "p.cbk", tmp_path / "new")
    restore_postgresql(tmp_path / "new" / "database.pgdump", target)
    restored = open_books(Database(target))
    assert Ledger(restored, lambda: 1).verify().entries == 1
    for opened in (database, restored):
        opened.dispose()


def test_a_recipient_is_read_as_it_is_written() -> None:
    assert Recipient.parse(str(RECIPIENT)) == RECIPIENT
    for wrong in ("", "x25519:", "x25519:zz", str(RECIPIENT)[:-1], "ed25519:" + "0" * 64):
        with pytest.raises(InputError):
            Recipient.parse(wrong)
