"""When checkpoints are made, who may sign them, and how they leave."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from custody.audit import (
    AuditLog,
    Checkpoint,
    CheckpointKeeper,
    CommandExporter,
    DirectoryExporter,
    Ed25519CheckpointSigner,
    WalletCheckpointSigner,
    read_checkpoints,
    verify_audit,
)
from custody.audit.merkle import MerkleTree
from domain import Address, InputError, InvariantError, VenueUnavailable
from runtime import ManualClock, Secret
from runtime.database import Database
from tests.databases import books_at
from wallets import MessageToSign, Signature

SIGNER = Ed25519CheckpointSigner(Secret("11" * 32))


@pytest.fixture
def books(tmp_path: Path) -> Database:
    return books_at(tmp_path / "books.db")


def write(database: Database, count: int = 1) -> None:
    with database.transaction() as session:
        for _ in range(count):
            AuditLog(database, lambda: 0).append(session, "a.b", "c", {})


def reference_root(leaves: list[bytes]) -> bytes:
    """RFC 6962 §2.1, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    left, right = reference_root(leaves[:split]), reference_root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(first=st.lists(st.binary(max_size=4), max_size=40), second=st.lists(st.binary(max_size=4), max_size=40))
def test_the_tree_is_rfc_6962s_however_it_is_grown(first: list[bytes], second: list[bytes]) -> None:
    tree = MerkleTree()
    tree.extend(first)
    resumed = MerkleTree.from_frontier(tree.count, tree.frontier())
    resumed.extend(second)
    assert resumed.root() == reference_root([*first, *second]).hex()


def test_known_roots_of_certificate_transparencys_test_data() -> None:
    # google/certificate-transparency, merkle tree tests: the empty tree, one empty leaf, and eight leaves.
    leaves = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
    tree = MerkleTree()
    assert tree.root() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    tree.extend([b""])
    assert tree.root() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    tree.extend(bytes.fromhex(leaf) for leaf in leaves[1:])
    assert tree.root() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"


def test_a_checkpoint_is_due_by_records_or_by_age(books: Database) -> None:
    clock = ManualClock(10**12)
    keeper = CheckpointKeeper(books, SIGNER, clock.now_ns)

    def run() -> int | None:
        made = keeper.run(every_records=10, every_s=60)
        return None if made is None else made.count

    assert run() is None  # Nothing to say.
    write(books)
    assert run() == 1  # There is none yet: the first is due at once.
    write(books, 9)
    assert run() is None
    write(books)
    assert run() == 11
    write(books)
    clock.advance(seconds=59)
    assert run() is None
    clock.advance(seconds=1)
    assert run() == 12
    clock.advance(seconds=600)
    assert run() is None


def test_an_accounts_key_signs_checkpoints_as_personal_messages(books: Database) -> None:
    account = Account.from_key("0x" + "33" * 32)

    def sign(message: MessageToSign) -> Signature:
        from eth_account.messages import encode_defunct

        return Signature.from_bytes(bytes(account.sign_message(encode_defunct(message.content)).signature))

    write(books)
    made = CheckpointKeeper(books, WalletCheckpointSigner(Address(account.address), sign), lambda: 1).run()
    assert made is not None
    assert made.key == f"eip191:{account.address}"
    assert verify_audit(books, trusted=(made.key,)).is_sound
    other = WalletCheckpointSigner(Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8"), sign)
    write(books)
    with pytest.raises(InvariantError, match="is not by"):
        CheckpointKeeper(books, other, lambda: 1).run()


def test_checkpoints_reach_a_folder_and_a_command_once_each(books: Database, tmp_path: Path) -> None:
    folder, inbox = tmp_path / "away", tmp_path / "inbox"
    inbox.mkdir()
    script = tmp_path / "store.py"
    script.write_text(
        "import json, pathlib, sys\n"
        "found = json.load(sys.stdin)\n"
        f"(pathlib.Path({str(inbox)!r}) / str(found['count'])).open('x').write(json.dumps(found))\n"
    )
    exporters = (DirectoryExporter(folder), CommandExporter(f"{sys.executable} {script}"))
    keeper = CheckpointKeeper(books, SIGNER, lambda: 1, exporters)
    write(books)
    keeper.run()  # The folder is not mounted yet: its checkpoint waits, the command's does not.
    folder.mkdir()
    write(books)
    keeper.run()
    keeper.run()
    found = read_checkpoints(folder)
    assert [checkpoint.count for checkpoint in found] == [1, 2]
    assert sorted(path.name for path in inbox.iterdir()) == ["1", "2"]
    assert json.loads((inbox / "2").read_text())["signature"] == found[1].signature
    assert verify_audit(books, exported=found).is_sound


def test_a_command_that_fails_has_not_stored_it() -> None:
    checkpoint = Checkpoint(1, "00", "00", 0, SIGNER.key, "00")
    for command in (f"{sys.executable} -c 'raise SystemExit(3)'", "/nowhere/to/be/found"):
        with pytest.raises(VenueUnavailable):
            CommandExporter(command).put(checkpoint)
    with pytest.raises(InputError):
        CommandExporter(" ")


@pytest.mark.parametrize("content", ["", "[]", '{"count":1}', "nonsense", '{"count":"1"}'])
def test_a_file_that_is_no_checkpoint_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "checkpoint-000000000001.json").write_text(content)
    with pytest.raises(InputError, match="checkpoint-000000000001"):
        read_checkpoints(tmp_path)


def test_a_key_that_is_none_is_refused_without_being_shown() -> None:
    with pytest.raises(InputError) as refusal:
        Ed25519CheckpointSigner(Secret("correct horse battery staple"))
    assert "horse" not in str(refusal.value)
