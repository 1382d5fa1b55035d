"""What rules mean, in cases a person can follow; the reference evaluator covers the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from custody.policy import (
    LIFETIME_S,
    Action,
    Facts,
    Kind,
    Policy,
    Price,
    Screened,
    Simulation,
    read_authorization,
    read_message,
    read_rulebook,
    read_typed_data,
    read_withdrawal,
)
from custody.policy.schema import PolicyDocument
from domain import ChainId, Refused
from tests.support.approvers import PARTNER, USDC, VAULT
from tests.support.policies import COIN_ID, NOW_S, STRANGER, USDC_ID, Tally, nothing_spent, permit, policy

PAY = Action(
    kind=Kind.TRANSFER, chain=1, sender=VAULT, contract=USDC, method="transfer", selector="0xa9059cbb",
    recipients=(PARTNER,), spends={USDC_ID: 500 * 10**6},
)  # fmt: skip
CHEAP = Facts(now_s=NOW_S, prices={USDC_ID: Price(1_000_000, NOW_S), COIN_ID: Price(2_500_000_000, NOW_S)})


def refused(judge: Policy, action: Action = PAY, facts: Facts = CHEAP, spent: Any = nothing_spent) -> str:
    with pytest.raises(Refused) as error:
        judge.judge(action, spent=spent, facts=facts)
    return error.value.rule


def test_what_no_rule_allows_is_refused_under_the_condition_that_was_missed() -> None:
    judge = policy()
    assert judge.judge(PAY, spent=nothing_spent).rules == ("partners",)
    assert refused(judge, replace(PAY, recipients=(STRANGER,))) == "recipient"
    assert refused(judge, replace(PAY, recipients=(PARTNER, STRANGER))) == "recipient"
    assert refused(judge, replace(PAY, spends={"eip155:1/erc20:" + STRANGER: 1})) == "asset"
    assert refused(judge, replace(PAY, kind=Kind.CALL)) == "kind"
    assert refused(judge, replace(PAY, chain=2)) == "chain"


def test_a_deny_outweighs_any_allow_and_an_unknown_fact_any_yes() -> None:
    blocked = "  - {id: sanctioned, effect: deny, when: {aml: block}}"
    judge = policy(rules=blocked)
    facts = replace(CHEAP, screened={PARTNER: Screened("block", 90)})
    assert refused(judge, facts=facts) == "sanctioned"
    assert refused(judge) == "unknown-fact:aml"
    judge.judge(PAY, spent=nothing_spent, facts=replace(CHEAP, screened={PARTNER: Screened("clear", 1)}))


def test_an_amount_split_into_many_meets_the_window() -> None:
    judge, tally = policy(), Tally()
    whole = replace(PAY, spends={USDC_ID: 4_000 * 10**6})
    assert refused(judge, whole) == "amount"
    part = replace(PAY, spends={USDC_ID: 900 * 10**6})
    for _ in range(3):
        tally.add(judge.judge(part, spent=tally, facts=CHEAP).counts)
    assert refused(judge, part, spent=tally) == "velocity"
    tally.now_s += 24 * 3600
    judge.judge(part, spent=tally, facts=CHEAP)


def test_approvals_are_asked_for_when_many_small_amounts_make_a_large_one() -> None:
    judge, tally = policy(rules="""
  - id: many
    effect: require
    group: operators
    count: 1
    when: {above: {asset: USDC, amount: "1000 USDC", window: 1h}}
"""), Tally()  # fmt: skip
    part = replace(PAY, spends={USDC_ID: 400 * 10**6})
    asked = []
    for _ in range(4):
        found = judge.judge(part, spent=tally, facts=CHEAP)
        tally.add(found.counts)
        asked.append([r.rule for r in found.requirements])
    assert asked == [[], [], ["many"], ["many"]]
    both = judge.judge(replace(PAY, spends={USDC_ID: 1_500 * 10**6}), spent=nothing_spent, facts=CHEAP)
    assert [(r.group, r.count, r.rule) for r in both.requirements] == [
        ("operators", 2, "large"),
        ("operators", 1, "many"),
    ]


def test_every_limit_of_every_matching_allow_rule_holds() -> None:
    judge = policy(rules="  - {id: everything, effect: allow, when: {kind: transfer}}")
    assert judge.judge(PAY, spent=nothing_spent, facts=CHEAP).rules == ("partners", "everything")
    assert refused(judge, replace(PAY, spends={USDC_ID: 2_001 * 10**6})) == "amount"
    judge.judge(replace(PAY, spends={USDC_ID: 2_001 * 10**6}, recipients=(STRANGER,)), spent=nothing_spent, facts=CHEAP)


def test_delays_do_not_add_up_the_longest_counts() -> None:
    judge = policy(
        rules="""
  - {id: slow, effect: delay, delay: 1h}
  - {id: slower, effect: delay, delay: 2h, when: {asset: USDC}}
  - {id: other, effect: delay, delay: 9h, when: {asset: ETH}}
