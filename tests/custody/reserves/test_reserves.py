"""Every user can check the published sums, and no debt can be hidden from all of them."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.ledger import Entry, Ledger, Posting
from custody.reserves import (
    Liabilities,
    Liability,
    ProofError,
    check_liabilities,
    check_ownership,
    check_proof,
    prove_ownership,
    read_liabilities,
    root_file,
    user_proof,
    verifier,
)
from domain import Address, InputError, InvariantError
from runtime.database import Database
from wallets import MessageToSign, Signature

USERS = st.dictionaries(st.from_regex(r"[a-z]{1,6}", fullmatch=True), st.integers(0, 10**78), min_size=1, max_size=20)


def liabilities(owed: dict[str, int], asset: str = "eip155:1/slip44:60") -> Liabilities:
    items = [
        Liability(user, asset, raw, number.to_bytes(4, "big") * 8) for number, (user, raw) in enumerate(owed.items())
    ]
    return Liabilities("ab" * 16, 1, 2, tuple(items))


def one_bit_less(text: str) -> str:
    return f"{int(text, 16) ^ 1:0{len(text)}x}"


@given(owed=USERS, other=USERS)
def test_every_user_finds_their_balance_in_the_published_sums(owed: dict[str, int], other: dict[str, int]) -> None:
    both = replace(liabilities(owed), items=(*liabilities(owed).items, *liabilities(other, "v/USD").items))
    root = json.loads(json.dumps(root_file(both)))
    assert {entry["asset"]: int(entry["sum"]) for entry in root["assets"]} == {
        "eip155:1/slip44:60": sum(owed.values()),
        "v/USD": sum(other.values()),
    }
    taken: set[tuple[str, int]] = set()
    for user in {*owed, *other}:
        proof = json.loads(json.dumps(user_proof(both, user)))
        wanted = {"eip155:1/slip44:60": owed.get(user), "v/USD": other.get(user)}
        assert check_proof(root, proof, taken) == {asset: raw for asset, raw in wanted.items() if raw is not None}
    assert len(taken) == len(owed) + len(other)
    check_liabilities(root, Liabilities.from_wire(json.loads(json.dumps(both.to_wire()))))


def one_more(document: dict[str, Any], field: str, by: int = 1) -> None:
    document[field] = str(int(document[field]) + by)


def flip(document: dict[str, Any], field: str) -> None:
    document[field] = one_bit_less(document[field])


ALTERATIONS: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "a larger balance": lambda root, proof: one_more(proof["balances"][0], "raw"),
    "a negative balance": lambda root, proof: proof["balances"][0].update(raw="-1"),
    "another salt": lambda root, proof: flip(proof["balances"][0], "salt"),
    "another user": lambda root, proof: proof.update(user=proof["user"] + "x"),
    "another asset": lambda root, proof: proof["balances"][0].update(asset="v/NONE"),
    "another build": lambda root, proof: proof.update(build="cd" * 16),
    "another root": lambda root, proof: flip(root["assets"][0], "root"),
    "a larger sum": lambda root, proof: one_more(root["assets"][0], "sum"),
    "many more users": lambda root, proof: root["assets"][0].update(users=root["assets"][0]["users"] * 2 + 1),
    "another place": lambda root, proof: proof["balances"][0].update(index=proof["balances"][0]["index"] ^ 1),
    "no such place": lambda root, proof: proof["balances"][0].update(index=-1),
    "a longer path": lambda root, proof: proof["balances"][0]["path"].append({"hash": "00" * 32, "sum": "0"}),
    "the same twice": lambda root, proof: proof["balances"].append(proof["balances"][0]),
}
ON_THE_PATH: dict[str, Callable[[dict[str, Any], dict[str, Any]], None]] = {
    "another sibling": lambda step, balance: flip(step, "hash"),
    "a larger sibling": lambda step, balance: one_more(step, "sum"),
    "a negative sibling": lambda step, balance: step.update(sum=f"-{int(step['sum']) + 1}"),
    "a missing step": lambda step, balance: balance["path"].remove(step),
    # The sum at the top stays what it was: a debt moved to where nobody looks.
    "a moved debt": lambda step, balance: (one_more(step, "sum", -1), one_more(balance, "raw"))[0],
}


@settings(max_examples=200)
@given(owed=USERS, data=st.data())
def test_whatever_is_altered_in_a_proof_or_root_does_not_hold(owed: dict[str, int], data: st.DataObject) -> None:
    made = liabilities(owed)
    root, proof = root_file(made), user_proof(made, data.draw(st.sampled_from(sorted(owed))))
    balance: dict[str, Any] = proof["balances"][0]
    if balance["path"] and data.draw(st.booleans()):
        step = data.draw(st.sampled_from(balance["path"]))
        ON_THE_PATH[data.draw(st.sampled_from(sorted(ON_THE_PATH)))](step, balance)
    else:
        ALTERATIONS[data.draw(st.sampled_from(sorted(ALTERATIONS)))](root, proof)
    with pytest.raises(ProofError):
        check_proof(root, proof)


@given(owed=USERS.filter(lambda owed: len(owed) > 1), data=st.data())
def test_a_user_who_was_dropped_has_no_proof_and_another_builds_does_not_help(
    owed: dict[str, int], data: st.DataObject
) -> None:
    full = liabilities(owed)
    user = data.draw(st.sampled_from(sorted(owed)))
    cut = replace(full, items=tuple(item for item in full.items if item.user != user))
    root = root_file(cut)
    with pytest.raises(InputError):
        user_proof(cut, user)
    with pytest.raises(ProofError):
        check_proof(root, user_proof(full, user))
    with pytest.raises(ProofError):
        check_liabilities(root, full)


def test_one_leaf_cannot_prove_the_balances_of_two_users() -> None:
    made = liabilities({"ann": 5, "bob": 5, "cid": 1})
    root, proof = root_file(made), user_proof(made, "ann")
    passed_on = copy.deepcopy(proof)
    taken: set[tuple[str, int]] = set()
    check_proof(root, proof, taken)
    with pytest.raises(ProofError, match="used for another"):
        check_proof(root, passed_on, taken)
    passed_on["user"] = "bob"  # The same balance, shown to somebody else as theirs: their name is in the leaf.
    with pytest.raises(ProofError, match="does not lead to the root"):
        check_proof(root, passed_on)


def test_an_auditor_finds_a_leaf_that_was_doubled_or_made_negative() -> None:
    made = liabilities({"ann": 5, "bob": 6})
    for items in ((*made.items, made.items[0]), (replace(made.items[0], raw=-1), made.items[1])):
        with pytest.raises(ProofError):
            check_liabilities(root_file(made), replace(made, items=items))


@pytest.mark.parametrize(
    "broken",
    [{}, {"format": "x"}, {"format": "capstan/reserves-proof/v1", "build": "ab" * 16, "user": "ann", "balances": [1]}],
)
def test_a_file_of_another_form_is_no_proof(broken: dict[str, Any]) -> None:
    with pytest.raises(ProofError):
        check_proof(root_file(liabilities({"ann": 5})), broken)


def test_liabilities_are_what_the_books_owe_in_all_three_accounts(database: Database) -> None:
    ledger = Ledger(database, lambda: 1)

    def owe(account: str, raw: int) -> Entry:
        return Entry(f"{account}/{raw}", "test", (Posting(account, "x/A", -raw), Posting("venue/x", "x/A", raw)))

    ledger.post_many(
        [
            owe("user/ann/available", 5),
            owe("user/ann/pending", 6),
            owe("user/ann/held", 7),
            owe("user/bob/held", 10**70),
        ]
    )
    first, second = read_liabilities(database, 9), read_liabilities(database, 9)
    assert {(item.user, item.asset): item.raw for item in first.items} == {("ann", "x/A"): 18, ("bob", "x/A"): 10**70}
    assert first.entries == 4
    assert not {item.salt for item in first.items} & {item.salt for item in second.items}
    assert check_proof(root_file(first), user_proof(first, "ann")) == {"x/A": 18}
    with pytest.raises(ProofError, match="another root file"):
        check_proof(root_file(second), user_proof(first, "ann"))


def test_books_in_which_a_user_owes_us_are_not_published(tmp_path: Path, database: Database) -> None:
    import sqlalchemy as sa

    with database.transaction() as session:
        session.execute(sa.text("INSERT INTO ledger_balances VALUES ('user/ann/available', 'x/A', 5)"))
    with pytest.raises(InvariantError, match="less than nothing"):
        read_liabilities(database, 1)


async def test_addresses_sign_for_one_build_and_no_other() -> None:
    accounts = [Account.from_key(bytes([number]) * 32) for number in (1, 2)]
    by_address = {account.address: account for account in accounts}
    root = root_file(liabilities({"ann": 5}))

    async def sign(address: Address, message: MessageToSign) -> Signature:
        signed = by_address[address].sign_message(encode_defunct(message.content))
        return Signature.from_bytes(bytes(signed.signature))

    made = await prove_ownership(root, [Address(account.address) for account in accounts], sign)
    assert check_ownership(root, json.loads(json.dumps(made))) == [account.address for account in accounts]
    other = {**root, "build": "cd" * 16}
    with pytest.raises(ProofError):
        check_ownership(other, made)
    with pytest.raises(ProofError, match="did not sign"):
        check_ownership(other, {**made, "build": other["build"]})
    swapped = copy.deepcopy(made)
    swapped["addresses"][0]["signature"] = made["addresses"][1]["signature"]
    with pytest.raises(ProofError, match="did not sign"):
        check_ownership(root, swapped)
    with pytest.raises(ProofError, match="twice"):
        check_ownership(root, {**made, "addresses": [made["addresses"][0]] * 2})


def test_the_verifier_runs_alone_and_the_docs_show_all_of_it(tmp_path: Path) -> None:
    made = liabilities({"ann": 5, "bob": 6, "cid": 10**70})
    script = Path(verifier.__file__)
    (tmp_path / "root.json").write_text(json.dumps(root_file(made)))
    (tmp_path / "ann.json").write_text(json.dumps(user_proof(made, "ann")))
    (tmp_path / "bad.json").write_text(json.dumps({**user_proof(made, "bob"), "user": "ann"}))

    def run(*names: str) -> subprocess.CompletedProcess[str]:
        # Isolated, and without site-packages: nothing but Python itself.
        line = [sys.executable, "-I", "-S", str(script), *names]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)

    good = run("root.json", "ann.json")
    assert (good.returncode, "5 eip155:1/slip44:60" in good.stdout) == (0, True)
    bad = run("root.json", "bad.json")
    assert (bad.returncode, "DOES NOT HOLD" in bad.stdout) == (1, True)
    assert run().returncode == 2
    page = Path(__file__).parents[3] / "docs" / "reserves.md"
    assert script.read_text() in page.read_text()
