"""`capstan withdrawals` and `capstan backup` as an operator uses them, over an installation nobody serves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chain.devnet import TEST_ADDRESSES, Devnet
from cli.main import main
from custody import Ledger, open_books
from custody.freeze import standing
from custody.ledger import Entry, Posting
from domain import ChainId, native_asset
from runtime.database import Database

pytestmark = pytest.mark.anvil
VAULT, RECIPIENT = TEST_ADDRESSES[5], TEST_ADDRESSES[8]
COIN = native_asset(ChainId(1337))


@pytest.fixture
def house(devnet_for_session: Devnet, tmp_path: Path) -> Path:
    """An installation that owes ulla 5 coins."""
    root = tmp_path / "house"
    root.mkdir()
    (root / "devnet.json").write_bytes(devnet_for_session.world.to_json())
    (root / "deny-list.txt").write_text("")
    (root / "kek").write_text("33" * 32)
    (root / "kek").chmod(0o600)
    (root / "capstan.toml").write_text(
        f"""mode = "live"
[chain]
chain_id = 1337
endpoints = ["{devnet_for_session.world.rpc_url}"]
address_book = "devnet.json"
[[venues]]
id = "sandbox"
exchange = "binance"
base_url = "http://127.0.0.1:9"
instruments = ["ETHUSDC"]
[custody]
account = "{VAULT}"
[custody.policy]
chain_id = 1337
[custody.withdrawals]
kek = "kek"
fees = {{ "{COIN.id}" = "7" }}
"""
    )
    database = open_books(Database.at(root / "capstan.db"))
    owed = (Posting("user/ulla/available", COIN.id, -5 * COIN.unit), Posting("equity/opening", COIN.id, 5 * COIN.unit))
    Ledger(database, lambda: 1).post(Entry("grant", "grant", owed))
    database.dispose()
    return root


def run(capsys: pytest.CaptureFixture[str], *words: str | Path, fails: bool = False) -> Any:
    """Run a command; gives its JSON, or what it said when it must fail."""
    with pytest.raises(SystemExit) as left:
        main([str(word) for word in words])
    said = capsys.readouterr()
    if fails:
        assert left.value.code == 1, said
        return said.err
    assert left.value.code in (0, None), said.err
    lines = said.out.strip().splitlines()
    return json.loads(lines[-1]) if "--json" in words else said.out


def request(capsys: pytest.CaptureFixture[str], house: Path, amount: str = "1.5", key: str = "k-1", **more: Any) -> Any:
    words = ["withdrawals", "request", "--data-dir", house, "--client", "shop", "--user", "ulla", "--key", key]
    return run(capsys, *words, "--asset", "ETH", "--amount", amount, "--to", RECIPIENT, "--json", **more)


def available(house: Path) -> int:
    database = Database.at(house / "capstan.db")
    try:
        return -Ledger(database, lambda: 1).balance("user/ulla/available", COIN.id)
    finally:
        database.dispose()


def test_a_request_holds_funds_once_and_is_listed_shown_held_released_and_cancelled(
    house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = request(capsys, house)
    assert (made["state"], made["raw"], made["fee_raw"]) == ("requested", str(15 * 10**17), "7")
    assert request(capsys, house)["id"] == made["id"]
    assert available(house) == 35 * 10**17 - 7
    assert "stands for another withdrawal" in request(capsys, house, amount="2", fails=True)
    request(capsys, house, amount="4", key="k-2", fails=True)  # more than is left
    assert available(house) == 35 * 10**17 - 7
    where = ("--data-dir", house)
    assert [w["id"] for w in run(capsys, "withdrawals", "list", *where, "--json")] == [made["id"]]
    act = ("--by", "olga", "--json")
    held = run(capsys, "withdrawals", "hold", *where, made["id"], "--reason", "call first", *act)
    assert (held["state"], held["reason"]) == ("held", "call first")
    assert run(capsys, "withdrawals", "release", *where, made["id"], *act)["state"] == "requested"
    cancelled = run(capsys, "withdrawals", "cancel", *where, made["id"], "--reason", "changed my mind", *act)
    assert cancelled["state"] == "cancelled"
    assert available(house) == 5 * 10**18
    shown = run(capsys, "withdrawals", "show", *where, made["id"], "--json")
    assert [event["step"] for event in shown["history"]] == ["requested", "held", "released", "cancelled"]
    assert shown["history"][1]["detail"] == {"by": "olga", "reason": "call first"}
    assert "cannot be stopped" in run(capsys, "withdrawals", "cancel", *where, made["id"], "--by", "olga", fails=True)
    assert run(capsys, "withdrawals", "list", *where, "--open", "--json") == []


def test_what_makes_no_sense_is_refused_in_one_line(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["withdrawals", "request", "--data-dir", house, "--client", "shop", "--user", "ulla", "--key", "k"]
    for asset, amount, to, said in (
        ("DOGE", "1", RECIPIENT, "no asset"),
        ("ETH", "1.0000000000000000001", RECIPIENT, "decimals"),
        ("ETH", "-1", RECIPIENT, "error"),
        ("ETH", "1", RECIPIENT.lower()[:-1], "address"),
        ("ETH", "1", VAULT, "itself"),
    ):
        error = run(capsys, *words, "--asset", asset, f"--amount={amount}", "--to", to, fails=True)
        assert error.startswith("error: ")
        assert said in error, error
    assert available(house) == 5 * 10**18


def test_the_address_book_by_the_command_line(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--data-dir", house, "--user", "ulla")
    run(capsys, "withdrawals", "address", "add", *where, "--to", RECIPIENT, "--by", "olga", "--label", "home", "--json")
    assert [a["label"] for a in run(capsys, "withdrawals", "address", "list", *where, "--json")] == ["home"]
    run(capsys, "withdrawals", "address", "remove", *where, "--to", RECIPIENT, "--by", "olga")
    assert run(capsys, "withdrawals", "address", "list", *where, "--json") == []


def test_a_withdrawing_key_is_sealed_and_is_in_no_file_in_the_clear(
    house: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "api").write_text("planted-api-key\n")
    (tmp_path / "secret").write_text("planted-secret\n")
    words = ("--key-ref", f"file:{tmp_path / 'api'}", "--secret-ref", f"file:{tmp_path / 'secret'}", "--by", "olga")
    run(capsys, "withdrawals", "seal-key", "sandbox", "--data-dir", house, *words)
    assert "no venue" in run(capsys, "withdrawals", "seal-key", "other", "--data-dir", house, *words, fails=True)
    for path in house.iterdir():
        assert b"planted" not in path.read_bytes(), path


def test_an_installation_is_backed_up_verified_restored_frozen_and_reconciled(
    house: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    request(capsys, house)
    identity, backups = tmp_path / "identity", tmp_path / "backups"
    recipient = run(capsys, "backup", "keygen", "--out", identity, "--json")["recipient"]
    made = run(
        capsys,
        *("backup", "create", backups, "--data-dir", house, "--recipient", recipient),
        *("--signing-key", tmp_path / "signing.key", "--json"),
    )
    assert [archive["zone"] for archive in made["archives"]] == ["installation"]  # there is no signer's file yet
    archive = backups / "installation.cbk"
    opening = ("--signer", made["signer"], "--identity-ref", f"file:{identity}", "--json")
    assert run(capsys, "backup", "verify", archive, *opening)["ok"] is True
    assert "not empty" in run(capsys, "backup", "restore", archive, "--into", house, *opening, fails=True)
    second = tmp_path / "second"
    run(capsys, "backup", "restore", archive, "--into", second, *opening)
    assert available(second) == available(house) == 35 * 10**17 - 7
    database = Database.at(second / "capstan.db")
    with database.snapshot() as session:
        assert [freeze.scope for freeze in standing(session)] == ["all"]
    database.dispose()
    found = run(capsys, "backup", "reconcile", "--data-dir", second, "--json")
    assert (found["account"], found["unknown"], found["adopted"]) == (VAULT, [], {})
    wrong = ("--signer", "ed25519:" + "00" * 32, "--identity-ref", f"file:{identity}")
    assert "was made by" in run(capsys, "backup", "verify", archive, *wrong, fails=True)
