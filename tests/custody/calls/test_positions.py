"""Calls of the position managers: read are those that settle everything they move; each other list is refused."""

from __future__ import annotations

import pytest
from eth_abi.abi import decode, encode

from custody.calls import decode_call
from custody.policy import Proposal
from custody.policy.action import Kind, read_proposal
from dex.liquidity import PositionContracts, Range, v3, v4
from dex.pools import PoolSpec
from domain import ChainId, Refused, native_asset, token_asset
from domain.ids import PoolId
from tests.support.approvers import PARTNER, USDC, VAULT, address_of

MANAGER = address_of("positions")
WETH = address_of("weth")
COIN = "0x" + "00" * 20
CALLER, ITSELF = "0x" + "00" * 19 + "01", "0x" + "00" * 19 + "02"
CHAIN = ChainId(1)
SPAN = Range(-600, 600, 60)
EVERYTHING = 2**128 - 1
MODIFY = ("bytes", "uint256")
ACTIONS = ("bytes", "bytes[]")


def spec(kind, *, of_coin=False):
    usdc, weth = token_asset(CHAIN, USDC, "USDC", 6), token_asset(CHAIN, WETH, "WETH", 18)
    asset0, token0 = (native_asset(CHAIN), COIN) if of_coin else (weth, WETH)
    return PoolSpec(PoolId("p"), kind, MANAGER, CHAIN, asset0, usdc, token0, USDC, 3000, tick_spacing=60)


def found(data):
    return decode_call(VAULT, MANAGER, data)


def rule_of(data):
    with pytest.raises(Refused) as refusal:
        found(data)
    return refusal.value.rule


# --- V3


def test_minting_spends_both_tokens_at_most():
    call = found(v3.mint(spec("v3"), SPAN, (10**18, 7), (1, 2), VAULT, 99))
    assert (dict(call.spends), call.recipient, call.deadline_s) == ({WETH: 10**18, USDC: 7}, VAULT, 99)
    assert dict(found(v3.mint(spec("v3"), SPAN, (0, 7), (0, 2), PARTNER, 99)).spends) == {USDC: 7}
    for owner in (COIN, MANAGER):
        assert rule_of(v3.mint(spec("v3"), SPAN, (1, 1), (0, 0), owner, 99)) == "unsafe-call"


def test_tokens_out_of_order_are_refused():
    swapped = PoolSpec(
        PoolId("p"), "v3", MANAGER, CHAIN, spec("v3").token1, spec("v3").token0, USDC, WETH, 3000, tick_spacing=60
    )
    assert rule_of(v3.mint(swapped, SPAN, (1, 1), (0, 0), VAULT, 99)) == "unsafe-call"


def test_adding_to_a_v3_position_is_allowed_by_name_only():
    data = v3.increase(7, (10**18, 7), (1, 2), 99)
    action = read_proposal(Proposal(chain_id=CHAIN, sender=VAULT, to=MANAGER, value_wei=0, data=data))
    assert action.kind is Kind.DESCRIBED
    assert action.call.warnings
    assert action.recipients == (VAULT,)


def test_taking_out_pays_the_collections_recipient():
    out = v3.together(v3.decrease(7, 5, (1, 2), 99), v3.collect(7, PARTNER), v3.burn(7))
    call = found(out)
    assert (call.method, call.recipient, dict(call.spends)) == ("decreaseLiquidity", PARTNER, {})
    action = read_proposal(Proposal(chain_id=CHAIN, sender=VAULT, to=MANAGER, value_wei=0, data=out))
    assert (action.kind, action.recipients) == (Kind.CALL, (PARTNER,))


def test_only_whole_sequences_of_one_position_are_read():
    decrease, collect, burn = v3.decrease(7, 5, (0, 0), 9), v3.collect(7, VAULT), v3.burn(7)
    for calls in (
        (),
        (collect, decrease),
        (decrease, burn),
        (decrease, v3.collect(8, VAULT)),
        (collect, v3.burn(8)),
        (collect, collect),
        (v3.increase(7, (1, 1), (0, 0), 9), collect),
        (v3.together(decrease, collect),),
    ):
        assert rule_of(v3.together(*calls)) == "unsafe-call"
    # Alone, `burn(uint256)` is how some tokens destroy an amount.
    assert rule_of(burn) == "unknown-method"
    assert rule_of(v3.decrease(7, 0, (0, 0), 9)) == "unsafe-call"


def test_what_is_collected_goes_somewhere_and_is_all():
    for recipient in (COIN, MANAGER):
        assert rule_of(v3.collect(7, recipient)) == "unsafe-call"
    types = ("(uint256,address,uint128,uint128)",)
    assert rule_of(v3.COLLECT + encode(types, [(7, VAULT, 5, EVERYTHING)])) == "unsafe-call"


# --- V4


def plans(*, of_coin):
    pool = spec("v4", of_coin=of_coin)
    return {
        "mint": v4.mint(pool, SPAN, 5, (10, 20), VAULT, WETH, 99),
        "increase": v4.increase(pool, 7, 5, (10, 20), WETH, 99),
        "decrease": v4.decrease(pool, 7, 5, (1, 2), VAULT, WETH, 99),
        "collect": v4.decrease(pool, 7, 0, (0, 0), VAULT, WETH, 99),
        "burn": v4.burn(pool, 7, (1, 2), VAULT, WETH, 99),
    }


