"""Revert data in words: every error the genuine contracts declare has a name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.codec import ErrorType, error, parameters
from chain.devnet.node import node_modules
from chain.errors import CallReverted
from chain.reverts import Revert, explain
from chain.reverts.reading import OURS
from domain import InputError

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "0x" + "a1" * 20
ARTIFACTS = (
    "@uniswap/v4-core/out/PoolManager.sol/PoolManager.json",
    "@uniswap/v4-periphery/foundry-out/PositionManager.sol/PositionManager.json",
    "@uniswap/v4-periphery/foundry-out/V4Quoter.sol/V4Quoter.json",
    "@uniswap/universal-router/artifacts/contracts/UniversalRouter.sol/UniversalRouter.json",
    "@account-abstraction/contracts/artifacts/EntryPoint.json",
    "@account-abstraction/contracts/artifacts/SimpleAccount.json",
)


def data(kind: ErrorType, *values: object) -> bytes:
    return kind.selector + kind.arguments.encode(*values)


def text(words: str) -> bytes:
    return data(error("Error(string)"), words)


@pytest.mark.parametrize("artifact", ARTIFACTS)
def test_every_error_of_the_genuine_contracts_is_named(artifact: str) -> None:
    try:
        path = node_modules() / artifact
    except InputError as exc:
        pytest.skip(f"{exc}. {exc.hint}")
    declared = [entry for entry in json.loads(path.read_text())["abi"] if entry["type"] == "error"]
    assert declared
    for entry in declared:
        kind = error(f"{entry['name']}({','.join(field['type'] for field in entry['inputs'])})")
        found = explain(kind.selector + bytes(32 * 4))
        assert found.name == entry["name"]
        assert found.protocol


def test_every_error_of_our_shipped_contracts_is_named() -> None:
    # tests/contracts checks that the shipped contracts are the present ones; the same script writes this list.
    lines = (ROOT / "chain/reverts/ours.txt").read_text().splitlines()
    assert lines == sorted(set(lines))
    for line in lines:
        kind = error(line)
        found = explain(kind.selector + bytes(32 * 4))
        assert (found.name, OURS in found.protocol) == (kind.name, True)
    profit = error("ProfitBelowMinimum(int256 profit, uint256 minProfit)")
    assert explain(data(profit, -5, 10)) == Revert(
        "ProfitBelowMinimum", "ProfitBelowMinimum(profit=-5, minProfit=10)", OURS
    )


def test_a_permit_that_has_expired_says_what_to_do() -> None:
    found = explain(data(error("AllowanceExpired(uint256)"), 7))
    assert (found.name, found.protocol) == ("AllowanceExpired", "Permit2")
    assert found.in_words == "AllowanceExpired(deadline=7): the Permit2 allowance has expired: sign a new permit"


def test_an_error_inside_an_error_is_the_root() -> None:
    slipped = data(error("V4TooLittleReceived(uint256,uint256)"), 100, 99)
    found = explain(data(error("ExecutionFailed(uint256,bytes)"), 2, slipped))
    assert found.name == "ExecutionFailed"
    assert found.root.name == "V4TooLittleReceived"
    assert found.text == (
        "ExecutionFailed(commandIndex=2): V4TooLittleReceived(minAmountOutReceived=100, amountReceived=99)"
    )
    assert found.in_words.endswith("the pool moved")
    wrapped = error("WrappedError(address,bytes4,bytes,bytes)")
    found = explain(data(wrapped, ADDRESS, b"\x01\x02\x03\x04", text("STF"), b""))
    assert found.root.name == "STF"


def test_errors_nested_without_end_are_cut() -> None:
    inner = text("deep")
    failed = error("ExecutionFailed(uint256,bytes)")
    for number in range(50):
        inner = data(failed, number, inner)
    assert explain(inner).text.count("ExecutionFailed") == 5


@pytest.mark.parametrize(
    ("words", "name", "shown", "protocol"),
    [
        ("Too little received", "Too little received", "Too little received", "Uniswap V3"),
        ("GS026", "GS026", "GS026 (a signature is not an owner's, or they are not in order of address)", "Safe"),
        ("BAL#507", "BAL#507", "BAL#507 (the swap would give less, or take more, than the limit)", "Balancer V2"),
        ("AA25 invalid account nonce", "AA25 invalid account nonce", None, "ERC-4337"),
        ("UniswapV2: K", "UniswapV2: K", "UniswapV2: K", "Uniswap V2"),
        ("something new", "something new", "something new", ""),
    ],
)
def test_texts_are_kept_and_codes_explained(words: str, name: str, shown: str | None, protocol: str) -> None:
    found = explain(text(words))
    assert (found.name, found.protocol) == (name, protocol)
    assert found.text == shown or (shown is None and found.text.startswith(f"{words} ("))


def test_the_entry_point_s_reason_is_explained() -> None:
    found = explain(data(error("FailedOp(uint256,string)"), 0, "AA21 didn't pay prefund"))
    assert found.in_words == "FailedOp(opIndex=0): AA21 didn't pay prefund (the account cannot pay for the operation)"


def test_panics_and_unknown_errors() -> None:
    assert explain(data(error("Panic(uint256)"), 0x11)).in_words == "panic 0x11: arithmetic overflow"
    assert explain(bytes.fromhex("deadbeef")).text == "custom error 0xdeadbeef"
    assert explain(b"") == explain(b"\x01\x02") == Revert("", "")
    assert explain(bytes.fromhex("08c379a0")).text == "custom error 0x08c379a0"


def test_a_reverted_call_carries_its_reason() -> None:
    failed = CallReverted("reverted", code=3, output=text("LOK"), reason="LOK")
    assert failed.revert.meaning == "the pool is in the middle of another call, or not initialised"


@given(st.binary(max_size=200))
def test_any_bytes_are_explained_without_an_error(output: bytes) -> None:
    for prefix in (b"", error("Error(string)").selector, error("ExecutionFailed(uint256,bytes)").selector):
        found = explain(prefix + output)
        assert isinstance(found.in_words, str)


def test_no_two_errors_of_the_tables_share_a_selector_by_accident() -> None:
    # Names that several protocols use must have the same types: a selector is four bytes only.
    assert parameters("uint256").encode(1)[-1] == 1
    found = explain(error("InvalidSignature()").selector)
    assert found.protocol == "Permit2"
