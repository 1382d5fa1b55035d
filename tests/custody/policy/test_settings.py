"""The policy refuses by default, reads calldata itself, and believes no plan."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import Any

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from chain.devnet import CANONICAL, TEST_ADDRESSES
from custody import Policy, PolicyGuard, PolicySettings, Proposal
from custody.calls import decode_call
from custody.policy import Facts, Spent, check_promises
from dex import Routers, plan_approval, plan_swap, pool_spec
from domain import Address, Amount, ChainId, Refused, native_asset
from domain.plans import TransactionPlan
from wallets import MessageToSign, Network, StatementToSign, TransactionToSign, TypedDataToSign

VAULT, FRIEND, STRANGER = TEST_ADDRESSES[5], TEST_ADDRESSES[6], TEST_ADDRESSES[7]
WETH, USDC = Address(CANONICAL["WETH9"]), Address(CANONICAL["USDC"])
V2, V3, V3_02 = (Address(CANONICAL[n]) for n in ("UniswapV2Router02", "SwapRouter", "SwapRouter02"))
WETH_ID, USDC_ID = (f"eip155:1337/erc20:{token}" for token in (WETH, USDC))
NOW = 1_800_000_000
SETTINGS = PolicySettings.model_validate(
    {
        "chain_id": 1337,
        "assets": {
            WETH_ID: {"per_transaction_raw": "1_000", "per_day_raw": "2_500", "approval_raw": str(10**30)},
            USDC_ID: {"per_transaction_raw": 10**9, "per_day_raw": 10**12, "approval_raw": 5000},
            native_asset(ChainId(1337)).id: {"per_transaction_raw": "10", "per_day_raw": "15"},
        },
        "contracts": [
            {"address": V2, "methods": ["swapExactTokensForTokens"]},
            {"address": V3, "methods": ["exactInputSingle"]},
            {"address": V3_02, "methods": ["exactInputSingle"]},
            {"address": WETH, "methods": ["approve", "transfer"]},
            {"address": USDC, "methods": ["approve"]},
        ],
        "recipients": [FRIEND],
        "spenders": [V2, V3],
        "gas_limit_max": 600_000,
        "fee_per_gas_wei_max": str(100 * 10**9),
        "gas_cost_wei_max": str(3 * 10**16),
        "deadline_s_max": 600,
    }
)
POLICY = Policy(SETTINGS)
AT = Facts(chain_time_s=NOW)
ROUTERS = Routers(v2=V2, v3=V3_02)


def plan(kind: str = "v3", *, amount: int = 1_000, min_out: int = 900, deadline_s: int = NOW + 60) -> TransactionPlan:
    spec = pool_spec(
        kind=kind[:2],
        chain_id=1337,
        address=STRANGER,
        token_a=(WETH, "WETH", 18),
        token_b=(USDC, "USDC", 6),
        fee_pips=3000,
    )
    planned = plan_swap(
        intent_id="i",
        strategy="s",
        pool=spec,
        routers=ROUTERS,
        sender=VAULT,
        token_in=WETH_ID,
        amount_in=amount,
        min_out=min_out,
        deadline_s=deadline_s,
    )
    if kind == "v3":  # dex plans for SwapRouter02; the first SwapRouter is read as well.
        return replace(planned, to=V3, data=raw_v3(amount=amount, min_out=min_out, deadline=deadline_s))
    return planned


def raw_v3(**fields: Any) -> bytes:
    """`exactInputSingle` of the first SwapRouter."""
    values: dict[str, Any] = {"recipient": VAULT, "deadline": NOW + 60, "amount": 1_000, "min_out": 900} | fields
    order = (WETH, fields.get("out", USDC), 3000, values["recipient"], values["deadline"], values["amount"])
    types = ["(address,address,uint24,address,uint256,uint256,uint256,uint160)"]
    return bytes.fromhex("414bf389") + encode(types, [(*order, values["min_out"], 0)])


def proposal(plan: TransactionPlan) -> Proposal:
    return Proposal(chain_id=plan.chain_id, sender=plan.sender, to=plan.to, value_wei=plan.value_wei, data=plan.data)


def nothing_spent(_asset: str, _window_s: int) -> int:
    return 0


def judge(plan: TransactionPlan, *, spent: Spent = nothing_spent, policy: Policy = POLICY) -> None:
    check_promises(plan, policy.evaluate(proposal(plan), spent=spent, facts=AT))


def refused(plan: TransactionPlan, **options: Any) -> str:
    with pytest.raises(Refused) as error:
        judge(plan, **options)
    return error.value.rule


@pytest.mark.parametrize("kind", ["v2", "v3", "v3_02"])
def test_an_honest_swap_on_every_router_passes_and_says_what_it_spends(kind: str) -> None:
    judge(plan(kind))
    approval = POLICY.evaluate(proposal(plan(kind)), spent=nothing_spent, facts=AT)
    assert approval.spends == {WETH_ID: 1_000}
    assert approval.call is not None
    assert approval.call.recipient == VAULT
    assert approval.call.deadline_s == NOW + 60
    assert approval.addresses == {plan(kind).to, WETH, USDC}


@pytest.mark.parametrize("kind", ["v2", "v3", "v3_02"])
def test_amounts_days_deadlines_and_slippage_are_bounded(kind: str) -> None:
    assert refused(plan(kind, amount=1_001)) == "amount"
    assert refused(plan(kind), spent=lambda asset, _window_s: 1_501 if asset == WETH_ID else 0) == "velocity"
    judge(plan(kind), spent=lambda _asset, _window_s: 1_500)
    assert refused(plan(kind, deadline_s=NOW)) == "deadline"
    assert refused(plan(kind, deadline_s=NOW + 601)) == "deadline"
    judge(plan(kind, deadline_s=NOW + 600))


def changed(kind: str, **fields: Any) -> TransactionPlan:
    return replace(plan(kind), **fields)


@pytest.mark.parametrize(
    ("name", "bad", "rule"),
    [
        ("another chain", changed("v3", chain_id=ChainId(1)), "chain"),
        ("unknown contract", changed("v3", to=STRANGER), "contract"),
        ("method of another contract", changed("v3", to=V2), "method"),
        ("unknown selector", changed("v3", data=b"\xde\xad\xbe\xef" + plan().data[4:]), "unknown-method"),
        ("selector only", changed("v3", data=plan().data[:4]), "malformed-call"),
        ("three bytes", changed("v3", data=b"abc"), "unknown-method"),
        ("trailing bytes", changed("v2", data=plan("v2").data + b"\x00" * 32), "malformed-call"),
        ("dirty address", changed("v3", data=plan().data[:4] + b"\x01" + plan().data[5:]), "malformed-call"),
        ("coins along", changed("v3", value_wei=1), "value"),
        ("stranger receives", changed("v3", data=raw_v3(recipient=STRANGER)), "recipient"),
        ("router keeps", changed("v3", data=raw_v3(recipient="0x" + "00" * 20)), "unsafe-call"),
        ("all the router has", changed("v3", data=raw_v3(amount=0)), "unsafe-call"),
        ("same token", changed("v3", data=raw_v3(out=WETH)), "unsafe-call"),
        ("no slippage bound", changed("v3", data=raw_v3(min_out=0)), "slippage"),
        ("no deadline", changed("v3", data=raw_v3(deadline=0)), "deadline"),
        ("larger than promised", changed("v3", data=raw_v3(amount=999)), "broken-promise"),
        ("less than promised", changed("v3", data=raw_v3(min_out=899)), "broken-promise"),
        ("later than promised", changed("v3", data=raw_v3(deadline=NOW + 61)), "broken-promise"),
        ("another's benefit", changed("v3", data=raw_v3(recipient=FRIEND)), "broken-promise"),
        ("promises nothing", changed("v3", spends=(), receives_min=()), "broken-promise"),
        ("approves besides", changed("v3", approves=plan().spends), "broken-promise"),
    ],
)
def test_what_a_plan_must_not_be_is_refused(name: str, bad: TransactionPlan, rule: str) -> None:
    assert refused(bad) == rule, name


def multicall(*calls: bytes, deadline: int = NOW + 60) -> TransactionPlan:
    data = bytes.fromhex("5ae401dc") + encode(["uint256", "bytes[]"], [deadline, list(calls)])
    return changed("v3_02", data=data)


def test_a_batch_holds_swaps_that_add_up_and_nothing_else() -> None:
    honest = plan("v3_02").data
    inner = bytes(decode_inner(honest))
    judge(multicall(inner))
    sweep = bytes.fromhex("df2ab5bb") + bytes(96)
    for calls in ((), (inner, sweep), (sweep,), (honest,)):
        assert refused(multicall(*calls)) == "unsafe-call"
    assert refused(multicall(inner, inner)) == "amount"  # One is within the limit, both are not.
    assert refused(changed("v3_02", data=inner)) == "deadline"


def decode_inner(data: bytes) -> bytes:
    from eth_abi.abi import decode

    return bytes(decode(["uint256", "bytes[]"], data[4:])[1][0])


def test_router_02s_word_for_the_sender_is_the_sender_and_its_word_for_itself_is_refused() -> None:
    inner = decode_inner(plan("v3_02").data)
    word = inner.index(bytes.fromhex(VAULT[2:].lower())) - 12

    def to(recipient: int) -> bytes:
        return inner[:word] + recipient.to_bytes(32, "big") + inner[word + 32 :]

    judge(multicall(to(1)))
    assert refused(multicall(to(2))) == "unsafe-call"


def approval(amount: int, spender: Address = V2) -> TransactionPlan:
    return plan_approval(
        intent_id="a",
        strategy="s",
        chain_id=1337,
        token=Amount.parse("0", plan().receives_min[0].asset).asset,
        token_address=USDC,
        sender=VAULT,
        spender=spender,
        amount=amount,
    )


def test_allowances_go_to_listed_spenders_up_to_their_cap() -> None:
    judge(approval(5000))
    judge(approval(0))
    assert refused(approval(5001)) == "approval-limit"
    assert refused(approval(1, STRANGER)) == "spender"
    assert refused(replace(approval(10), approves=(Amount(plan().receives_min[0].asset, 9),))) == "broken-promise"


def transfer(to: Address, amount: int = 5) -> TransactionPlan:
    data = bytes.fromhex("a9059cbb") + encode(["address", "uint256"], [to, amount])
    spends = (Amount(plan().spends[0].asset, amount),)
    return replace(
        plan(), purpose="transfer", to=WETH, data=data, spends=spends, receives_min=(), recipient=to, deadline_s=0
    )


def test_transfers_go_to_listed_recipients_only() -> None:
    judge(transfer(FRIEND))
    assert refused(transfer(STRANGER)) == "recipient"
    assert refused(replace(transfer(FRIEND), recipient=STRANGER)) == "broken-promise"
    assert refused(replace(transfer(FRIEND), to=USDC)) == "method"


def test_coins_go_to_listed_recipients_within_their_limits() -> None:
    native = native_asset(ChainId(1337))
    coins = replace(transfer(FRIEND), to=FRIEND, data=b"", value_wei=10, spends=(Amount(native, 10),))
    judge(coins)
    assert refused(replace(coins, to=STRANGER, recipient=STRANGER)) == "recipient"
    assert refused(replace(coins, value_wei=11)) == "amount"
    assert refused(coins, spent=lambda _asset, _window_s: 6) == "velocity"


def test_an_empty_policy_refuses_everything() -> None:
    empty = Policy(PolicySettings(chain_id=1337))
    for bad in (plan("v2"), plan("v3"), plan("v3_02"), approval(0), transfer(FRIEND)):
        assert refused(bad, policy=empty) in {"recipient", "spender", "asset", "kind"}
    unlisted = Policy(SETTINGS.model_copy(update={"assets": {}}))
    assert refused(plan(), policy=unlisted) == "asset"
    assert refused(approval(0), policy=unlisted) == "asset"


def test_gas_and_fees_are_capped_each_and_together() -> None:
    POLICY.check_fees(1337, gas_limit=300_000, fee_per_gas_wei=100 * 10**9)
    for gas_limit, fee, rule in (
        (600_001, 1, "gas-limit"),
        (1, 100 * 10**9 + 1, "fee-cap"),
        (600_000, 51 * 10**9, "fee-cap"),
    ):
        with pytest.raises(Refused) as error:
            POLICY.check_fees(1337, gas_limit=gas_limit, fee_per_gas_wei=fee)
        assert error.value.rule == rule


@given(
    data=st.binary(max_size=400), known=st.sampled_from(["38ed1739", "414bf389", "04e45aaf", "5ae401dc", "095ea7b3"])
)
def test_arbitrary_calldata_is_read_or_refused_and_never_crashes(data: bytes, known: str) -> None:
    for call in (data, bytes.fromhex(known) + data):
        with contextlib.suppress(Refused):
            assert decode_call(VAULT, V3, call).method


@pytest.mark.parametrize(
    "wrong",
    [
        {"chain_id": 0},
        {"chain_id": 1, "surprise": 1},
        {"chain_id": 1, "recipients": ["0x" + "ab" * 20 + "00"]},
        {"chain_id": 1, "recipients": [VAULT.swapcase().replace("0X", "0x")]},
        {"chain_id": 1, "contracts": [{"address": V2, "methods": ["selfdestruct"]}]},
        {"chain_id": 1, "assets": {WETH_ID: {"per_day_raw": "1e18"}}},
        {"chain_id": 1, "assets": {WETH_ID: {"per_day_raw": -1}}},
        {"chain_id": 1, "assets": {WETH_ID: {"per_day": 1}}},
    ],
)
def test_a_policy_with_a_mistake_does_not_load(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PolicySettings.model_validate(wrong)


def unsigned(plan: TransactionPlan, **fields: Any) -> TransactionToSign:
    given: dict[str, Any] = {"gas_limit": 200_000, "max_fee_per_gas_wei": 10**9, "chain_id": plan.chain_id} | fields
    return TransactionToSign(nonce=0, to=plan.to, value_wei=plan.value_wei, data=plan.data, **given)


def guard_rule(tx: TransactionToSign, spent: Spent = nothing_spent) -> str:
    with pytest.raises(Refused) as error:
        PolicyGuard(POLICY).check_transaction(VAULT, tx, network=Network.DEVNET, spent=spent, evidence=None)
    return error.value.rule


def test_the_signers_guard_applies_the_same_rules_to_bare_transactions() -> None:
    guard = PolicyGuard(POLICY)
    spends = guard.check_transaction(
        VAULT, unsigned(plan()), network=Network.DEVNET, spent=nothing_spent, evidence=None
    )
    assert spends == {WETH_ID: 1_000}
    assert guard_rule(unsigned(changed("v3", data=raw_v3(recipient=STRANGER)))) == "recipient"
    assert guard_rule(unsigned(plan()), lambda _asset, _window_s: 2_000) == "velocity"
    assert guard_rule(unsigned(plan(), max_fee_per_gas_wei=10**12)) == "fee-cap"
    assert guard_rule(unsigned(plan(), gas_limit=600_001)) == "gas-limit"
    assert guard_rule(unsigned(changed("v3", chain_id=ChainId(1)))) == "chain"
    assert guard_rule(unsigned(changed("v3", data=raw_v3(deadline=0)))) == "deadline"


def test_the_signers_guard_signs_no_messages_and_no_typed_data() -> None:
    guard = PolicyGuard(POLICY)
    with pytest.raises(Refused):
        guard.check_message(VAULT, MessageToSign(b"login"), network=Network.DEVNET, evidence=None)
    document = {"types": {}, "primaryType": "Permit", "domain": {}, "message": {}}
    with pytest.raises(Refused):
        guard.check_typed_data(VAULT, TypedDataToSign(document), network=Network.DEVNET, evidence=None)


def test_the_signers_guard_allows_statements_for_the_purposes_that_are_listed() -> None:
    guard = PolicyGuard(Policy(SETTINGS.model_copy(update={"statements": frozenset({"audit"})})))
    guard.check_statement("ed25519:00", StatementToSign("audit", b"root"), network=Network.DEVNET, evidence=None)
    for judge, purpose in ((guard, "withdrawal"), (PolicyGuard(POLICY), "audit")):
        with pytest.raises(Refused) as refused:
            judge.check_statement("ed25519:00", StatementToSign(purpose, b""), network=Network.DEVNET, evidence=None)
        assert refused.value.rule == "statement"
    with pytest.raises(ValidationError):
        PolicySettings.model_validate({"chain_id": 1, "statements": ["Any Purpose"]})
