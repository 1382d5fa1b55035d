"""Swaps on Balancer's Vault, and what of them is not let through."""

from __future__ import annotations

import pytest
from eth_abi.abi import encode

from chain import keccak256
from custody.calls import decode_call
from domain import Refused
from tests.support.approvers import PARTNER, USDC, VAULT, address_of

BALANCER, DAI = address_of("balancer"), address_of("dai")
ZERO = "0x" + "00" * 20
SINGLE, FUNDS = "(bytes32,uint8,address,address,uint256,bytes)", "(address,bool,address,bool)"


def swap(kind=0, given=DAI, taken=USDC, amount=10, said=b"", funds=(VAULT, False, VAULT, False), limit=9):
    types = [SINGLE, FUNDS, "uint256", "uint256"]
    head = keccak256(f"swap({','.join(types)})".encode())[:4]
    return head + encode(types, [(b"p" * 32, kind, given, taken, amount, said), funds, limit, 5_000])


def read(data):
    return decode_call(VAULT, BALANCER, data, chain_id=1)


def test_a_swap_is_read_from_either_side():
    found = read(swap())
    assert (dict(found.spends), dict(found.receives_min), found.deadline_s) == ({DAI: 10}, {USDC: 9}, 5_000)
    found = read(swap(kind=1))
    assert (dict(found.spends), dict(found.receives_min), found.recipient) == ({DAI: 9}, {USDC: 10}, VAULT)
    assert read(swap(funds=(VAULT, False, PARTNER, False))).recipient == PARTNER


@pytest.mark.parametrize(
    "changes",
    [
        {"funds": (PARTNER, False, VAULT, False)},
        {"funds": (VAULT, True, VAULT, False)},
        {"funds": (VAULT, False, VAULT, True)},
        {"funds": (VAULT, False, BALANCER, False)},
        {"funds": (VAULT, False, ZERO, False)},
        {"given": ZERO},
        {"taken": ZERO},
        {"taken": DAI},
        {"amount": 0},
        {"said": b"x"},
        {"kind": 2},
    ],
    ids=str,
)
def test_what_touches_other_balances_is_refused(changes):
    with pytest.raises(Refused) as refused:
        read(swap(**changes))
    assert refused.value.rule == "unsafe-call"
