"""The arbitrage executor's call is read completely, or refused."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from chain import keccak256
from custody.calls import decode_call
from dex.arbitrage.deployment import DEPLOYER, Factories, Roles, creation_code, deployment_data
from dex.arbitrage.funding import Venues
from domain import Refused
from tests.support.approvers import USDC, VAULT, address_of

WETH, EXECUTOR, HOOKS, CURVE = (address_of(name) for name in ("weth", "executor", "hooks", "curve"))
ZERO = "0x" + "00" * 20
ARBITRAGE = "(uint8,address,uint256,uint256,uint256,uint256,uint16,address,uint24)"
STEPS = "(uint8,address,address,address,uint24,int24,bytes32)[]"
SELECTOR = keccak256(f"execute({ARBITRAGE},{STEPS})".encode())[:4]
NO_ID = bytes(32)
V2 = (0, ZERO, WETH, USDC, 3000, 0, NO_ID)
V3 = (1, ZERO, USDC, WETH, 500, 0, NO_ID)
V4 = (2, HOOKS, USDC, ZERO, 3000, 60, NO_ID)
WRAP = (5, ZERO, ZERO, WETH, 0, 0, NO_ID)
BALANCER = (3, ZERO, USDC, WETH, 0, 0, b"\x07" * 32)
AT_CURVE = (4, CURVE, USDC, WETH, 0, 0, (1).to_bytes(32))


def data(steps=(V2, V3), *, funding=1, token=WETH, amount=10**18, least=10**15, tip=0, lender=ZERO, fee=0):
    arbitrage = (funding, token, amount, least, 1_900_000_000, 21_000_000, tip, lender, fee)
    return SELECTOR + encode((ARBITRAGE, STEPS), (arbitrage, list(steps)))


def read(content):
    return decode_call(VAULT, EXECUTOR, content, chain_id=1)


def test_a_cycle_spends_nothing_of_the_senders_and_pays_the_contracts_beneficiary():
    found = read(data())
    assert (dict(found.spends), dict(found.receives_min)) == ({}, {WETH: 10**15})
    assert (found.recipient, found.deadline_s, found.coins_wei) == (EXECUTOR, 1_900_000_000, 0)
    assert found.others == {USDC}


@pytest.mark.parametrize("steps", [(V2, V4, WRAP), (V2, BALANCER), (V2, AT_CURVE)])
def test_every_kind_of_step_is_shown_whole(steps):
    found = read(data(steps))
    shown = [(line.label, line.value) for line in found.shown]
    labels = [label for label, _ in shown]
    assert [label for label in labels if label.startswith("Step")] == [f"Step {n + 1}" for n in range(len(steps))]
    values = [value for _, value in shown]
    for kind, venue, _, token_out, fee, spacing, pool_id in steps:
        assert not fee or (fee, 4, "%") in values
        assert venue == ZERO or (venue in values and venue in found.others)
        assert not spacing or spacing in values
        assert pool_id == NO_ID or pool_id in values
        assert token_out == ZERO or token_out in values
        assert kind in range(6)
    assert ("Not after block", 21_000_000) in shown


def test_a_lender_and_a_tip_are_shown():
    found = read(data(funding=2, lender=USDC, fee=100, tip=2500))
    shown = [(line.label, line.value) for line in found.shown]
    assert ("Lender's other token", USDC) in shown
    assert ("Pool fee", (100, 4, "%")) in shown
    assert ("Of the profit to the block's builder", (2500, 2, "%")) in shown


def changed(step, **places):
    names = ("kind", "venue", "token_in", "token_out", "fee", "spacing", "id")
    return tuple(places.get(name, value) for name, value in zip(names, step, strict=True))


@pytest.mark.parametrize(
    "content",
    [
        data(funding=6),
        data(least=0),
        data(amount=0),
        data(tip=10_001),
        data(lender=USDC),
        data(fee=500),
        data(steps=()),
        data(steps=(V2, V3) * 5),
        data(steps=(V3, V2)),
        data(steps=(V2,)),
        data(steps=(changed(V2, kind=6), V3)),
        data(steps=(V2, changed(V3, spacing=10))),
        data(steps=(V2, changed(V3, id=b"\x01" * 32))),
        data(steps=(V2, changed(BALANCER, venue=HOOKS))),
        data(steps=(V2, changed(BALANCER, fee=3000))),
        data(steps=(V2, changed(AT_CURVE, venue=ZERO))),
        data(steps=(V2, V4, changed(WRAP, venue=HOOKS))),
        data(steps=(V2, changed(V3, token_in=WETH))),
    ],
)
def test_what_the_contract_would_not_do_or_a_person_would_not_see_is_refused(content):
    with pytest.raises(Refused) as refusal:
        read(content)
    assert refusal.value.rule == "unsafe-call"


def test_bytes_behind_the_call_are_refused():
    with pytest.raises(Refused) as refusal:
        read(data() + bytes(32))
    assert refusal.value.rule == "malformed-call"


def deployment(**roles):
    named = Roles(**{"owner": HOOKS, "operator": VAULT, "pauser": CURVE, "beneficiary": VAULT} | roles)
    return deployment_data(named, Venues(WETH, aave_pool=USDC), Factories(v2=EXECUTOR))


def test_a_deployment_is_read_from_its_roles_and_venues():
    found = decode_call(VAULT, DEPLOYER, deployment(), chain_id=1)
    assert (found.method, found.recipient) == ("deployArbExecutor", VAULT)
    shown = {line.label: line.value for line in found.shown}
    assert (shown["Owner"], shown["Operator"], shown["Pauser"], shown["Beneficiary"]) == (HOOKS, VAULT, CURVE, VAULT)
    assert (shown["Wrapped coin"], shown["Aave's pool"], shown["Uniswap V2's factory"]) == (WETH, USDC, EXECUTOR)
    assert found.others == {HOOKS, CURVE, WETH, USDC, EXECUTOR}


def test_other_code_other_roles_and_other_places_are_not_deployed():
    other = bytearray(deployment())
    other[32 + len(creation_code()) // 2] ^= 1
    for to, content in (
        (DEPLOYER, bytes(other)),
        (EXECUTOR, deployment()),
        (DEPLOYER, deployment(owner=ZERO)),
        (DEPLOYER, deployment(beneficiary=ZERO)),
    ):
        with pytest.raises(Refused) as refusal:
            decode_call(VAULT, to, content, chain_id=1)
        assert refusal.value.rule == "unsafe-call"
    with pytest.raises(Refused) as refusal:
        decode_call(VAULT, DEPLOYER, deployment() + bytes(32), chain_id=1)
    assert refusal.value.rule == "malformed-call"
