"""Statements of services: believed when they are genuine, fresh and about this, and otherwise not there."""

from __future__ import annotations

from typing import Any

import pytest

from custody.policy import Facts, Price, Proposal, Screened, Simulation
from custody.policy.attestations import attest, attested_facts, attested_initiator, subject_of
from domain import Address, ChainId, InputError
from tests.support.approvers import PARTNER, USDC, VAULT, key_of, transfer_data
from tests.support.policies import NOW_S, STRANGER, USDC_ID, document

RULES = document().document
PROPOSAL = Proposal(chain_id=ChainId(1), sender=VAULT, to=USDC, value_wei=0, data=transfer_data(PARTNER, 5))
SUBJECT = subject_of(PROPOSAL)


def facts(*statements: Any, now_s: int = NOW_S, sender: Address = VAULT, subject: str = SUBJECT) -> Facts:
    known = Facts(initiator="erin", now_s=now_s)
    return attested_facts(list(statements), RULES, known=known, now_s=now_s, subject=subject, sender=sender)


def price(signer: str = "prices", at_s: int = NOW_S, usd_micro: str = "999000") -> dict[str, Any]:
    return attest(key_of(signer), "usd-price", at_s, asset=USDC_ID, usd_micro=usd_micro)


def test_genuine_statements_become_facts() -> None:
    changes = {"subject": SUBJECT, "changes": {USDC_ID: "-5"}, "allowances": [[USDC_ID, STRANGER]]}
    found = facts(
        price(),
        attest(key_of("screening"), "aml", NOW_S, address=PARTNER, verdict="clear", risk=3),
        attest(key_of("screening"), "first-seen", NOW_S, address=PARTNER, first_seen_s=10),
        attest(key_of("simulator"), "simulation", NOW_S, **changes),
        attest(key_of("prices"), "balances", NOW_S, address=VAULT, balances={USDC_ID: "77"}),
    )
    assert found.prices == {USDC_ID: Price(999_000, NOW_S)}
    assert found.screened == {PARTNER: Screened("clear", 3)}
    assert found.first_seen_s == {PARTNER: 10}
    assert found.simulation == Simulation({USDC_ID: -5}, frozenset({(USDC_ID, STRANGER)}))
    assert found.balances == {USDC_ID: 77}
    assert found.initiator == "erin"


@pytest.mark.parametrize(
    "statement",
    [
        price(at_s=NOW_S - 121),
        price(at_s=NOW_S + 31),
        price(signer="mallory"),
        price(signer="screening"),
        price() | {"usd_micro": "1"},
        price() | {"signature": "00"},
        price() | {"attester": "passkey:x"},
        price() | {"surprise": 1},
        {k: v for k, v in price().items() if k != "asset"},
        price(usd_micro="-1"),
        price(usd_micro="1.5"),
        {"fact": "unheard-of"},
        "text",
        None,
    ],
)
def test_what_is_stale_forged_or_malformed_is_unknown(statement: Any) -> None:
    assert facts(statement).prices == {}


def test_statements_about_something_else_are_unknown() -> None:
    other = subject_of(Proposal(chain_id=ChainId(1), sender=VAULT, to=USDC, value_wei=1, data=PROPOSAL.data))
    assert other != SUBJECT
    simulated = attest(key_of("simulator"), "simulation", NOW_S, subject=other, changes={}, allowances=[])
    held = attest(key_of("prices"), "balances", NOW_S, address=STRANGER, balances={})
    assert facts(simulated, held) == facts()
    assert facts(simulated, subject=other).simulation == Simulation({}, frozenset())


def test_the_later_of_two_statements_counts_in_any_order() -> None:
    old, new = price(at_s=NOW_S - 60, usd_micro="1"), price(at_s=NOW_S - 5, usd_micro="2")
    assert facts(old, new).prices == facts(new, old).prices == {USDC_ID: Price(2, NOW_S - 5)}


def test_who_asked_is_signed_by_that_person() -> None:
    def asked(signer: str, person: str = "frank", subject: str = SUBJECT, at_s: int = NOW_S) -> bool:
        statement = attest(key_of(signer), "initiator", at_s, subject=subject, person=person)
        return attested_initiator([statement], RULES, person="frank", subject=SUBJECT, now_s=NOW_S)

    assert asked("frank")
    assert not asked("alice")
    assert not asked("frank", person="alice")
    assert not asked("frank", subject="00")
    assert not asked("frank", at_s=NOW_S - 86_401)


def test_statements_that_nobody_could_read_are_not_signed() -> None:
    with pytest.raises(InputError):
        attest(key_of("prices"), "usd-price", NOW_S, asset=USDC_ID)
    with pytest.raises(InputError):
        attest(key_of("prices"), "weather", NOW_S)


def test_the_subject_is_what_a_transaction_does() -> None:
    base = {"chain_id": ChainId(1), "sender": VAULT, "to": USDC, "value_wei": 0, "data": b""}
    others = ({"chain_id": ChainId(2)}, {"sender": STRANGER}, {"to": STRANGER}, {"value_wei": 1}, {"data": b"x"})
    names = {subject_of(Proposal(**{**base, **change})) for change in ({}, *others)}  # type: ignore[arg-type]
    assert len(names) == 6
    assert subject_of(Proposal(**base, gas_limit=9)) == subject_of(Proposal(**base))  # type: ignore[arg-type]
