"""The table of states, and the ways that are found in it."""

from __future__ import annotations

import itertools

import pytest

from custody.transactions.lifecycle import State as TransactionState
from custody.withdrawals.lifecycle import ENDED, FOLLOWED, TRANSITIONS, UNSENT, State, Step, after, way
from domain import InvariantError


def test_what_is_not_in_the_table_is_an_error():
    for state, step in itertools.product(State, Step):
        if (state, step) in TRANSITIONS:
            assert after(state, step, what="w") is TRANSITIONS[state, step]
        else:
            with pytest.raises(InvariantError, match="must not happen"):
                after(state, step, what="w")


def test_nothing_leaves_an_end_and_everything_else_leads_to_one():
    assert not [state for state, _ in TRANSITIONS if state in ENDED]
    reach = {state: {state} for state in State}
    for _ in State:
        for (state, _step), target in TRANSITIONS.items():
            reach[state] |= reach[target]
    assert all(reach[state] & ENDED for state in State)


def test_only_what_is_unsent_can_be_held_and_cancelled_at_once():
    holdable = {state for state, step in TRANSITIONS if step is Step.HELD}
    assert holdable == UNSENT - {State.HELD}
    assert {state for state, step in TRANSITIONS if step is Step.CANCELLED} == UNSENT | {State.SENDING}


def test_every_state_of_a_transaction_is_followed_from_wherever_the_withdrawal_may_be():
    assert set(FOLLOWED) == set(TransactionState)
    for start in (*(UNSENT - {State.REQUESTED}), State.SENDING):
        for target in set(FOLLOWED.values()):
            if start is State.SENDING and target in UNSENT:
                with pytest.raises(InvariantError):  # bytes that were signed are never unsigned again
                    way(start, target, what="w")
                continue
            reached = start
            for step in way(start, target, what="w"):
                reached = after(reached, step, what="w")
            assert reached is target, (start, target)
