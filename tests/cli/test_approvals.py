"""`capstan approvals`: people read the words their own policy gives, and sign; edited books are found out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from cli import main as cli_main
from custody.approvals import CanonicalIntent, DatabaseApprovals, key_text
from custody.policy import Policy, Requirement
from custody.policy.rulebook import load_rulebook
from custody.tables import open_books
from runtime import SystemClock
from runtime.database import Database
from tests.support.approvers import CALL, PARTNER, USDC, VAULT, decision, key_of
from tests.support.authenticator import Authenticator
from tests.support.policies import ADMINS, public, signed

PASSKEY = Authenticator("carol")
POLICY = f"""
version: 3
assets: {{USDC: {{id: "eip155:1/erc20:{USDC}", decimals: 6}}}}
vaults: {{hot: ["{VAULT}"]}}
names: {{"{PARTNER}": Partner}}
people:
  alice: {{keys: ["{key_text(key_of("alice").public_key())}"]}}
  bob: {{keys: ["{key_text(key_of("bob").public_key())}"]}}
  carol: {{keys: ["{PASSKEY.key_text}"]}}
groups: {{operators: [alice, bob, carol]}}
chains: {{1: {{}}}}
rules: []
"""


class Shell:
    """Runs commands against a database with one request in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy = folder / "policy.yaml"
        self.policy.write_text(POLICY)
        self.url = f"sqlite:///{folder / 'books.db'}"
        self.database = open_books(Database(self.url))
        rules = Policy(load_rulebook(self.policy))
        self.desk = DatabaseApprovals(self.database, rules=lambda: rules, now_ns=SystemClock().now_ns)
        intent = CanonicalIntent(
            intent_id="w-1",
            vault="hot",
            initiator="bob",
            subject=CALL,
            expires_s=SystemClock().now_ns() // 10**9 + 3600,
            policy_version=rules.version,
            policy_digest=rules.digest,
        )
        asked = replace(
            decision(Requirement(group="operators", count=2, rule="large")),
            policy_version=rules.version,
            policy_digest=rules.digest,
        )
        with self.database.transaction() as session:
            self.desk.open(session, intent, asked)
        for name in ("alice", "bob"):
            (folder / name).write_text(key_of(name).private_bytes_raw().hex() + "\n")

    def run(self, *arguments, answer=None, code=0):
        full = ["approvals", *arguments]
        if arguments[0] != "key":
            full += ["--database", self.url, "--policy", str(self.policy)]
        result = CliRunner().invoke(cli_main.app, full, input=answer)
        if code == 0 and result.exception is not None:
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def key(self, name):
        return ("--key-ref", f"file:{self.folder / name}")


@pytest.fixture
def shell(tmp_path):
    return Shell(tmp_path)


def test_a_request_is_listed_and_shown(shell):
    (listed,) = json.loads(shell.run("list", "--json").stdout)
    assert (listed["intent"], listed["state"], listed["initiator"]) == ("w-1", "pending", "bob")
    assert "Send tokens" in shell.run("list").stdout
    shown = shell.run("show", "w-1").stdout
    assert f"Recipient:     Partner ({PARTNER})\n" in shown
    assert f"Digest:        {listed['digest']}\n" in shown
    assert "Needs:         2 of operators" in shown
    assert json.loads(shell.run("show", "w-1", "--json").stdout)["evidence"]["intent"]["subject"]["sender"] == VAULT


def test_the_documented_program_verifies_it_without_us(shell, tmp_path):
    page = (Path(__file__).resolve().parents[2] / "docs" / "approvals.md").read_text()
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    shell.run("approve", "w-1", *shell.key("alice"), "--yes")
    shown = json.loads(shell.run("show", "w-1", "--json").stdout)

    def verify(evidence):
        command = [sys.executable, "-I", "-c", program]
        return subprocess.run(command, input=json.dumps(evidence), capture_output=True, text=True, check=False)

    told = verify(shown)
    assert told.returncode == 0, told.stderr
    assert f"Digest:        {shown['digest']}\n" in told.stdout
    assert "Verified:      approve ed25519:" in told.stdout
    shown["evidence"]["text"] = shown["evidence"]["text"].replace("1,500", "15")
    assert "InvalidSignature" in verify(shown).stderr