"""
    )
    assert judge.judge(PAY, spent=nothing_spent, facts=CHEAP).delay_s == 7200


def with_limits(limits: str) -> Policy:
    """A policy of one rule that allows everything within limits."""
    return Policy(
        read_rulebook(f"""
version: 1
assets:
  USDC: {{id: "{USDC_ID}", decimals: 6}}
  ETH: {{id: "{COIN_ID}", decimals: 18}}
chains: {{1: {{}}}}
rules:
  - id: all
    effect: allow
    limits: {limits}
""")
    )


def test_dollars_round_up_and_need_a_fresh_price() -> None:
    judge = with_limits("{usd: {per_transaction: 500, windows: [{window: 24h, amount: 900}], lifetime: 1500}}")
    assert judge.judge(PAY, spent=nothing_spent, facts=CHEAP).counts["usd"] == 500 * 10**6
    dearer = replace(CHEAP, prices={USDC_ID: Price(1_000_001, NOW_S)})
    assert refused(judge, facts=dearer) == "usd-amount"
    assert refused(judge, facts=replace(CHEAP, prices={USDC_ID: Price(1, NOW_S - 121)})) == "unknown-fact:usd-price"
    assert refused(judge, facts=replace(CHEAP, prices={USDC_ID: Price(1, NOW_S + 31)})) == "unknown-fact:usd-price"
    assert refused(judge, spent=lambda c, w: 401 * 10**6 if (c, w) == ("usd", 86_400) else 0) == "usd-velocity"
    assert refused(judge, spent=lambda c, w: 1_001 * 10**6 if (c, w) == ("usd", LIFETIME_S) else 0) == "usd-lifetime"
    dust = replace(PAY, spends={USDC_ID: 1})
    assert (
        judge.judge(dust, spent=nothing_spent, facts=replace(CHEAP, prices={USDC_ID: Price(3, NOW_S)})).counts["usd"]
        == 1
    )


def test_a_simulation_must_stay_within_its_bounds_and_give_no_allowance_besides() -> None:
    judge = with_limits('{simulation: {moves: [{asset: USDC, lowest: "-500 USDC"}]}}')
    assert refused(judge) == "unknown-fact:simulation"

    def seen(changes: dict[str, int], *allowances: tuple[str, Any]) -> Facts:
        return replace(CHEAP, simulation=Simulation(changes, frozenset(allowances)))

    judge.judge(PAY, spent=nothing_spent, facts=seen({USDC_ID: -500 * 10**6, COIN_ID: 5}))
    assert refused(judge, facts=seen({USDC_ID: -500 * 10**6 - 1})) == "simulation"
    assert refused(judge, facts=seen({USDC_ID: 0, COIN_ID: -1})) == "simulation"
    assert refused(judge, facts=seen({}, (USDC_ID, STRANGER))) == "simulation"
    grant = Action(kind=Kind.APPROVE, chain=1, sender=VAULT, spenders=(STRANGER,), approves={USDC_ID: 7})
    judge.judge(grant, spent=nothing_spent, facts=seen({}, (USDC_ID, STRANGER)))
    assert refused(judge, grant, facts=seen({}, (COIN_ID, STRANGER))) == "simulation"


def test_shares_counts_gas_and_windows_per_recipient() -> None:
    held = replace(CHEAP, balances={USDC_ID: 5_000 * 10**6})
    tenth = with_limits("{amounts: [{share_percent: 10}]}")
    tenth.judge(PAY, spent=nothing_spent, facts=held)
    assert refused(tenth, facts=replace(held, balances={USDC_ID: 5_000 * 10**6 - 1})) == "share"
    assert refused(tenth) == "unknown-fact:balances"
    often = with_limits("{transactions: [{window: 1h, count: 3}]}")
    assert often.judge(PAY, spent=lambda c, _w: 2 if c == "transactions" else 0).counts["transactions"] == 1
    assert refused(often, spent=lambda c, _w: 3 if c == "transactions" else 0) == "count"
    gas = with_limits("{gas_cost_wei: 1000}")
    gas.judge(replace(PAY, gas_limit=10, fee_per_gas_wei=100), spent=nothing_spent)
    assert refused(gas, replace(PAY, gas_limit=10, fee_per_gas_wei=101)) == "gas-cost"
    each = with_limits('{amounts: [{asset: USDC, per: recipient, windows: [{window: 24h, amount: "800 USDC"}]}]}')
    tally = Tally()
    tally.add(each.judge(PAY, spent=tally).counts)
    assert refused(each, spent=tally) == "velocity"
    each.judge(replace(PAY, recipients=(STRANGER,)), spent=tally)


def test_slippage_and_deadline_of_a_swap() -> None:
    judge = with_limits("{slippage_bps: 50, deadline: 5m}")
    swap = replace(
        PAY, kind=Kind.SWAP, recipients=(VAULT,), spends={COIN_ID: 10**18}, receives_min={USDC_ID: 2_487_500_000},
        deadline_s=NOW_S + 300,
    )  # fmt: skip
    judge.judge(swap, spent=nothing_spent, facts=CHEAP)
    assert refused(judge, replace(swap, receives_min={USDC_ID: 2_487_499_999})) == "slippage"
    assert refused(judge, replace(swap, deadline_s=NOW_S + 301)) == "deadline"


def test_what_is_no_transaction_is_denied_unless_its_kind_is_named() -> None:
    actions = [
        read_message(VAULT, b"hello"),
        read_typed_data(VAULT, permit()),
        read_authorization(VAULT, chain_id=ChainId(1), delegate=STRANGER),
        Action(kind=Kind.SAFE, chain=1, sender=VAULT, contract=STRANGER),
    ]
    broad = with_limits("{}")
    named = policy(
        rules=f"""
  - {{id: login, effect: allow, when: {{kind: message, vault: hot}}}}
  - {{id: permits, effect: allow, when: {{kind: typed-data, contract: "{USDC}", method: Permit}}}}
  - {{id: batch, effect: allow, when: {{kind: [authorization-7702, safe], contract: "{STRANGER}"}}}}
