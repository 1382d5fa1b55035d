"""Every family is read from bytes that another encoder made; what is not exactly as it should be is refused."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode
from hypothesis import given
from hypothesis import strategies as st

from chain import keccak256
from custody.calls import Kind, decode_call, known_methods
from custody.calls.model import COIN
from custody.calls.permit2 import PERMIT2
from custody.calls.safe import MULTI_SENDS
from domain import Refused
from tests.support.approvers import PARTNER, USDC, VAULT, address_of, transfer_data

ROUTER = address_of("router")
WETH = address_of("weth")
SAFE = address_of("safe")
ZERO = "0x" + "00" * 20
MULTI_SEND = min(MULTI_SENDS)
NONCE = 0x5A5A5A5A5A5A
SINGLE = "((address,uint160,uint48,uint48),address,uint256)"


def call(name, types, *values):
    return keccak256(f"{name}({','.join(types)})".encode())[:4] + encode(types, values)


def rule_of(data, *, to=USDC, sender=VAULT, **options):
    with pytest.raises(Refused) as refusal:
        decode_call(sender, to, data, **options)
    return refusal.value.rule


# --- tokens


def test_token_transfers():
    found = decode_call(VAULT, USDC, transfer_data(PARTNER, 7))
    assert (found.method, dict(found.spends), found.recipient) == ("transfer", {USDC: 7}, PARTNER)
    data = call("transferFrom", ("address", "address", "uint256"), PARTNER, VAULT, 9)
    found = decode_call(VAULT, USDC, data)
    assert (dict(found.spends), found.recipient, found.others) == ({USDC: 9}, VAULT, {PARTNER})


def test_a_transfer_from_of_nothing_is_refused():
    data = call("transferFrom", ("address", "address", "uint256"), PARTNER, VAULT, 0)
    assert rule_of(data) == "unsafe-call"


def test_allowances():
    for name in ("approve", "increaseAllowance"):
        found = decode_call(VAULT, USDC, call(name, ("address", "uint256"), ROUTER, 5))
        assert (found.method, dict(found.approves), found.spender) == (name, {USDC: 5}, ROUTER)
    found = decode_call(VAULT, USDC, call("decreaseAllowance", ("address", "uint256"), ROUTER, 5))
    assert dict(found.approves) == {USDC: 0}
    assert rule_of(call("increaseAllowance", ("address", "uint256"), ROUTER, 2**256 - 1)) == "unsafe-call"


def test_wrapping_uses_exactly_what_is_sent():
    found = decode_call(VAULT, WETH, call("deposit", ()), value_wei=10)
    assert (found.coins_wei, found.recipient) == (10, VAULT)
    assert rule_of(call("deposit", ()), to=WETH) == "unsafe-call"
    assert dict(decode_call(VAULT, WETH, call("withdraw", ("uint256",), 10)).spends) == {WETH: 10}


# --- Permit2


def test_permit2_calls():
    types = ("address", "address", "uint160", "uint48")
    found = decode_call(VAULT, PERMIT2, call("approve", types, USDC, ROUTER, 5, 1_000))
    assert (dict(found.approves), found.spender, found.deadline_s) == ({USDC: 5}, ROUTER, 1_000)
    data = call("permit", ("address", SINGLE, "bytes"), VAULT, ((USDC, 5, 1_000, 0), ROUTER, 2_000), b"s" * 65)
    assert dict(decode_call(VAULT, PERMIT2, data).approves) == {USDC: 5}
    types = ("address", "address", "uint160", "address")
    found = decode_call(VAULT, PERMIT2, call("transferFrom", types, VAULT, PARTNER, 5, USDC))
    assert (dict(found.spends), found.recipient) == ({USDC: 5}, PARTNER)


def test_a_permit_of_another_account_is_not_ours_to_send():
    data = call("permit", ("address", SINGLE, "bytes"), PARTNER, ((USDC, 5, 1_000, 0), ROUTER, 2_000), b"s" * 65)
    assert rule_of(data, to=PERMIT2) == "unsafe-call"


def test_batches_of_permit2_are_added_up():
    rows = [(VAULT, PARTNER, 5, USDC), (VAULT, PARTNER, 6, USDC), (VAULT, PARTNER, 1, WETH)]
    data = call("transferFrom", ("(address,address,uint160,address)[]",), rows)
    assert dict(decode_call(VAULT, PERMIT2, data).spends) == {USDC: 11, WETH: 1}
    rows[1] = (VAULT, ROUTER, 6, USDC)
    assert rule_of(call("transferFrom", ("(address,address,uint160,address)[]",), rows), to=PERMIT2) == "unsafe-call"
    batch = "((address,uint160,uint48,uint48)[],address,uint256)"
    twice = ([(USDC, 5, 1_000, 0), (USDC, 6, 1_000, 0)], ROUTER, 2_000)
    assert rule_of(call("permit", ("address", batch, "bytes"), VAULT, twice, b""), to=PERMIT2) == "unsafe-call"


# --- the UniversalRouter


def execute(commands, *inputs, deadline=5_000):
    return call("execute", ("bytes", "bytes[]", "uint256"), bytes(commands), list(inputs), deadline)


def v2(recipient=VAULT, amount=10, least=9, path=(USDC, WETH), is_paid_by_caller=True):
    types = ("address", "uint256", "uint256", "address[]", "bool")
    return encode(types, (recipient, amount, least, path, is_paid_by_caller))


def v3(path=None, recipient="0x0000000000000000000000000000000000000001", amount=10, least=9, is_paid_by_caller=True):
    packed = path or bytes.fromhex(USDC[2:]) + (500).to_bytes(3, "big") + bytes.fromhex(WETH[2:])
    return encode(
        ("address", "uint256", "uint256", "bytes", "bool"), (recipient, amount, least, packed, is_paid_by_caller)
    )


def permit_input(spender=ROUTER):
    return encode((SINGLE, "bytes"), (((USDC, 50, 1_000, NONCE), spender, 2_000), b"s" * 65))


def test_router_swaps_are_read_and_added_up():
    found = decode_call(VAULT, ROUTER, execute([0x0A, 0x08, 0x00], permit_input(), v2(), v3()))
    assert dict(found.spends) == {USDC: 20}
    assert dict(found.receives_min) == {WETH: 18}
    assert (dict(found.approves), found.spender) == ({USDC: 50}, ROUTER)
    assert (found.recipient, found.deadline_s, len(found.inner)) == (VAULT, 5_000, 3)


ROUTER_ITSELF = "0x0000000000000000000000000000000000000002"


@pytest.mark.parametrize(
    ("what", "data"),
    [
        ("a sweep", execute([0x04], encode(("address", "address", "uint256"), (USDC, PARTNER, 0)))),
        ("a transfer", execute([0x08, 0x05], v2(), encode(("address", "address", "uint256"), (USDC, PARTNER, 1)))),
        ("a command that may fail", execute([0x88], v2())),
        ("what the router holds", execute([0x08], v2(is_paid_by_caller=False))),
        ("all the router holds", execute([0x00], v3(amount=1 << 255))),
        ("nothing", execute([0x08], v2(amount=0))),
        ("proceeds to the router", execute([0x08], v2(recipient=ROUTER_ITSELF))),
        ("proceeds to the router by its address", execute([0x08], v2(recipient=ROUTER))),
        ("two recipients", execute([0x08, 0x08], v2(), v2(recipient=PARTNER))),
        ("a round trip", execute([0x08], v2(path=(USDC, WETH, USDC)))),
        ("a cut path", execute([0x00], v3(path=bytes(22)))),
        ("a permit to another", execute([0x0A, 0x08], permit_input(PARTNER), v2())),
        ("a permit alone", execute([0x0A], permit_input())),
        ("more commands than inputs", execute([0x08, 0x08], v2())),
        ("no command", execute([])),
        ("too many", execute([0x08] * 25, *[v2()] * 25)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_router_commands_that_hide_something_are_refused(what, data):
    assert rule_of(data, to=ROUTER) == "unsafe-call"


# --- Safe


def safe_call(to, data=b"", *, value=0, operation=0, gas_price=0, gas_token=ZERO, refund=ZERO):
    types = ("address", "uint256", "bytes", "uint8", "uint256", "uint256", "uint256", "address", "address", "bytes")
    return call("execTransaction", types, to, value, data, operation, 0, 0, gas_price, gas_token, refund, b"signatures")


def batch(*steps):
    packed = b"".join(
        bytes([operation]) + bytes.fromhex(to[2:]) + value.to_bytes(32, "big") + len(data).to_bytes(32, "big") + data
        for operation, to, value, data in steps
    )
    return call("multiSend", ("bytes",), packed)


def test_a_safe_transfer_is_read_through():
    found = decode_call(VAULT, SAFE, safe_call(USDC, transfer_data(PARTNER, 5)))
    assert (found.method, dict(found.spends), found.recipient) == ("execTransaction", {USDC: 5}, PARTNER)
    assert [target for target, _ in found.inner] == [USDC]
    assert {SAFE, USDC} <= found.others
    found = decode_call(VAULT, SAFE, safe_call(PARTNER, value=8))
    assert (dict(found.spends), found.recipient) == ({COIN: 8}, PARTNER)


def test_a_batch_of_a_safe_is_read_through():
    data = batch((0, USDC, 0, transfer_data(PARTNER, 5)), (0, PARTNER, 6, b""), (0, USDC, 0, transfer_data(PARTNER, 1)))
    found = decode_call(VAULT, SAFE, safe_call(MULTI_SEND, data, operation=1))
    assert (dict(found.spends), found.recipient) == ({USDC: 6, COIN: 6}, PARTNER)


@pytest.mark.parametrize(
    ("rule", "data"),
    [
        ("delegatecall", safe_call(USDC, transfer_data(PARTNER, 5), operation=1)),
        ("delegatecall", safe_call(MULTI_SEND, batch((1, PARTNER, 0, b"")), operation=1)),
        ("delegatecall", safe_call(MULTI_SEND, batch((0, PARTNER, 1, b"")), operation=1, value=1)),
        ("unsafe-call", safe_call(USDC, transfer_data(PARTNER, 5), operation=2)),
        ("unsafe-call", safe_call(USDC, transfer_data(PARTNER, 5), gas_price=1)),
        ("unsafe-call", safe_call(USDC, transfer_data(PARTNER, 5), gas_token=USDC)),
        ("unsafe-call", safe_call(USDC, transfer_data(PARTNER, 5), refund=PARTNER)),
        ("unsafe-call", safe_call(USDC, transfer_data(PARTNER, 5), value=1)),
        ("unknown-method", safe_call(MULTI_SEND, batch((0, USDC, 0, transfer_data(PARTNER, 5))))),
        ("unsafe-call", safe_call(MULTI_SEND, transfer_data(PARTNER, 5), operation=1)),
        ("unsafe-call", safe_call(MULTI_SEND, batch(), operation=1)),
        ("unsafe-call", safe_call(MULTI_SEND, call("multiSend", ("bytes",), b"\0" * 84), operation=1)),
        ("unknown-method", safe_call(SAFE, call("addOwnerWithThreshold", ("address", "uint256"), PARTNER, 1))),
        ("unknown-method", safe_call(SAFE, call("enableModule", ("address",), PARTNER))),
        (
            "unsafe-call",
            safe_call(MULTI_SEND, batch((0, USDC, 0, transfer_data(PARTNER, 5)), (0, ROUTER, 1, b"")), operation=1),
        ),
    ],
    ids=[
        "Bybit's swap",
        "delegating within a batch",
        "a batch with coins",
        "another operation",
        "a gas price",
        "a gas token",
        "a refund",
        "coins to a token",
        "MultiSend called",
        "MultiSend by another method",
        "an empty batch",
        "a cut batch",
        "a new owner",
        "a module",
        "two recipients",
    ],
)
def test_safe_transactions_that_hide_something_are_refused(rule, data):
    assert rule_of(data, to=SAFE) == rule


def test_calls_within_calls_end():
    data = transfer_data(PARTNER, 1)
    for _ in range(5):
        data = safe_call(SAFE if data[:4] != transfer_data(PARTNER, 1)[:4] else USDC, data)
    assert rule_of(data, to=SAFE) == "unsafe-call"


# --- the guarded vault


def test_payments_of_a_guarded_vault_count_as_spent():
    types = ("address", "address", "uint256")
    for name in ("pay", "proposePayment"):
        found = decode_call(VAULT, SAFE, call(name, types, USDC, PARTNER, 5))
        assert (found.method, dict(found.spends), found.recipient) == (name, {USDC: 5}, PARTNER)
        assert dict(decode_call(VAULT, SAFE, call(name, types, ZERO, PARTNER, 5)).spends) == {COIN: 5}
        assert rule_of(call(name, types, USDC, PARTNER, 0), to=SAFE) == "unsafe-call"


def test_roles_of_a_guarded_vault_are_named():
    found = decode_call(VAULT, SAFE, call("proposeRole", ("uint8", "address"), 7, PARTNER))
    assert [shown.value for shown in found.shown] == ["guardian", PARTNER]
    assert rule_of(call("proposeRole", ("uint8", "address"), 1, PARTNER), to=SAFE) == "unsafe-call"


# --- for all of them

EXAMPLES = {
    "transfer": (USDC, transfer_data(PARTNER, 7)),
    "transferFrom": (USDC, call("transferFrom", ("address", "address", "uint256"), PARTNER, VAULT, 9)),
    "permit": (
        PERMIT2,
        call("permit", ("address", SINGLE, "bytes"), VAULT, ((USDC, 5, 1_000, NONCE), ROUTER, 2_000), b"s" * 65),
    ),
    "execute": (ROUTER, execute([0x0A, 0x08, 0x00], permit_input(), v2(), v3())),
    "safe": (SAFE, safe_call(MULTI_SEND, batch((0, USDC, 0, transfer_data(PARTNER, 5))), operation=1)),
}


def left_to_others(content):
    """Positions that say nothing about the effect: signatures and their length, Permit2's own nonces, a Safe's inner
    gas."""
    positions = set()
    for mark, length in ((b"s" * 65, 1), (NONCE.to_bytes(6, "big"), 0), (b"signatures", 1)):
        at = content.find(mark)
        if at >= 0:
            positions.update(range(at - length, at + len(mark)))
    if content[:4] == safe_call(USDC)[:4]:
        positions.update(range(4 + 32 * 4, 4 + 32 * 6))
    return positions


def read_or_none(to, content):
    try:
        return decode_call(VAULT, to, content)
    except Refused:
        return None


@pytest.mark.parametrize("name", EXAMPLES)
@given(data=st.data())
def test_no_two_calls_read_the_same(name, data):
    """A changed byte is refused, or is read as something else."""
    to, content = EXAMPLES[name]
    at = data.draw(st.sampled_from(sorted(set(range(len(content))) - left_to_others(content))))
    changed = bytearray(content)
    changed[at] ^= data.draw(st.integers(1, 255))
    assert read_or_none(to, bytes(changed)) != decode_call(VAULT, to, content)


@pytest.mark.parametrize("name", ["permit", "execute", "safe"])
def test_what_is_left_to_others_changes_nothing_that_is_read(name):
    """Every such byte, changed in five ways: the call is refused, or reads the same."""
    to, content = EXAMPLES[name]
    for at in left_to_others(content):
        for change in (1, 2, 0x0F, 0x80, 0xFF):
            changed = bytearray(content)
            changed[at] ^= change
            assert read_or_none(to, bytes(changed)) in (None, decode_call(VAULT, to, content))


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("tail", [b"\0", b"\0" * 32, b"x" * 31])
def test_trailing_bytes_are_refused(name, tail):
    to, content = EXAMPLES[name]
    assert rule_of(content + tail, to=to) == "malformed-call"


def test_every_reader_says_what_a_person_reads():
    for name, (to, content) in EXAMPLES.items():
        found = decode_call(VAULT, to, content)
        assert found.action, name
        assert found.shown or found.inner, name
        assert all(isinstance(shown.kind, Kind) for shown in found.shown)


def test_methods_that_are_known():
    assert known_methods() == {
        "approve",
        "cancelOrder",
        "createOrder",
        "collect",
        "collectToOwner",
        "decreaseAllowance",
        "decreaseLiquidity",
        "deploy",
        "deployArbExecutor",
        "deposit",
        "exactInput",
        "exactInputSingle",
        "exit",
        "move",
        "exactOutput",
        "exactOutputSingle",
        "execTransaction",
        "execute",
        "increaseAllowance",
        "increaseLiquidity",
        "lengthenDelay",
        "lowerLimit",
        "mint",
        "modifyLiquidities",
        "multicall",
        "pause",
        "pay",
        "permit",
        "proposeDelay",
        "proposeLimit",
        "proposePayment",
        "proposeRole",
        "proposeUnpause",
        "sweep",
        "swap",
        "swapExactTokensForTokens",
        "swapTokensForExactTokens",
        "transfer",
        "transferFrom",
        "veto",
        "vetoUpTo",
        "withdraw",
    }
    assert rule_of(b"") == rule_of(b"\xde\xad\xbe\xef") == rule_of(b"abc") == "unknown-method"
