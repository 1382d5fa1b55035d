"""Programs of the UniversalRouter that custody must not let through, whoever wrote them."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from chain import keccak256
from custody.calls import decode_call
from custody.calls.model import COIN
from domain import Address, Refused
from tests.support.approvers import PARTNER, USDC, VAULT, address_of

ROUTER = address_of("router")
WETH = Address("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2")
ME, ITSELF = "0x0000000000000000000000000000000000000001", "0x0000000000000000000000000000000000000002"
ZERO = "0x0000000000000000000000000000000000000000"
ALL = 1 << 255


def execute(*steps, deadline=5_000):
    body = encode(["bytes", "bytes[]", "uint256"], [bytes(code for code, _ in steps), [c for _, c in steps], deadline])
    return keccak256(b"execute(bytes,bytes[],uint256)")[:4] + body


def read(*steps, value=0, chain=1):
    return decode_call(VAULT, ROUTER, execute(*steps), chain_id=chain, value_wei=value)


def v2(amount, least, path, to=ME, *, paid=True, exact_out=False):
    types = ["address", "uint256", "uint256", "address[]", "bool"]
    return (0x09 if exact_out else 0x08), encode(types, [to, amount, least, path, paid])


def wrap(to, amount):
    return 0x0B, encode(["address", "uint256"], [to, amount])


def unwrap(to, least=0):
    return 0x0C, encode(["address", "uint256"], [to, least])


def sweep(token, to, least=0):
    return 0x04, encode(["address", "address", "uint256"], [token, to, least])


def draw(token, to, amount):
    return 0x02, encode(["address", "address", "uint160"], [token, to, amount])


def v4(*actions, hook_data=b"", hops=()):
    return 0x10, encode(["bytes", "bytes[]"], [bytes(code for code, _ in actions), [c for _, c in actions]])


def v4_swap(source, targets, amount, least, *, hook_data=b"", bounds=(), code=0x07):
    path = [(target, 500, 10, ZERO, hook_data) for target in targets]
    types = ["(address,(address,uint24,int24,address,bytes)[],uint256[],uint128,uint128)"]
    return code, encode(types, [(source, path, list(bounds), amount, least)])


def settle(token, amount, *, by_sender=False):
    return 0x0B, encode(["address", "uint256", "bool"], [token, amount, by_sender])


def settle_all(token, most):
    return 0x0C, encode(["address", "uint256"], [token, most])


def take(token, to=ME, amount=0):
    return 0x0E, encode(["address", "address", "uint256"], [token, to, amount])


def take_all(token, least):
    return 0x0F, encode(["address", "uint256"], [token, least])


SELL = v2(10, 9, [WETH, USDC], ME, paid=False)
BUY = v2(10, 9, [USDC, WETH], ITSELF)


def test_coins_in_and_out_are_read_to_the_wei():
    found = read(wrap(ITSELF, 10), SELL, value=10)
    assert (found.coins_wei, dict(found.spends), dict(found.receives_min)) == (10, {}, {USDC: 9})
    assert found.coins_back is None
    found = read(BUY, unwrap(ME, 9))
    assert (dict(found.spends), dict(found.receives_min), found.coins_back) == ({USDC: 10}, {COIN: 9}, 0)


def test_a_bound_within_counts_when_the_last_one_is_lower():
    assert dict(read(BUY, unwrap(ME, 3)).receives_min) == {COIN: 9}
    assert dict(read(BUY, unwrap(ME, 12)).receives_min) == {COIN: 12}


def test_what_an_exact_output_leaves_of_coins_is_no_proceeds():
    buy = v2(9, 10, [WETH, USDC], ME, paid=False, exact_out=True)
    found = read(wrap(ITSELF, 10), buy, unwrap(ME), value=10)
    assert (found.coins_wei, dict(found.receives_min), found.coins_back) == (10, {USDC: 9}, 0)


def test_unwrappings_within_are_counted_before_the_one_that_pays():
    two_kinds = [
        draw(WETH, ITSELF, 10),
        unwrap(ITSELF, 10),
        v4(settle(ZERO, 10), v4_swap(ZERO, [USDC], 10, 9), take(USDC, ITSELF)),
        v2(ALL, 8, [USDC, PARTNER, WETH], ITSELF, paid=False),
        unwrap(ME, 8),
    ]
    found = read(*two_kinds)
    assert (dict(found.spends), dict(found.receives_min), found.coins_back) == ({WETH: 10}, {COIN: 8}, 1)


@pytest.mark.parametrize(
    ("what", "steps", "value"),
    [
        ("coins left", [v2(10, 9, [USDC, WETH])], 1),
        ("wrapped coins left", [wrap(ITSELF, 10), v2(5, 4, [WETH, USDC], paid=False)], 10),
        ("more wrapped than sent", [wrap(ITSELF, 11), v2(11, 9, [WETH, USDC], paid=False)], 10),
        ("more swapped than wrapped", [wrap(ITSELF, 10), v2(11, 9, [WETH, USDC], paid=False)], 10),
        ("proceeds left", [BUY], 0),
        ("a rest left", [wrap(ITSELF, 10), v2(9, 10, [WETH, USDC], paid=False, exact_out=True)], 10),
        ("swapped twice", [wrap(ITSELF, 10), SELL, SELL], 10),
        ("all of nothing", [v2(ALL, 9, [WETH, USDC], paid=False)], 0),
        ("all, paid by the caller", [v2(ALL, 9, [WETH, USDC])], 0),
        ("an exact output of all", [BUY, v2(9, ALL, [WETH, USDC], paid=False, exact_out=True), unwrap(ME)], 0),
        ("coins to another", [BUY, unwrap(PARTNER, 9)], 0),
        ("coins twice", [BUY, unwrap(ME, 9), BUY, unwrap(ME, 9)], 0),
        ("coins swept", [v2(10, 9, [USDC, WETH], ITSELF), unwrap(ITSELF), sweep(ZERO, ME)], 0),
        ("tokens drawn to another", [draw(USDC, PARTNER, 10), BUY, unwrap(ME)], 0),
        ("tokens drawn and left", [draw(USDC, ITSELF, 10), BUY, unwrap(ME)], 0),
        ("nothing drawn", [draw(USDC, ITSELF, 0), BUY, unwrap(ME)], 0),
        ("only wrapping", [wrap(ME, 10)], 10),
        ("swept to nobody", [BUY, sweep(WETH, ZERO)], 0),
        ("swept to itself", [BUY, sweep(WETH, ITSELF)], 0),
        ("two recipients by a sweep", [v2(10, 9, [USDC, WETH]), BUY, sweep(WETH, PARTNER)], 0),
        ("wrapping nothing", [wrap(ITSELF, 0), SELL], 10),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_bytes_do_not_fix_is_refused(what, steps, value):
    with pytest.raises(Refused) as refused:
        read(*steps, value=value)
    assert refused.value.rule == "unsafe-call"


GOOD_V4 = [v4_swap(USDC, [WETH], 10, 9), settle_all(USDC, 10), take(WETH)]


def test_v4_swaps_are_read_in_each_of_their_forms():
    assert dict(read(v4(*GOOD_V4)).spends) == {USDC: 10}
    found = read(v4(v4_swap(WETH, [USDC], 9, 10, code=0x09), settle_all(USDC, 10), take_all(WETH, 9)))
    assert (dict(found.spends), dict(found.receives_min)) == ({USDC: 10}, {WETH: 9})
    found = read(v4(settle(ZERO, 10), v4_swap(ZERO, [USDC], 10, 9), take(USDC)), value=10)
    assert (found.coins_wei, dict(found.receives_min)) == (10, {USDC: 9})
    # Coins are those that came along, whoever is said to pay.
    found = read(v4(v4_swap(ZERO, [USDC], 10, 9), settle_all(ZERO, 10), take(USDC)), value=10)
    assert (found.coins_wei, dict(found.spends)) == (10, {})


@pytest.mark.parametrize(
    ("what", "actions"),
    [
        ("two actions", GOOD_V4[:2]),
        ("an action twice", [GOOD_V4[0], GOOD_V4[0], GOOD_V4[2]]),
        ("another action", [GOOD_V4[0], GOOD_V4[1], (0x10, GOOD_V4[2][1])]),
        ("taken first", [GOOD_V4[2], GOOD_V4[0], GOOD_V4[1]]),
        ("pays less than it says", [GOOD_V4[0], settle_all(USDC, 9), GOOD_V4[2]]),
        ("pays more than it says", [GOOD_V4[0], settle_all(USDC, 11), GOOD_V4[2]]),
        ("pays in another token", [GOOD_V4[0], settle_all(PARTNER, 10), GOOD_V4[2]]),
        ("pays without a most", [GOOD_V4[0], settle(USDC, 0, by_sender=True), GOOD_V4[2]]),
        ("takes another token", [GOOD_V4[0], GOOD_V4[1], take(USDC)]),
        ("takes a part", [GOOD_V4[0], GOOD_V4[1], take(WETH, amount=5)]),
        ("takes less than it says", [GOOD_V4[0], GOOD_V4[1], take_all(WETH, 8)]),
        ("an input of all it is owed", [v4_swap(USDC, [WETH], 0, 9), settle_all(USDC, 0), GOOD_V4[2]]),
        ("all after the swap", [v4_swap(USDC, [WETH], 10, 9), settle(USDC, ALL), GOOD_V4[2]]),
        ("words to a hook", [v4_swap(USDC, [WETH], 10, 9, hook_data=b"x"), *GOOD_V4[1:]]),
        ("bounds of hops", [v4_swap(USDC, [WETH], 10, 9, bounds=[1]), *GOOD_V4[1:]]),
        ("a round trip", [v4_swap(USDC, [WETH, USDC], 10, 9), GOOD_V4[1], take(USDC)]),
        ("no hop", [v4_swap(USDC, [], 10, 9), *GOOD_V4[1:]]),
        ("coins out of a pool", [v4_swap(USDC, [ZERO], 10, 9), GOOD_V4[1], take(ZERO)]),
        ("an exact output of nothing", [v4_swap(WETH, [USDC], 0, 10, code=0x09), settle_all(USDC, 10), take(WETH)]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_v4_swaps_that_say_two_things_are_refused(what, actions):
    with pytest.raises(Refused) as refused:
        read(v4(*actions))
    assert refused.value.rule == "unsafe-call"


def test_where_nobody_knows_what_wraps_the_coin_nothing_is_wrapped():
    with pytest.raises(Refused, match="what wraps the coin of chain 99"):
        read(wrap(ITSELF, 10), SELL, value=10, chain=99)
    assert dict(read(v2(10, 9, [USDC, WETH]), chain=99).spends) == {USDC: 10}