"""
    )
    for action in actions:
        assert refused(broad, action) == "kind"
        assert len(named.judge(action, spent=nothing_spent).rules) == 1
    assert refused(named, read_typed_data(VAULT, permit(token=STRANGER))) == "contract"


def test_a_permit_is_an_allowance_with_its_limit() -> None:
    judge = policy(
        rules="""
  - id: permits
    effect: allow
    when: {kind: typed-data, asset: USDC, spender: "@partners"}
    limits: {amounts: [{asset: USDC, approval: "5 USDC"}]}
"""
    )
    judge.judge(read_typed_data(VAULT, permit(value=5_000_000, spender=PARTNER)), spent=nothing_spent)
    assert refused(judge, read_typed_data(VAULT, permit(value=5_000_001, spender=PARTNER))) == "approval-limit"
    assert refused(judge, read_typed_data(VAULT, permit(value=1))) == "spender"


def test_a_withdrawal_from_an_exchange_takes_the_same_door() -> None:
    judge = policy(
        rules="""
  - id: exchange
    effect: allow
    when: {kind: exchange-withdrawal, venue: kraken, recipient: internal, initiator: {roles: [trader]}}
    limits: {amounts: [{asset: kraken/USDC, per_transaction: "100"}]}
"""
    )
    out = read_withdrawal(venue="kraken", asset="kraken/USDC", raw=100, address=VAULT)
    erin = Facts(initiator="erin")
    assert judge.judge(out, spent=nothing_spent, facts=erin).counts == {"kraken/USDC": 100}
    assert refused(judge, replace(out, spends={"kraken/USDC": 101}), erin) == "amount"
    assert refused(judge, replace(out, recipients=(STRANGER,)), erin) == "recipient"
    assert refused(judge, out, Facts(initiator="bob")) == "initiator"
    assert refused(judge, out, Facts()) == "unknown-fact:initiator"
    # An exchange's address book may hold an address that reads like one of our words.
    assert refused(judge, replace(out, recipients=("internal",)), erin) == "recipient"


def test_hours_run_over_midnight_in_their_own_zone() -> None:
    judge = policy(
        rules="""
  - id: night
    effect: deny
    when: {hours: {zone: Europe/Zurich, days: [fri], from: "22:00", to: "06:00"}}
"""
    )
    friday_22 = 1_764_363_600  # 2025-11-28 21:00 UTC
    for offset_s, is_denied in ((-1, False), (0, True), (8 * 3600 - 1, True), (8 * 3600, False), (24 * 3600, False)):
        facts = replace(CHEAP, now_s=friday_22 + offset_s)
        verdict = judge.decide(PAY, facts, nothing_spent)
        assert (getattr(verdict, "rule", "") == "night") is is_denied, offset_s


def test_the_vault_is_whose_the_address_is() -> None:
    judge = policy()
    assert refused(judge, facts=replace(CHEAP, vault="cold")) == "vault"
    cold = policy(rules="  - {id: cold-only, effect: deny, unless: {vault: hot}}")
    cold.judge(PAY, spent=nothing_spent, facts=CHEAP)
    assert refused(cold, replace(PAY, sender=STRANGER), replace(CHEAP, vault="hot")) == "cold-only"


def test_every_word_of_the_schema_is_in_the_handbook() -> None:
    text = (Path(__file__).parents[3] / "docs" / "policy.md").read_text(encoding="utf-8")
    schema = PolicyDocument.model_json_schema()
    words = {key for part in [schema, *schema["$defs"].values()] for key in part.get("properties", {})}
    missing = {word for word in words if f"`{word}`" not in text and f"{word}:" not in text}
    assert not missing
