"""Cursors are opened as they were sealed, and not otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.core.errors import BadRequest
from api.core.keys import ServerKey
from api.core.pages import Cursors

CURSORS = Cursors(ServerKey(b"\x07" * 32))


@given(scope=st.text(max_size=30), position=st.lists(st.integers(-(2**60), 2**60), max_size=4))
def test_a_cursor_comes_back_as_its_position(scope, position):
    assert CURSORS.open(scope, CURSORS.seal(scope, position), list[int]) == position


@given(data=st.data())
def test_an_edited_cursor_is_refused(data):
    cursor = CURSORS.seal("orders/acme", [5, 7])
    at = data.draw(st.integers(0, len(cursor) - 1))
    other = data.draw(st.sampled_from("ABCxyz019-_").filter(lambda c: c != cursor[at]))
    with pytest.raises(BadRequest):
        CURSORS.open("orders/acme", cursor[:at] + other + cursor[at + 1 :], list[int])


@pytest.mark.parametrize("cursor", ["", "A", "=", "ü", "A" * 500, "....", "null"])
def test_what_is_no_cursor_is_refused(cursor):
    with pytest.raises(BadRequest):
        CURSORS.open("orders/acme", cursor, list[int])


def test_a_cursor_of_another_list_owner_or_server_is_refused():
    cursor = CURSORS.seal("orders/acme", [5])
    for cursors, scope in (
        (CURSORS, "orders/other"),
        (CURSORS, "fills/acme"),
        (Cursors(ServerKey(b"\x08" * 32)), "orders/acme"),
    ):
        with pytest.raises(BadRequest):
            cursors.open(scope, cursor, list[int])


def test_pages_end_where_the_rows_end():
    assert CURSORS.page("s", [1, 2, 3], 3, lambda row: [row]) == ([1, 2, 3], None)
    rows, cursor = CURSORS.page("s", [1, 2, 3], 2, lambda row: [row])
    assert rows == [1, 2]
    assert CURSORS.open("s", cursor, list[int]) == [2]
