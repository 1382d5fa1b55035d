"""Lint finds each thing it knows, and nothing in the examples we ship."""

from __future__ import annotations

from pathlib import Path

import pytest

from custody.policy import Rulebook, load_rulebook, rulebook_of
from custody.policy.lint import Severity, lint
from tests.support.approvers import PARTNER
from tests.support.policies import STRANGER, document

ROOT = Path(__file__).parents[3]


def codes(rulebook: Rulebook) -> set[tuple[str, str]]:
    return {(finding.code, finding.where) for finding in lint(rulebook.document)}


def test_the_shipped_example_is_fit_to_sign_without_a_remark() -> None:
    assert lint(load_rulebook(ROOT / "examples" / "policy.yaml").document) == []


@pytest.mark.parametrize(
    ("rules", "code", "where"),
    [
        ("  - {id: all, effect: deny}", "unreachable", "rule partners"),
        ("  - {id: x, effect: allow, when: {chain: 5}}", "unreachable", "rule x"),
        ("  - {id: x, effect: allow, when: {kind: transfer, venue: kraken}}", "unreachable", "rule x"),
        ("  - {id: x, effect: allow, when: {kind: transfer, spender: '@partners'}}", "unreachable", "rule x"),
        ("  - {id: x, effect: delay, delay: 1h, when: {kind: message}}", "unreachable", "rule x"),
        ("  - {id: x, effect: deny, when: {asset: [USDC, ETH]}}", "shadowed", "rule partners"),
        (
            "  - {id: x, effect: deny, when: {kind: [transfer, swap], recipient: '@partners'}}",
            "shadowed",
            "rule partners",
        ),
        (
            "  - {id: x, effect: require, group: operators, count: 2, when: {above: {asset: USDC, amount: 1000 USDC}}}",
            "repeated",
            "rule x",
        ),
        ("  - {id: x, effect: allow, when: {recipient: '@partners'}}", "no-limits", "rule x"),
        ("  - {id: x, effect: allow, limits: {amounts: [{per_transaction: 1}]}}", "anybody", "rule x"),
        ("  - {id: x, effect: allow, limits: {amounts: [{per_transaction: 1}]}}", "no-window", "rule x"),
        ("  - {id: x, effect: require, group: operators, count: 4}", "group-too-small", "rule x"),
        ("  - {id: x, effect: require, group: operators, count: 3}", "group-without-spare", "rule x"),
        (
            "  - {id: x, effect: allow, when: {initiator: {groups: [operators]}}}\n"
            "  - {id: y, effect: require, group: operators, count: 3}",
            "cannot-approve",
            "rule y",
        ),
        ("  - {id: x, effect: allow, when: {initiator: {groups: [operators]}}}", "approve-each-other", "rule large"),
        ("  - {id: x, effect: allow, when: {method: transferr}}", "unknown-method", "rule x"),
        (f"  - {{id: x, effect: allow, when: {{asset: 'eip155:1/erc20:{STRANGER}'}}}}", "unknown-asset", "rule x"),
        (
            "  - {id: x, effect: allow, when: {asset: USDC}, limits: {amounts: [{asset: ETH, lifetime: 1 ETH}]}}",
            "idle-limit",
            "rule x",
        ),
        ("  - {id: x, effect: allow, limits: {simulation: {}}}", "", ""),
    ],
)
def test_each_mistake_is_found_where_it_is(rules: str, code: str, where: str) -> None:
    before, found = codes(document()), codes(document(rules=rules))
    if code:
        assert (code, where) not in before
        assert (code, where) in found
    else:
        assert ("no-limits", "rule x") not in found


def test_an_allow_rule_that_another_always_joins_is_told_so() -> None:
    wide = "  - {id: wide, effect: allow, when: {kind: transfer}, limits: {amounts: [{per_transaction: 5}]}}"
    assert ("limited-twice", "rule partners") in codes(document(rules=wide))


def test_lists_that_overlap_or_hold_look_alikes_are_found() -> None:
    data = dict(document().data)
    # Same first and last four digits: what a wallet shows as 0x1234…abcd.
    planted = PARTNER[:6] + "0" * 32 + PARTNER[-4:]
    lists = {"partners": [PARTNER], "others": [PARTNER, PARTNER.lower()], "empty": [], "planted": [planted.lower()]}
    found = codes(rulebook_of({**data, "lists": lists}))
    assert {
        ("overlapping-lists", "list others"),
        ("repeated", "list others"),
        ("unused", "list others"),
        ("empty-list", "list empty"),
    } <= found
    assert any(code == "look-alike" for code, _ in found)


def test_facts_that_nobody_attests_and_approvers_without_keys_are_found() -> None:
    data = dict(document(rules="  - {id: x, effect: deny, when: {aml: block}}").data)
    assert ("nobody-attests", "rule x") not in codes(rulebook_of(data))
    assert ("nobody-attests", "rule x") in codes(rulebook_of({**data, "attesters": {}}))
    people = {**data["people"], "alice": {}}
    assert ("keyless-approver", "group operators") in codes(rulebook_of({**data, "people": people}))


def test_an_empty_policy_allows_nothing_and_lint_says_so() -> None:
    empty = rulebook_of({"version": 1, "chains": {}, "rules": []})
    assert ("allows-nothing", "rules") in codes(empty)
    assert [finding.severity for finding in lint(empty.document)] == sorted(
        (finding.severity for finding in lint(empty.document)), key=list(Severity).index
    )
