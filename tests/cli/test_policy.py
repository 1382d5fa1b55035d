"""`capstan policy`: from a draft to a policy in force, with every look at it in between."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import main as cli_main
from cli.policy import app
from custody import Ledger
from custody.approvals import DatabaseApprovals, key_text
from custody.policy import Facts, Policy
from custody.policy.attestations import attest
from custody.tables import open_books
from custody.transactions.evidence import proposal_of
from custody.transactions.lifecycle import Step
from custody.transactions.outbox import Outbox
from domain import Address, Amount, Asset, ChainId, Refused
from domain.ids import IntentId, StrategyId
from domain.plans import TransactionPlan
from runtime.database import Database
from tests.support.approvers import PARTNER, USDC, VAULT, key_of, transfer_data
from tests.support.policies import ADMINS, STRANGER, USDC_ID, document, public

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "policy.yaml"
ASSET = Asset(USDC_ID, "USDC", 6)
START_S = 1_764_000_000


class Shell:
    """Runs commands beside a set of books."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"sqlite:///{folder / 'books.db'}"
        self.database = open_books(Database(self.url))
        self.now_s = START_S
        self.outbox = Outbox(
            self.database, Ledger(self.database, self.now_ns), chain_id=ChainId(1), sender=VAULT, now_ns=self.now_ns,
            fence=lambda _session: None,
        )  # fmt: skip
        names = ", ".join(f"{name}: '{key}'" for name, key in ADMINS.keys.items())
        (folder / "admins.yaml").write_text(f"threshold: 2\nadmins: {{{names}}}")
        for name in ADMINS.keys:
            (folder / name).write_text(key_of(name).private_bytes_raw().hex())

    def now_ns(self) -> int:
        return self.now_s * 10**9

    def run(self, *arguments: str, code: int = 0) -> Any:
        """Run a command with --json; gives what it printed."""
        found = CliRunner().invoke(cli_main.app, ["policy", *arguments, "--json"])
        assert found.exit_code == code, (found.output, found.exception)
        return json.loads(found.stdout) if found.stdout.strip().startswith("{") else found

    def text(self, *arguments: str, code: int = 0) -> str:
        found = CliRunner().invoke(cli_main.app, ["policy", *arguments])
        assert found.exit_code == code, (found.output, found.exception)
        return found.output

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def draft(self, *, name: str = "draft.yaml", **options: Any) -> str:
        """The document of the tests as a file (JSON is YAML)."""
        # A document that begins with `{` is a bundle to the commands, hence the comment.
        return self.file(name, "# draft\n" + json.dumps(document(**options).data))

    def ask(self, usdc: int, judge: Policy, *, to: Address = PARTNER, after_s: int = 60) -> str:
        """Let custody be asked for a payment, and record what its policy said."""
        self.now_s += after_s
        name = f"i-{len(self.outbox.working()) + len(self.outbox.settlements())}-{self.now_s}"
        raw = usdc * 10**6
        plan = TransactionPlan(
            intent_id=IntentId(name), strategy=StrategyId("s"), purpose="transfer", chain_id=ChainId(1), sender=VAULT,
            to=USDC, value_wei=0, data=transfer_data(to, raw), gas_limit=90_000, deadline_s=0,
            spends=(Amount(ASSET, raw),), recipient=to,
        )  # fmt: skip
        self.outbox.record(plan, initiator="erin")
        intent = self.outbox.find(name)
        assert intent is not None
        with self.outbox.transaction() as session:
            self.outbox.step(session, intent, Step.SCREENED)
        intent = self.outbox.find(name)
        assert intent is not None
        facts = Facts(initiator="erin", now_s=self.now_s)
        try:
            with self.outbox.transaction() as session:
                decision = self.outbox.judge(
                    session, lambda spent: judge.evaluate(proposal_of(plan), spent=spent, facts=facts)
                )
                self.outbox.approve(session, intent, replace(decision, requirements=()))
        except Refused as exc:
            with self.outbox.transaction() as session:
                self.outbox.end(session, intent, Step.DECLINED, exc.rule, str(exc))
        return name


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    found = Shell(tmp_path)
    yield found
    found.database.dispose()


def test_lint_accepts_the_example_of_the_handbook_and_fails_on_an_error(shell: Shell) -> None:
    assert shell.run("lint", str(EXAMPLE)) == {"ok": True, "rules": 9, "findings": []}
    bad = shell.draft(rules="  - {id: x, effect: require, group: operators, count: 4}")
    found = shell.run("lint", bad, code=1)
    assert [f["code"] for f in found["findings"] if f["severity"] == "error"] == ["group-too-small"]
    wide = shell.draft(rules="  - {id: x, effect: allow, when: {recipient: '@partners'}}")
    assert shell.run("lint", wide)["ok"]
    shell.run("lint", wide, "--strict", code=1)
    assert "no-limits" in shell.text("lint", wide)