@pytest.mark.parametrize("of_coin", [False, True])
def test_what_goes_in_and_out_of_v4_is_bounded_in_the_bytes(of_coin):
    for name, data in plans(of_coin=of_coin).items():
        call = found(data)
        goes_in = name in ("mint", "increase")
        comes_out = name in ("decrease", "burn")
        assert dict(call.spends) == ({WETH: 10, USDC: 20} if goes_in else {})
        assert dict(call.receives_min) == ({WETH: 1, USDC: 2} if comes_out else {})
        assert (call.recipient, call.deadline_s, call.coins_wei) == (VAULT, 99, 0)


def rebuilt(data, change):
    """The same call with its list of actions changed by a function of (codes, parameters)."""
    content, deadline = decode(MODIFY, data[4:])
    codes, parameters = decode(ACTIONS, content)
    codes, parameters = change(list(codes), list(parameters))
    return v4.MODIFY + encode(MODIFY, [encode(ACTIONS, [bytes(codes), parameters]), deadline])


def with_parameter(index, types, *values):
    def change(codes, parameters):
        parameters[index] = encode(types, values)
        return codes, parameters

    return change


def test_any_other_list_of_actions_is_refused():
    for of_coin in (False, True):
        for data in plans(of_coin=of_coin).values():
            for change in (
                lambda codes, parameters: (codes[:-1], parameters[:-1]),
                lambda codes, parameters: (
                    [*codes, 0x14],
                    [*parameters, encode(("address", "address"), [USDC, VAULT])],
                ),
                lambda codes, parameters: (codes, parameters[:-1]),
                lambda codes, parameters: ([0x04, *codes[1:]], parameters),
                lambda codes, parameters: (codes[::-1], parameters[::-1]),
            ):
                assert rule_of(rebuilt(data, change)) == "unsafe-call"
            padded = rebuilt(data, lambda codes, parameters: (codes, [parameters[0] + bytes(32), *parameters[1:]]))
            assert rule_of(padded) == "malformed-call"


ADDRESS, TAKE, SETTLE = ("address",), ("address", "address", "uint256"), ("address", "uint256", "bool")
TWO, THREE = ("address", "address"), ("address", "address", "address")
CHANGE = ("uint256", "uint256", "uint128", "uint128", "bytes")


@pytest.mark.parametrize(
    ("of_coin", "name", "change"),
    [
        # Where it goes.
        (False, "decrease", with_parameter(1, THREE, WETH, USDC, ITSELF)),
        (False, "decrease", with_parameter(1, THREE, WETH, USDC, COIN)),
        (False, "decrease", with_parameter(1, THREE, WETH, USDC, MANAGER)),
        (False, "burn", with_parameter(1, THREE, USDC, WETH, VAULT)),
        (False, "burn", with_parameter(1, THREE, COIN, USDC, VAULT)),
        (True, "decrease", with_parameter(4, TWO, WETH, PARTNER)),
        (True, "burn", with_parameter(3, TAKE, USDC, VAULT, 5)),
        (True, "burn", with_parameter(1, TAKE, COIN, PARTNER, 0)),
        (True, "burn", with_parameter(1, TAKE, WETH, ITSELF, 0)),
        (True, "burn", with_parameter(2, ("uint256",), 5)),
        # What is paid.
        (False, "mint", with_parameter(1, TWO, USDC, WETH)),
        (False, "increase", with_parameter(1, ADDRESS, USDC)),
        (True, "mint", with_parameter(1, SETTLE, WETH, 11, True)),
        (True, "mint", with_parameter(1, SETTLE, WETH, 10, False)),
        (True, "mint", with_parameter(1, SETTLE, USDC, 10, True)),
        (True, "mint", with_parameter(2, TAKE, WETH, PARTNER, 10)),
        (True, "mint", with_parameter(2, TAKE, WETH, ITSELF, 9)),
        (True, "mint", with_parameter(3, ("uint256",), 10)),
        (True, "mint", with_parameter(4, SETTLE, COIN, 0, True)),
        (True, "mint", with_parameter(5, ADDRESS, WETH)),
        (True, "mint", with_parameter(6, TWO, WETH, PARTNER)),
        (True, "increase", with_parameter(0, CHANGE, 8, 0, 0, 0, b"")),
        (True, "increase", with_parameter(0, CHANGE, 7, 1, 0, 0, b"")),
        (True, "increase", with_parameter(0, CHANGE, 7, 0, 0, 0, b"x")),
        (False, "increase", with_parameter(0, CHANGE, 7, 5, 10, 20, b"x")),
        (False, "decrease", with_parameter(0, CHANGE, 7, 5, 1, 2, b"x")),
    ],
)
def test_a_list_that_pays_or_moves_otherwise_is_refused(of_coin, name, change):
    data = plans(of_coin=of_coin)[name]
    assert rebuilt(data, lambda *same: same) == data
    assert rule_of(rebuilt(data, change)) == "unsafe-call"


def test_hooks_of_a_pool_are_shown_and_screened():
    pool = PoolSpec(
        PoolId("p"), "v4", MANAGER, CHAIN, spec("v4").token0, spec("v4").token1, WETH, USDC, 3000, "", 60, PARTNER
    )
    call = found(v4.mint(pool, SPAN, 5, (10, 20), VAULT, WETH, 99))
    assert call.others == {PARTNER}
    assert [line.value for line in call.shown if line.label == "Pool's hooks"] == [PARTNER]


def test_contracts_that_are_not_configured_are_named():
    from domain import InputError

    with pytest.raises(InputError, match="v3 and v4"):
        PositionContracts().for_pool(spec("v2"))
    with pytest.raises(InputError, match="no contract is configured for v4"):
        PositionContracts().for_pool(spec("v4"))
