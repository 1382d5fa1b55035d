"""A document is read without surprises, or not at all; its digest names what was written."""

from __future__ import annotations

import pytest

from custody.policy import read_rulebook, rulebook_of
from custody.policy.rulebook import parse_yaml
from domain import InputError
from tests.support.policies import PARTNER, USDC_ID, document

SMALL = """
version: 1
chains: {1: {}}
rules:
  - id: a
    effect: allow
"""


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: 1\na: 2", "twice"),
        ("a: {b: 1, b: 2}", "twice"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: !!python/object:os.system {}", "could not determine a constructor"),
        ("? [1, 2]\n: 3", "a key is"),
        ("- 1", "must be a mapping"),
        ("a: [", "not usable YAML"),
        ("a: 1\n---\nb: 2", "expected a single document"),
    ],
)
def test_yaml_that_could_mislead_is_refused(text: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        parse_yaml(text)


def test_only_plain_integers_true_false_and_null_are_not_text() -> None:
    data = parse_yaml("{a: 0x10, b: 09:30, c: yes, d: 1_000, e: 12, f: true, g: null, h: 1.5, i: 2026-01-01, j: 010}")
    assert data == {
        "a": "0x10", "b": "09:30", "c": "yes", "d": "1_000", "e": 12, "f": True, "g": None, "h": "1.5",
        "i": "2026-01-01", "j": "010",
    }  # fmt: skip


def test_the_digest_is_of_the_data_not_of_its_spelling() -> None:
    reordered = """
# a comment
rules: [{effect: allow, id: "a"}]
chains: {"1": {}}
version: 1
"""
    assert read_rulebook(SMALL).digest == read_rulebook(reordered).digest
    assert rulebook_of(read_rulebook(SMALL).data).digest == read_rulebook(SMALL).digest
    assert read_rulebook(SMALL.replace("id: a", "id: b")).digest != read_rulebook(SMALL).digest
    assert read_rulebook(SMALL + "    limits: {}").digest != read_rulebook(SMALL).digest


@pytest.mark.parametrize(
    ("rule", "what"),
    [
        ("{id: x, effect: allow, wen: {}}", "rule x.wen"),
        ("{id: x, effect: permit}", "rule x.effect"),
        ("{id: x, effect: require}", "require takes count, group"),
        ("{id: x, effect: require, group: operators, count: 2, delay: 1h}", "require takes"),
        ("{id: x, effect: require, group: nobody, count: 2}", "no group 'nobody'"),
        ("{id: x, effect: delay, delay: 0s}", "rule x.delay"),
        ("{id: x, effect: delay, delay: 3600}", "duration"),
        ("{id: x, effect: deny, limits: {}}", "only allow has limits"),
        ("{id: partners, effect: allow}", "rule 'partners' is there twice"),
        ("{id: x, effect: allow, when: {recipient: '@nobody'}}", "no list '@nobody'"),
        (f"{{id: x, effect: allow, when: {{recipient: '{PARTNER.lower()}'}}}}", "no checksummed address"),
        ("{id: x, effect: allow, when: {vault: cold}}", "no vault 'cold'"),
        ("{id: x, effect: allow, when: {initiator: {roles: [king]}}}", "nobody has the role"),
        ("{id: x, effect: allow, when: {initiator: {}}}", "names nobody"),
        ("{id: x, effect: allow, when: {above: {amount: 1, usd: 2}}}", "exactly one of"),
        ("{id: x, effect: allow, when: {hours: {zone: Mars/Base}}}", "no such time zone"),
        ("{id: x, effect: allow, when: {asset: []}}", "at least 1 item"),
        ("{id: x, effect: allow, unless: {}}", "unless without a condition"),
        ("{id: x, effect: allow, limits: {amounts: [{asset: USDC, per_transaction: 1.5 ETH}]}}", "entry for eip155"),
        ("{id: x, effect: allow, limits: {amounts: [{asset: USDC, per_transaction: 1.5 EUR}]}}", "no asset 'EUR'"),
        ("{id: x, effect: allow, limits: {amounts: [{asset: USDC, approval: 0.0000001 USDC}]}}", "has 6 decimals"),
        ("{id: x, effect: allow, limits: {amounts: [{per_transaction: 1e18}]}}", "raw amount"),
        ("{id: x, effect: allow, limits: {amounts: [{per_transaction: true}]}}", "expected digits"),
        ("{id: x, effect: allow, limits: {amounts: [{asset: USDC}, {asset: USDC}]}}", "two entries"),
    ],
)
def test_a_rule_with_a_mistake_does_not_load_and_says_which(rule: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        document(rules=f"  - {rule}")


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ("activates_at: tomorrow", "an instant is written"),
        ("min_delay: soon", "duration"),
        ("surprise: 1", "surprise"),
    ],
)
def test_a_document_with_a_mistake_does_not_load(extra: str, what: str) -> None:
    with pytest.raises(InputError, match=what):
        document(extra=extra)


def test_one_key_is_one_person() -> None:
    data = dict(document().data)
    people = dict(data["people"])
    with pytest.raises(InputError, match="is there twice"):
        rulebook_of({**data, "people": {**people, "mallory": people["alice"]}})
    with pytest.raises(InputError, match="no person 'mallory'"):
        rulebook_of({**data, "groups": {"operators": ["mallory"]}})


def test_amounts_may_be_written_in_whole_units() -> None:
    limits = document().document.rules[0].limits
    assert limits is not None
    assert limits.amounts is not None
    assert (limits.amounts[0].asset, limits.amounts[0].per_transaction) == (USDC_ID, 2_000 * 10**6)
    assert limits.amounts[0].windows[0].amount == 3_000 * 10**6