def request(usdc: int, **facts: Any) -> str:
    data = "0x" + transfer_data(PARTNER, usdc * 10**6).hex()
    return json.dumps({"transaction": {"chain_id": 1, "sender": VAULT, "to": USDC, "data": data}, "facts": facts})


def test_explain_says_which_rules_matched_and_why(shell: Shell) -> None:
    draft = shell.draft(rules="  - {id: blocked, effect: deny, when: {aml: block}}")
    screened = {PARTNER: {"verdict": "clear", "risk": 2}}
    small = shell.run("explain", draft, shell.file("small.json", request(900, screened=screened)))
    assert small["allowed"]
    assert small["rules"] == ["partners"]
    assert small["counts"] == {USDC_ID: str(900 * 10**6)}
    assert [t["rule"] for t in small["trace"]] == ["partners"]
    large = shell.run("explain", draft, shell.file("large.json", request(1_500, screened=screened)), "--all")
    assert large["requirements"] == [{"group": "operators", "count": 2, "rule": "large"}]
    assert {t["rule"]: t["matches"] for t in large["trace"]} == {"partners": True, "large": True, "blocked": False}
    unknown = shell.run("explain", draft, shell.file("unknown.json", request(10)), code=1)
    assert unknown["rule"] == "unknown-fact:aml"
    assert {t["rule"]: t["conditions"] for t in unknown["trace"]}["blocked"] == {"kind": "yes", "aml": "unknown: aml"}
    spent = request(900, screened=screened, spent={USDC_ID: str(2_500 * 10**6)})
    velocity = shell.run("explain", draft, shell.file("velocity.json", spent), code=1)
    assert velocity["rule"] == "velocity"
    assert velocity["trace"][0]["limit"].startswith("velocity")
    assert "refused by velocity" in shell.text("explain", draft, str(shell.folder / "velocity.json"), code=1)


def test_explain_reads_withdrawals_documents_and_statements_and_refuses_what_it_cannot(shell: Shell) -> None:
    home = {
        "venue": "kraken",
        "asset": "kraken/USDC",
        "raw": "100",
        "address": "0x4Fd4E6e3FD09b2D15F7197e62b74EBCc9985b80a",
    }
    facts = {"now_s": 1_764_064_800, "prices": {"kraken/USDC": {"usd": "1"}}}  # a Tuesday, 11:00 in Zurich
    assert shell.run("explain", str(EXAMPLE), shell.file("w", json.dumps({"withdrawal": home, "facts": facts})))[
        "rules"
    ] == ["bring-home"]
    evening = {"withdrawal": home, "facts": {**facts, "now_s": 1_764_064_800 + 9 * 3600}}
    assert shell.run("explain", str(EXAMPLE), shell.file("w", json.dumps(evening)), code=1)["rule"] == "hours"
    draft = shell.draft(rules="  - {id: blocked, effect: deny, unless: {aml: clear}}")
    statement = attest(key_of("screening"), "aml", START_S, address=PARTNER, verdict="clear", risk=1)
    told = request(10, now_s=START_S + 60, attestations=[statement])
    assert shell.run("explain", draft, shell.file("told", told))["allowed"]
    late = request(10, now_s=START_S + 3601, attestations=[statement])
    assert shell.run("explain", draft, shell.file("late", late), code=1)["rule"] == "unknown-fact:aml"
    odd = json.dumps({"transaction": {"chain_id": 1, "sender": VAULT, "to": USDC, "data": "0xdeadbeef"}})
    assert shell.run("explain", draft, shell.file("odd", odd), code=1)["rule"] == "unknown-method"
    for bad in ("{", "{}", '{"transaction": {"chain_id": 1}}', '{"transaction": {}, "facts": {"weather": 1}}'):
        found = CliRunner().invoke(cli_main.app, ["policy", "explain", draft, shell.file("bad", bad)])
        assert found.exit_code != 0


def test_dry_run_shows_where_a_draft_would_have_answered_otherwise(shell: Shell) -> None:
    judge = Policy(document())
    first, second, third = (shell.ask(usdc, judge) for usdc in (900, 1_200, 800))
    blocked = shell.ask(500, judge)  # the day's 3,000 are used up
    stranger = shell.ask(10, judge, to=STRANGER)
    where = ("--database", shell.url, "--since", "2025-11-01")
    same = shell.run("dry-run", shell.draft(), *where)
    assert (same["intents"], [row["intent"] for row in same["rows"]]) == (5, [second])
    # It was let out with its approvals, which this desk of the test has left out.
    assert same["rows"][0]["draft"] == "allowed: 2 of operators"
    stricter = shell.draft(rules="  - {id: cap, effect: deny, when: {above: {asset: USDC, amount: 1000 USDC}}}")
    found = {row["intent"]: (row["then"], row["draft"]) for row in shell.run("dry-run", stricter, *where)["rows"]}
    assert found == {second: ("allowed", "refused: cap")}
    wider = shell.file(
        "wider.yaml", Path(shell.draft()).read_text().replace("3000 USDC", "9000 USDC").replace(PARTNER, STRANGER)
    )
    found = {row["intent"]: (row["then"], row["draft"]) for row in shell.run("dry-run", wider, *where)["rows"]}
    assert found[stranger] == ("refused: recipient", "allowed")
    assert found[first] == ("allowed", "refused: recipient")
    everything = shell.run("dry-run", shell.draft(), *where, "--all")["rows"]
    assert {row["intent"]: row["then"] for row in everything}[blocked] == "refused: velocity"
    table = shell.text("dry-run", stricter, *where)
    assert "1 would have been answered otherwise" in table
    later = shell.run("dry-run", stricter, "--database", shell.url, "--since", "2025-11-24T16:03:00Z")
    assert (later["intents"], later["differing"]) == (3, 0)
    assert third in {row["intent"] for row in everything}


