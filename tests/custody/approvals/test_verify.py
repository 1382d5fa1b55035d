"""A signer counts what verifies under its own bundle for its own reading of the transaction, and nothing else."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.approvals import ApprovalUses, Delegation, Verdict, approve, key_text, verify
from domain import Refused
from tests.support.approvers import (
    CALL,
    NAMES,
    PARTNER,
    WITHDRAWAL,
    Bundle,
    address_of,
    groups_of,
    intent,
    key_of,
    need,
    transfer_data,
)


def evidence(*approvers, asked=None, bundle=None, verdict=Verdict.APPROVE):
    asked = asked or intent()
    text = asked.render((bundle or Bundle()).names)
    return {
        "intent": asked.to_document(),
        "text": text,
        "approvals": [approve(key_of(name), asked, text, verdict).to_document() for name in approvers],
    }


def check(document, *requirements, subject=CALL, bundle=None, now_s=1_000):
    verified = verify(document, subject=subject, rules=bundle or Bundle(), now_s=now_s)
    verified.check(requirements)
    return verified


def rule_of(*arguments, **options):
    with pytest.raises(Refused) as refusal:
        check(*arguments, **options)
    return refusal.value.rule


def test_a_quorum_passes():
    verified = check(evidence("alice", "bob"), need(2), need(1, "treasurers"))
    assert verified.approvers == {"operators": {"alice", "bob"}, "treasurers": {"alice"}}


def test_too_few_are_refused():
    assert rule_of(evidence("alice"), need(2)) == "approvals-missing"
    assert rule_of(evidence(), need(1)) == "approvals-missing"
    assert rule_of(evidence("alice", "bob"), need(1), need(2, "treasurers")) == "approvals-missing"


def test_a_group_nobody_is_in_is_never_met():
    assert rule_of(evidence("alice", "bob"), need(1, "ghosts")) == "approvals-missing"


def test_one_person_counts_once_per_group():
    assert rule_of(evidence("alice", "alice"), need(2)) == "approvals-missing"
    second = key_text(key_of("alice's phone").public_key())
    groups = groups_of(operators=("alice", "bob"))
    groups["operators"]["alice"] += (second,)
    assert rule_of(evidence("alice", "alice's phone"), need(2), bundle=Bundle(groups=groups)) == "approvals-missing"
    check(evidence("alice's phone", "bob"), need(2), bundle=Bundle(groups=groups))


def test_a_key_under_two_names_voids_the_bundle():
    groups = groups_of(operators=("alice", "bob"))
    groups["operators"]["mallory"] = groups["operators"]["alice"]
    assert rule_of(evidence("alice"), need(1), bundle=Bundle(groups=groups)) == "shared-key"


def test_the_initiator_cannot_approve():
    asked = intent(initiator="alice")
    assert rule_of(evidence("alice", "bob", asked=asked), need(1)) == "initiator"
    check(evidence("bob", "carol", asked=asked), need(2))


def test_strangers_do_not_count():
    assert rule_of(evidence("mallory", "bob"), need(2)) == "approvals-missing"


def test_who_left_the_bundle_does_not_count():
    smaller = Bundle(groups=groups_of(operators=("bob", "carol")))
    assert rule_of(evidence("alice", "bob"), need(2), bundle=smaller) == "approvals-missing"


def test_a_rejection_ends_it():
    document = evidence("alice", "bob")
    document["approvals"] += evidence("carol", verdict=Verdict.REJECT)["approvals"]
    assert rule_of(document, need(2)) == "approval-rejected"


def test_a_rejection_is_not_taken_for_an_approval():
    document = evidence("alice", verdict=Verdict.REJECT)
    document["approvals"][0]["verdict"] = "approve"
    assert rule_of(document, need(1)) == "approval-signature"


@pytest.mark.parametrize(
    "change",
    [
        {"to": address_of("other")},
        {"data": transfer_data(PARTNER, 1_500_000_001)},
        {"data": transfer_data(address_of("thief"), 1_500_000_000)},
        {"value_wei": 1},
        {"chain_id": 10},
        {"sender": address_of("other vault")},
        {"gas_limit": CALL.gas_limit + 1},
        {"fee_per_gas_wei_max": CALL.fee_per_gas_wei_max + 1},
        {"delegations": (Delegation(account=CALL.sender, delegate=PARTNER, nonce=0),)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_another_transaction_than_approved_is_refused(change):
    assert rule_of(evidence("alice", "bob"), need(2), subject=replace(CALL, **change)) == "approval-subject"


def test_lower_fees_than_approved_pass():
    check(evidence("alice", "bob"), need(2), subject=replace(CALL, gas_limit=21_000, fee_per_gas_wei_max=1))


def test_an_exchange_withdrawal_is_not_a_transaction():
    asked = intent(subject=WITHDRAWAL)
    check(evidence("alice", asked=asked), need(1), subject=WITHDRAWAL)
    assert rule_of(evidence("alice", asked=asked), need(1), subject=CALL) == "approval-subject"
    assert rule_of(evidence("alice"), need(1), subject=WITHDRAWAL) == "approval-subject"
    more = replace(WITHDRAWAL, amount="15002.5")
    assert rule_of(evidence("alice", asked=asked), need(1), subject=more) == "approval-subject"


def test_a_stale_approval_is_refused():
    check(evidence("alice"), need(1), now_s=1_999)
    assert rule_of(evidence("alice"), need(1), now_s=2_000) == "approval-expired"


@pytest.mark.parametrize("change", [{"version": 8}, {"digest": "0" * 64}], ids=str)
def test_a_policy_edited_after_approval_voids_it(change):
    assert rule_of(evidence("alice"), need(1), bundle=replace(Bundle(), **change)) == "policy-changed"


def test_another_text_than_this_signer_writes_is_refused():
    renamed = replace(NAMES, addresses={(0, PARTNER): "Charity"})
    assert rule_of(evidence("alice"), need(1), bundle=Bundle(names=renamed)) == "approval-text"
    document = evidence("alice")
    document["text"] = document["text"].replace("1,500", "15")
    assert rule_of(document, need(1)) == "approval-text"


@given(st.data())
def test_a_changed_signature_never_counts(data):
    document = evidence("alice")
    signature = bytearray.fromhex(document["approvals"][0]["proof"]["signature"])
    position = data.draw(st.integers(0, len(signature) * 8 - 1))
    signature[position // 8] ^= 1 << position % 8
    document["approvals"][0]["proof"]["signature"] = signature.hex()
    assert rule_of(document, need(1)) == "approval-signature"


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        float("inf"),
        ["intent"],
        {"intent": {}},
        {"intent": 1, "text": "", "approvals": []},
        evidence("alice") | {"approvals": "alice"},
        evidence("alice") | {"approvals": [{"key": 1}]},
        evidence("alice") | {"approvals": [{}]},
        evidence("alice") | {"text": None},
        evidence(*["alice"] * 65),
    ],
    ids=lambda document: str(document)[:40],
)
def test_evidence_that_cannot_be_read_is_refused(document):
    assert rule_of(document, need(1)) == "no-approval"


PEOPLE = ("alice", "bob", "carol", "dave", "erin", "mallory")
members = st.lists(st.sampled_from(PEOPLE[:5]), unique=True, max_size=5)
requirements = st.lists(
    st.builds(need, st.integers(1, 4), st.sampled_from(["operators", "treasurers", "ghosts"])), max_size=3
)


@given(
    operators=members,
    treasurers=members,
    approvers=st.lists(st.sampled_from(PEOPLE), max_size=8),
    wanted=requirements,
    initiator=st.sampled_from(PEOPLE),
)
def test_quorums_are_counted_as_a_child_would(operators, treasurers, approvers, wanted, initiator):
    bundle = Bundle(groups=groups_of(operators=tuple(operators), treasurers=tuple(treasurers)))
    groups = {"operators": set(operators), "treasurers": set(treasurers), "ghosts": set()}
    is_known = initiator in groups["operators"] | groups["treasurers"]
    expected = all(len(set(approvers) & groups[each.group]) >= each.count for each in wanted)
    shown = evidence(*approvers, asked=intent(initiator=initiator))
    if is_known and initiator in approvers:
        assert rule_of(shown, *wanted, bundle=bundle) == "initiator"
    elif expected:
        check(shown, *wanted, bundle=bundle)
    else:
        assert rule_of(shown, *wanted, bundle=bundle) == "approvals-missing"


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def put(value, path, new):
    if not path:
        return new
    changed = copy.copy(value)
    changed[path[0]] = put(value[path[0]], path[1:], new)
    return changed


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


@given(st.data())
def test_whatever_a_coordinator_shows_the_answer_is_no_and_no_crash(data):
    honest = evidence("alice", "bob")
    path = data.draw(st.sampled_from(list(places(honest))))
    shown = put(honest, path, data.draw(json_values | st.just(float("inf")) | st.just("9" * 5_000)))
    try:
        check(shown, need(2))
    except Refused:
        return
    assert {key: shown[key] for key in honest} == honest


def test_an_intent_nested_too_deep_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert rule_of(evidence("alice") | {"intent": evidence("alice")["intent"] | {"x": deep}}, need(1)) == "no-approval"


def test_an_intent_is_used_under_one_nonce(tmp_path):
    uses = ApprovalUses(tmp_path / "uses.db")
    place = {"key": CALL.sender, "chain_id": 1, "nonce": 5}
    uses.take("w-1", b"d" * 32, **place)
    uses.take("w-1", b"d" * 32, **place)  # a fee bump, or the same request again
    uses.take("w-2", b"d" * 32, **place)
    uses.close()
    again = ApprovalUses(tmp_path / "uses.db")
    other = {"nonce": 6, "chain_id": 10, "key": address_of("other")}
    for change in other.items():
        with pytest.raises(Refused, match="were used for nonce 5"):
            again.take("w-1", b"d" * 32, **(place | dict([change])))
    with pytest.raises(Refused) as refusal:
        again.take("w-1", b"e" * 32, **place)
    assert refusal.value.rule == "approval-replayed"
