"""The base class: what is overridden is subscribed, and a state goes to bytes and back."""

from __future__ import annotations

import pytest

from domain import InputError
from engine.sdk import CALLBACKS, Strategy, callbacks, wakes


class Counting(Strategy):
    saved = ("seen", "last")

    def __init__(self):
        super().__init__("c")
        self.seen, self.last = 0, None

    def on_fill(self, ctx, event):
        self.seen += 1


class More(Counting):
    def on_book(self, ctx, book):
        pass


def test_only_overridden_callbacks_are_subscribed():
    assert callbacks(Strategy()) == ()
    assert wakes(Strategy()) == 0
    assert callbacks(More()) == ("on_book", "on_fill")
    # BOOK, STALE and FILL of native/engine/src/wakes.rs.
    assert wakes(More()) == 1 << 0 | 1 << 9 | 1 << 3
    assert all(hasattr(Strategy, name) for name in CALLBACKS)


def test_state_goes_to_bytes_and_back():
    one, other = Counting(), Counting()
    one.seen, one.last = 3, {"b": [1, 2.5], "a": None}
    assert one.state() == one.state()
    other.restore(one.state())
    assert (other.seen, other.last) == (3, {"b": [1, 2.5], "a": None})
    assert other.state() == one.state()


def test_state_does_not_depend_on_the_order_of_insertion():
    one, other = Counting(), Counting()
    one.last, other.last = {"a": 1, "b": 2}, {"b": 2, "a": 1}
    assert one.state() == other.state()


def test_what_is_no_plain_value_is_refused_by_name():
    strategy = Counting()
    strategy.last = object()
    with pytest.raises(InputError, match="strategy c cannot save"):
        strategy.state()


@pytest.mark.parametrize("state", [b"", b"[]", b"{", b'{"seen": 1}', b'{"seen": 1, "last": 2, "x": 3}'])
def test_damaged_state_is_refused_and_changes_nothing(state):
    strategy = Counting()
    with pytest.raises(InputError, match="saved state"):
        strategy.restore(state)
    assert (strategy.seen, strategy.last) == (0, None)
