"""`capstan custody freeze | freezes | unfreeze | reconcile`: stopping takes one person, going on takes two."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from chain.devnet import Devnet
from cli.main import main
from custody import open_books
from custody.ledger import Entry, Ledger, Posting, vault_account
from domain import Address, ChainId, native_asset
from runtime.database import Database

VAULT = Address("0x00000000000000000000000000000000caFe0001")
ETH = native_asset(ChainId(1337)).id


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str]:
    with pytest.raises(SystemExit) as ended:
        main(["custody", *arguments])
    return ended.value.code, capsys.readouterr().out


def run_apart(*arguments: str) -> tuple[int, str]:
    """Run a command that logs: in a process of its own, because it takes hold of standard error."""
    line = [sys.executable, "-m", "cli", "custody", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A live installation with one vault, and two operators whose keys are known."""
    for name, number in (("ann", 1), ("bob", 2)):
        (tmp_path / f"{name}.key").write_text(bytes([number] * 32).hex())
    keys = {
        name: Ed25519PrivateKey.from_private_bytes(bytes([number] * 32)).public_key().public_bytes_raw().hex()
        for name, number in (("ann", 1), ("bob", 2))
    }
    (tmp_path / "capstan.toml").write_text(
        f"""mode = "live"
[[venues]]
id = "v"
exchange = "binance"
instruments = ["ETHUSDC"]
[custody]
account = "{VAULT}"
operators = {{ ann = "{keys["ann"]}", bob = "{keys["bob"]}" }}
[custody.policy]
chain_id = 1337
[custody.audit]
key = "file:ann.key"
directory = "away"
"""
    )
    open_books(Database.at(tmp_path / "capstan.db")).dispose()
    return tmp_path


def test_one_person_freezes_and_two_with_their_keys_lift(
    installation: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--data-dir", str(installation)]
    why = ["--reason", "a drill"]
    assert run(capsys, "freeze", "everything", "--operator", "ann", *why, *where)[0] == 1
    code, out = run(capsys, "freeze", "chain/1337", "--operator", "ann", *why, *where, "--json")
    number = str(json.loads(out)["id"])
    assert code == 0

    def lift(name: str, *key: str) -> tuple[object, str]:
        return run(capsys, "unfreeze", number, "--operator", name, *why, *key, *where, "--json")

    ann, bob = ("--key-ref", f"file:{installation / 'ann.key'}"), ("--key-ref", f"file:{installation / 'bob.key'}")
    assert lift("ann")[0] == 1  # Without a key anybody could say so.
    assert lift("bob", *ann)[0] == 1
    assert lift("cid", *ann)[0] == 1
    code, out = lift("ann", *ann)
    assert (code, json.loads(out)["stands"]) == (0, True)
    assert lift("ann", *ann)[0] == 1
    _, out = run(capsys, "freezes", *where, "--json")
    assert [(item["scope"], item["lifted_by"]) for item in json.loads(out)] == [("chain/1337", ["ann"])]
    assert "ann agreed" in run(capsys, "freezes", *where)[1]
    code, out = lift("bob", *bob)
    assert (code, json.loads(out)["stands"]) == (0, False)
    assert json.loads(run(capsys, "freezes", *where, "--json")[1]) == []


def rpc(devnet: Devnet, method: str, *parameters: object) -> object:
    async def ask() -> object:
        async with devnet.client() as client:
            return await client.rpc.request(method, *parameters)

    return asyncio.run(ask())


@pytest.fixture
def final_devnet(devnet_for_session: Devnet) -> Iterator[Devnet]:
    """The session's devnet, grown until its world is final; as it was, afterwards."""
    snapshot = rpc(devnet_for_session, "evm_snapshot")
    rpc(devnet_for_session, "anvil_mine", hex(70))
    yield devnet_for_session
    rpc(devnet_for_session, "evm_mine")
    assert rpc(devnet_for_session, "evm_revert", snapshot)


@pytest.mark.anvil
def test_reconciling_an_installation_freezes_what_nothing_explains(
    installation: Path, final_devnet: Devnet, capsys: pytest.CaptureFixture[str]
) -> None:
    (installation / "devnet.json").write_bytes(final_devnet.world.to_json())
    settings, url = installation / "capstan.toml", final_devnet.world.rpc_url
    endpoint = f'[chain]\nchain_id = 1337\nendpoints = ["{url}"]\naddress_book = "devnet.json"\n'
    usdc = f"eip155:1337/erc20:{final_devnet.world.tokens['USDC'].address}"
    endpoint += f'[custody.deposits]\nchain_id = 1337\n[custody.deposits.assets."{usdc}"]\n'
    settings.write_text(settings.read_text() + endpoint)
    where = ["--data-dir", str(installation), "--json"]
    code, out = run_apart("reconcile", *where)
    found = json.loads(out)
    assert (code, found["clean"], found["unread"]) == (0, True, [])
    assert found["compared"] > 1  # The coin and every token of the address book.
    database = Database.at(installation / "capstan.db")
    account = vault_account(ChainId(1337), VAULT)
    legs = (Posting(account, ETH, 5), Posting("user/ann/available", ETH, -5))
    Ledger(database, lambda: 1).post(Entry("k", "test", legs))
    code, out = run_apart("reconcile", *where)
    (item,) = json.loads(out)["mismatches"]
    assert (code, item["account"], item["unexplained"]) == (1, account, "-5")
    code, out = run_apart("solvency", *where)
    assert (code, json.loads(out)["solvent"]) == (1, False)
    frozen = {item["scope"] for item in json.loads(run(capsys, "freezes", *where)[1])}
    assert frozen == {"chain/1337", "all"}
    database.dispose()


def test_the_workers_checkpoint_is_signed_by_the_settings_key_and_exported(installation: Path) -> None:
    from cli.reconciling import checkpoint_audit
    from custody.audit import AuditLog, read_checkpoints, verify_audit

    (installation / "away").mkdir()
    assert checkpoint_audit(installation)["count"] is None
    database = Database.at(installation / "capstan.db")
    with database.transaction() as session:
        AuditLog(database, lambda: 1).append(session, "a.b", "c", {})
    made = checkpoint_audit(installation)
    found = read_checkpoints(installation / "away")
    assert [checkpoint.count for checkpoint in found] == [made["count"]] == [1]
    assert verify_audit(database, exported=found, trusted=(made["key"],)).is_sound
    database.dispose()
