"""One intent has one text, one rendering and one digest; anything else in it gives another."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace

import pytest

from custody.approvals import Authorization, CanonicalIntent, Delegation, TypedDocument, Verdict, digest_of
from domain import InputError, Refused
from tests.custody.calls.test_typed_data import DOCUMENTS
from tests.support.approvers import CALL, NAMES, PARTNER, VAULT, WITHDRAWAL, address_of, intent

CHANGES = {
    "intent_id": "w-2",
    "vault": "cold",
    "initiator": "alice",
    "expires_s": 2_001,
    "policy_version": 8,
    "policy_digest": "0" * 64,
}
CALL_CHANGES = {
    "chain_id": 10,
    "sender": address_of("other"),
    "to": address_of("token"),
    "value_wei": 1,
    "data": CALL.data[:-1] + b"\1",
    "gas_limit": 1,
    "fee_per_gas_wei_max": 1,
    "delegations": (Delegation(account=VAULT, delegate=PARTNER, nonce=0),),
}
WITHDRAWAL_CHANGES = {
    "venue": "kraken",
    "asset": "USDT",
    "amount": "1500.26",
    "address": VAULT,
    "network": "ARBITRUM",
    "memo": "7",
}


def every_change():
    yield from (intent(**{name: value}) for name, value in CHANGES.items())
    yield from (intent(subject=replace(CALL, **{name: value})) for name, value in CALL_CHANGES.items())
    yield from (intent(subject=replace(WITHDRAWAL, **{name: value})) for name, value in WITHDRAWAL_CHANGES.items())


def test_every_field_changes_the_digest():
    assert set(CHANGES) | {"subject"} == {field.name for field in fields(CanonicalIntent)}
    assert set(CALL_CHANGES) == {field.name for field in fields(CALL)}
    assert set(WITHDRAWAL_CHANGES) == {field.name for field in fields(WITHDRAWAL)}
    found = [digest_of(changed, "text") for changed in (intent(), intent(subject=WITHDRAWAL), *every_change())]
    assert len(set(found)) == len(found)


def test_the_digest_is_what_the_docs_say():
    canonical, text = intent().canonical(), intent().render(NAMES).encode()
    framed = len(canonical).to_bytes(8, "big") + canonical + len(text).to_bytes(8, "big") + text
    assert digest_of(intent(), text.decode()) == hashlib.sha256(b"capstan/approve/v1\n" + framed).digest()
    assert json.loads(canonical)["subject"]["data"] == "0x" + CALL.data.hex()
    assert digest_of(intent(), text.decode(), Verdict.REJECT) != digest_of(intent(), text.decode())
    # The boundary between intent and text is part of what is hashed.
    assert digest_of(intent(), "ab") != digest_of(intent(), "a")


DELEGATION = Delegation(account=VAULT, delegate=PARTNER, nonce=3)
SUBJECTS = {
    "call": CALL,
    "withdrawal": WITHDRAWAL,
    "delegating call": replace(CALL, delegations=(DELEGATION,)),
    "authorization": Authorization(chain_id=1, delegation=DELEGATION),
    "document": TypedDocument.of(VAULT, DOCUMENTS["SafeTx"]),
}


@pytest.mark.parametrize("subject", SUBJECTS.values(), ids=SUBJECTS)
def test_reading_back_gives_the_same_intent(subject):
    asked = intent(subject=subject)
    assert CanonicalIntent.from_document(json.loads(asked.canonical())) == asked


@pytest.mark.parametrize(
    "change",
    [
        {"expires_s": "02000"},
        {"expires_s": 2000},
        {"expires_s": "+2000"},
        {"extra": 1},
        {"version": 2},
        {"version": True},
        {"vault": "a b"},
        {"vault": "cоld"},  # a Cyrillic letter
        {"policy_digest": "AB" * 32},
        {"initiator": ""},
        {"intent_id": "x\ny"},
        {"subject": None},
        {"subject": {"kind": "transaction"}},
    ],
    ids=str,
)
def test_other_forms_of_an_intent_are_refused(change):
    with pytest.raises(InputError):
        CanonicalIntent.from_document(json.loads(intent().canonical()) | change)


@pytest.mark.parametrize(
    "change", [{"to": PARTNER.lower()}, {"data": CALL.data.hex()}, {"value_wei": "00"}, {"nonce": "1"}], ids=str
)
def test_other_forms_of_a_call_are_refused(change):
    document = json.loads(intent().canonical())
    with pytest.raises(InputError):
        CanonicalIntent.from_document(document | {"subject": document["subject"] | change})


@pytest.mark.parametrize("amount", ["1e3", "1500.250", "01", "-1", "", ".5", "1.", "١"])
def test_amounts_at_exchanges_have_one_form(amount):
    with pytest.raises(InputError):
        replace(WITHDRAWAL, amount=amount)


def test_the_text_says_everything_that_is_approved():
    assert intent().render(NAMES) == (
        "Action:        Send tokens\n"
        "Contract:      USDC (0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48)\n"
        "Amount:        1,500 USDC [0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48]\n"
        f"Recipient:     Partner Ltd ({PARTNER})\n"
        f"From:          Hot vault ({VAULT})\n"
        "Chain:         Ethereum (chain id 1)\n"
        "Network fee:   at most 0.005 ETH\n"
        "Vault:         hot\n"
        "Asked by:      erin\n"
        "Approve until: 1970-01-01 00:33:20 UTC\n"
        f"Policy:        version 7, {intent().policy_digest}\n"
        "Intent:        w-1\n"
    )


def test_a_withdrawal_from_an_exchange_is_said_in_full():
    stranger = intent(subject=replace(WITHDRAWAL, address="bc1qxyz", memo="42")).render(NAMES).splitlines()
    assert stranger[:5] == [
        "Action:        Withdraw from binance",
        "Amount:        1500.25 USDC",
        "Recipient:     bc1qxyz",
        "Network:       ETH",
        "Memo:          42",
    ]
    assert stranger[-1] == "WARNING: bc1qxyz is not in the address book"
    known = intent(subject=replace(WITHDRAWAL, address=PARTNER.lower())).render(NAMES).splitlines()
    assert known[2] == f"Recipient:     Partner Ltd ({PARTNER.lower()})"


def test_a_look_alike_at_an_exchange_is_refused():
    for twin in (PARTNER[:6] + "0" * 32 + PARTNER[-4:], (PARTNER[:6] + "F" * 32 + PARTNER[-4:]).lower()):
        with pytest.raises(Refused) as refusal:
            intent(subject=replace(WITHDRAWAL, address=twin)).render(NAMES)
        assert refusal.value.rule == "look-alike"


def test_a_delegation_is_said_loudly():
    for name in ("delegating call", "authorization"):
        lines = intent(subject=SUBJECTS[name]).render(NAMES).splitlines()
        assert f"Account:       Hot vault ({VAULT})" in lines
        assert f"Runs code of:  Partner Ltd ({PARTNER})" in lines
        assert lines[-1] == f"WARNING: {PARTNER} may do anything with {VAULT}"
    with pytest.raises(Refused, match="every chain"):
        intent(subject=Authorization(chain_id=0, delegation=DELEGATION)).render(NAMES)


def test_a_document_is_said_in_full():
    names = replace(NAMES, addresses=NAMES.addresses | {(0, address_of("safe")): "Treasury Safe"})
    lines = intent(subject=SUBJECTS["document"]).render(names).splitlines()
    assert lines[0] == "Action:        Sign as an owner of a Safe: let it act"
    assert f"  Recipient:     Partner Ltd ({PARTNER})" in lines
    assert f"Signed by:     Hot vault ({VAULT})" in lines
