"""Coins moved by calls: only what took effect counts."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from custody.deposits.traces import coin_movements

A, B, C = ("0x" + digit * 40 for digit in "123")


def call(kind: str, sender: str, to: str, raw: int, *calls: Any, error: str = "") -> dict[str, Any]:
    return {"type": kind, "from": sender, "to": to, "value": hex(raw), "calls": list(calls)} | (
        {"error": error} if error else {}
    )


def moved(trace: dict[str, Any]) -> list[tuple[int, int]]:
    return [(movement.leg, movement.raw) for movement in coin_movements(trace)]


def test_calls_creations_and_destructions_move_coins_and_delegation_does_not() -> None:
    trace = call(
        "CALL", A, B, 1,
        call("DELEGATECALL", B, C, 1, call("CALL", B, C, 2)),
        call("CALLCODE", B, C, 3),
        call("STATICCALL", B, C, 0),
        call("CREATE2", B, C, 4),
        call("SELFDESTRUCT", B, A, 5),
    )  # fmt: skip
    assert moved(trace) == [(0, 1), (2, 2), (5, 4), (6, 5)]


def test_what_a_failed_call_did_within_is_undone() -> None:
    trace = call("CALL", A, B, 1, call("CALL", B, C, 2, call("CALL", C, A, 3), error="reverted"), call("CALL", B, C, 4))
    assert moved(trace) == [(0, 1), (3, 4)]
    assert moved(call("CALL", A, B, 1, call("CALL", B, C, 2), error="out of gas")) == []


def test_a_creation_that_failed_has_no_target() -> None:
    assert moved({"type": "CREATE", "from": A, "value": "0x5", "error": "reverted"}) == []


def test_the_deepest_stack_is_read() -> None:
    trace = call("CALL", A, B, 1)
    for _ in range(2_000):
        trace = call("CALL", A, B, 0, trace)
    assert moved(trace) == [(2_000, 1)]


@st.composite
def _traces(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    def build(depth: int, undone: bool) -> tuple[dict[str, Any], int]:
        raw = draw(st.integers(0, 5))
        failed = draw(st.booleans()) and draw(st.booleans())
        inner = [build(depth - 1, undone or failed) for _ in range(draw(st.integers(0, 3)) if depth else 0)]
        trace = call("CALL", A, B, raw, *(t for t, _ in inner), error="reverted" if failed else "")
        return trace, (0 if undone or failed else raw) + sum(total for _, total in inner)

    return build(3, False)


@given(_traces())
def test_the_sum_is_that_of_the_calls_without_a_failed_ancestor(case: tuple[dict[str, Any], int]) -> None:
    trace, expected = case
    assert sum(movement.raw for movement in coin_movements(trace)) == expected