def test_two_people_approve_one_with_a_passkey(shell):
    told = shell.run("approve", "w-1", *shell.key("alice"), answer="y\n")
    assert "Amount:        1,500 USDC" in told.stderr
    assert "pending" in told.stdout
    request = shell.desk.find("w-1")
    proof = PASSKEY.approve(request.intent, request.text).proof
    answer = shell.folder / "answer.json"
    answer.write_text(
        json.dumps(
            {
                "id": "x",
                "response": {
                    "authenticatorData": proof["authenticator_data"],
                    "clientDataJSON": proof["client_data"],
                    "signature": proof["signature"],
                },
            }
        )
    )
    found = json.loads(shell.run("approve", "w-1", "--assertion", str(answer), "--yes", "--json").stdout)
    assert found["state"] == "met"
    assert found["approvals"] == [{"by": "alice", "verdict": "approve"}, {"by": "carol", "verdict": "approve"}]
    assert json.loads(shell.run("list", "--json").stdout) == []
    assert len(json.loads(shell.run("list", "--all", "--json").stdout)) == 1


def test_nothing_is_signed_without_a_yes(shell):
    shell.run("approve", "w-1", *shell.key("alice"), answer="n\n", code=1)
    assert shell.desk.find("w-1").approvals == ()


def test_a_rejection_is_final(shell):
    assert "rejected" in shell.run("reject", "w-1", *shell.key("bob"), "--yes").stdout
    refused = shell.run("approve", "w-1", *shell.key("alice"), "--yes", code=1)
    assert "rejected by bob" in str(refused.exception)


def test_the_initiator_is_told_that_it_cannot_approve(shell):
    assert "cannot approve" in str(shell.run("approve", "w-1", *shell.key("bob"), "--yes", code=1).exception)


def test_edited_books_are_found_out_before_anything_is_signed(shell):
    with shell.database.transaction() as session:
        session.execute(sa.text("DROP TRIGGER approval_requests_no_update"))
        session.execute(sa.text("UPDATE approval_requests SET text = replace(text, '1,500', '15')"))
    for command in (("show", "w-1"), ("approve", "w-1", *shell.key("alice"), "--yes")):
        assert "other words" in str(shell.run(*command, code=1).exception)


def test_a_new_key_is_private_and_signs(shell):
    file = shell.folder / "new"
    public = shell.run("key", "--out", str(file)).stdout.strip()
    assert public.startswith("ed25519:")
    assert file.stat().st_mode & 0o777 == 0o600
    assert "exists already" in str(shell.run("key", "--out", str(file), code=1).exception)
    told = shell.run("approve", "w-1", "--key-ref", f"file:{file}", "--yes", code=1)
    assert "nobody asked" in str(told.exception)


def test_an_installation_says_where_books_and_policy_are(shell):
    (shell.folder / "bundle.json").write_text(signed(load_rulebook(shell.policy), at_s=1).to_json())
    (shell.folder / "admins.yaml").write_text(
        "threshold: 2\nadmins:\n" + "".join(f"  {name}: {key}\n" for name, key in ADMINS.keys.items())
    )
    (shell.folder / "capstan.toml").write_text(
        f"""
mode = "live"
[custody]
account = "{VAULT}"
database = "sqlite:///books.db"
policy_bundle = "bundle.json"
policy_admins = "admins.yaml"
[[venues]]
id = "binance"
exchange = "binance"
instruments = ["ETHUSDC"]
"""
    )
    result = CliRunner().invoke(cli_main.app, ["approvals", "show", "w-1", "--data-dir", str(shell.folder)])
    assert result.exception is None, result.exception
    assert "Amount:        1,500 USDC" in result.stdout
    (shell.folder / "admins.yaml").write_text(f"threshold: 1\nadmins: {{mallory: {public('mallory')}}}\n")
    result = CliRunner().invoke(cli_main.app, ["approvals", "show", "w-1", "--data-dir", str(shell.folder)])
    assert result.exit_code == 1


def test_wrong_arguments_are_said(shell):
    for arguments in (("approve", "w-1"), ("approve", "w-2", *shell.key("alice")), ("show", "w-2")):
        shell.run(*arguments, code=1)
