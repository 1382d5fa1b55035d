"""The vectors that forge checks are what Python says today."""

from __future__ import annotations

import json

from eth_abi import decode

from tests.contracts.vectors import FILE, vectors


def test_the_vectors_in_git_are_what_python_says() -> None:
    assert json.loads(FILE.read_text()) == vectors(), "run python -m tests.contracts.vectors and commit what it writes"


def test_there_is_something_to_check() -> None:
    profits = [int(cycle["profit"]) for cycle in vectors()["cycles"]]
    assert sum(profit > 0 for profit in profits) > 10
    assert sum(profit < 0 for profit in profits) > 10


def test_the_calls_read_back_with_the_oracle() -> None:
    kinds = [
        "(uint8,address,uint256,uint256,uint256,uint256,uint16,address,uint24)",
        "(uint8,address,address,address,uint24,int24,bytes32)[]",
    ]
    for call in vectors()["calls"]:
        arbitrage, steps = decode(kinds, bytes.fromhex(call["data"][10:]))
        assert (arbitrage[1], str(arbitrage[2]), len(steps)) == (call["token"].lower(), call["amount"], call["steps"])