def test_explain_knows_recorded_intents_with_their_windows_and_statements(shell: Shell) -> None:
    judge = Policy(document())
    shell.ask(1_900, judge)
    shell.ask(900, judge)
    last = shell.ask(300, judge)
    found = shell.run("explain", shell.draft(), last, "--database", shell.url, code=1)
    assert found["rule"] == "velocity"
    assert "2800000000 in 86400 s" in found["reason"]
    found = CliRunner().invoke(cli_main.app, ["policy", "explain", shell.draft(), "nobody", "--database", shell.url])
    assert found.exit_code != 0
    desk = DatabaseApprovals(shell.database, rules=lambda: judge, now_ns=shell.now_ns)
    assert desk.list() == []


def test_a_policy_is_signed_by_a_quorum_activated_once_and_shown(shell: Shell) -> None:
    draft, bundle, installed = shell.draft(), shell.folder / "bundle.json", shell.folder / "installed.json"
    admins = ("--admins", str(shell.folder / "admins.yaml"), "--database", shell.url, "--yes")
    one = shell.run("sign", draft, "--key-ref", f"file:{shell.folder / 'ada'}", "--out", str(bundle), "--yes")
    assert len(one["signatures"]) == 1
    found = CliRunner().invoke(cli_main.app, ["policy", "activate", str(bundle), *admins])
    assert isinstance(found.exception, Refused)
    assert shell.run("show", "--database", shell.url) == {"active": None, "policies": []}
    two = shell.run("sign", str(bundle), "--key-ref", f"file:{shell.folder / 'grace'}", "--out", str(bundle), "--yes")
    assert {s["admin"] for s in two["signatures"]} == {public("ada"), public("grace")}
    done = shell.run("activate", str(bundle), *admins, "--install", str(installed))
    assert done["digest"] == document().digest == shell.run("show", str(installed))["digest"]
    history = shell.run("show", "--database", shell.url)
    assert history["active"] == 7
    assert [p["version"] for p in history["policies"]] == [7]
    assert "active" in shell.text("show", "--database", shell.url)
    assert "Signed:" in shell.text("show", str(installed))
    # A file that begins with a brace is a bundle, and a bundle is a policy to every other command.
    assert shell.run("lint", str(installed))["ok"]


def test_nothing_with_an_error_is_signed_and_no_key_is_overwritten(shell: Shell) -> None:
    bad = shell.draft(rules="  - {id: x, effect: require, group: operators, count: 4}")
    sign = [
        "policy",
        "sign",
        bad,
        "--key-ref",
        f"file:{shell.folder / 'ada'}",
        "--out",
        str(shell.folder / "b"),
        "--yes",
    ]
    found = CliRunner().invoke(cli_main.app, sign)
    assert "wants 4 of operators" in str(found.exception)
    assert not (shell.folder / "b").exists()
    made = shell.run("keygen", "--out", str(shell.folder / "new"))
    assert (shell.folder / "new").stat().st_mode & 0o777 == 0o600
    assert made["key"].startswith("ed25519:")
    again = CliRunner().invoke(cli_main.app, ["policy", "keygen", "--out", str(shell.folder / "new")])
    assert "exists already" in str(again.exception)
    assert key_text(key_of("ada").public_key()) == public("ada")


def test_the_worked_example_of_the_handbook_is_answered_as_it_says(shell: Shell) -> None:
    page = (ROOT / "docs" / "policy.md").read_text()
    (asked,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    found = shell.run("explain", str(EXAMPLE), shell.file("asked.json", asked))
    assert found["rules"] == ["pay-partners"]
    assert found["requirements"] == [{"group": "treasurers", "count": 2, "rule": "large"}]
    assert found["delay_s"] == 12 * 3600
    data = json.loads(asked)
    del data["facts"]["screened"]
    unknown = shell.run("explain", str(EXAMPLE), shell.file("unknown.json", json.dumps(data)), code=1)
    assert unknown["rule"] == "unknown-fact:aml"
    assert {f"policy {name}" for name in ("lint", "explain", "dry-run", "keygen", "sign", "activate", "show")} == {
        f"policy {command.name or command.callback.__name__}" for command in app.registered_commands
    }
