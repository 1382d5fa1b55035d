"""Order ids at venues that want others: nothing is lost on the way there and back."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cex.client_ids import PACKED_MAX, ClientIds
from cex.marks import without_marks
from cex.venues import ClientIdRule
from domain import InputError

TEXT, ALNUM = ClientIdRule(), ClientIdRule(pattern="[A-Za-z0-9]{1,32}")
SHORT = ClientIdRule(pattern="[A-Za-z0-9_-]{1,18}")
UUID, HEX = ClientIdRule(kind="uuid"), ClientIdRule(kind="hex")
WIDE, NARROW = ClientIdRule(kind="integer", bits=45), ClientIdRule(kind="integer", bits=32)
RULES = (TEXT, ALNUM, SHORT, UUID, HEX, WIDE, NARROW)

any_id = st.text("ABCXYZabcxyz0189-_", min_size=1, max_size=32)


def is_valid(rule: ClientIdRule, theirs: str | int) -> bool:
    match rule.kind:
        case "text":
            return isinstance(theirs, str) and re.fullmatch(rule.pattern, theirs) is not None
        case "integer":
            return isinstance(theirs, int) and 0 < theirs < 2**rule.bits
        case "uuid":
            return uuid.UUID(str(theirs)).version == 8 and str(uuid.UUID(str(theirs))) == theirs
        case _:
            return re.fullmatch("0x[0-9a-f]{32}", str(theirs)) is not None


@given(st.lists(any_id, unique=True, max_size=8), st.sampled_from(RULES))
def test_ids_come_back_and_differ(ours: list[str], rule: ClientIdRule) -> None:
    ids = ClientIds(rule)
    theirs = [ids.theirs(name) for name in ours]
    assert all(is_valid(rule, name) for name in theirs)
    assert len(set(theirs)) == len(ours)
    assert [ids.ours(name) for name in theirs] == ours
    assert [ids.ours(str(name).upper().replace("0X", "0x")) for name in theirs if rule in (UUID, HEX)] == (
        ours if rule in (UUID, HEX) else []
    )
    assert [ids.theirs(name) for name in ours] == theirs


@given(st.text("ABCXYZabcxyz0189-_", min_size=1, max_size=PACKED_MAX), st.sampled_from((UUID, HEX)))
def test_packed_ids_need_no_table(ours: str, rule: ClientIdRule) -> None:
    assert not ClientIds(rule).is_kept(ours)
    assert ClientIds(rule).ours(ClientIds(rule).theirs(ours)) == ours


@given(st.sampled_from(RULES), st.text(max_size=40))
def test_ids_of_others_are_left_as_they_are(rule: ClientIdRule, foreign: str) -> None:
    ids = ClientIds(rule)
    if rule.kind in ("text", "integer"):
        assert ids.ours(foreign) == foreign
    assert ids.ours(None) == ""
    assert ids.ours(str(uuid.UUID(int=2**128 - 1))) == str(uuid.UUID(int=2**128 - 1))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("bad", ["", "x" * 33, "with space", "ünicode", "a\n"])
def test_what_is_no_id_is_refused(rule: ClientIdRule, bad: str) -> None:
    with pytest.raises(InputError):
        ClientIds(rule).theirs(bad)


@pytest.mark.parametrize("rule", [ALNUM, SHORT, UUID, WIDE, NARROW])
def test_replaced_ids_survive_a_restart_and_a_cut_line(rule: ClientIdRule, tmp_path: Path) -> None:
    table = tmp_path / "venues" / "x.order-ids"
    first, later = "a-name-of-thirty-two-characters-", "another_of_thirty-two-characters"
    theirs = ClientIds(rule, table).theirs(first)
    with table.open("ab") as file:
        file.write(b"12345 torn-by-a-cra")
    again = ClientIds(rule, table)
    assert again.ours(theirs) == first
    assert again.theirs(first) == theirs
    kept = again.theirs(later)
    assert ClientIds(rule, table).ours(kept) == later
    assert ClientIds(rule, table).ours("12345") == "12345"


def test_the_replacement_is_the_same_without_the_table(tmp_path: Path) -> None:
    """An order whose table was lost can still be asked about."""
    assert ClientIds(WIDE).theirs("c0123456789abcdef") == ClientIds(WIDE, tmp_path / "t").theirs("c0123456789abcdef")


def test_a_replacement_that_is_taken_is_not_used_again() -> None:
    """Three bits have seven numbers: each goes to one id, and then there is an error, never a second owner."""
    ids = ClientIds(ClientIdRule(kind="integer", bits=3))
    given_out = {ids.theirs(f"order-{number}") for number in range(7)}
    assert given_out == set(range(1, 8))
    with pytest.raises(Exception, match="are all taken"):
        ids.theirs("order-8")


def test_a_table_that_cannot_be_written_stops_the_order(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        ClientIds(WIDE, tmp_path / "file" / "x.order-ids").theirs("c0123456789abcdef")


@given(st.sampled_from(RULES), st.sampled_from(["ccxt", "CCXT-1", "ccxt_order"]))
def test_no_id_of_ours_passes_for_a_mark_of_ccxts(rule: ClientIdRule, ours: str) -> None:
    """Marks are taken out of requests: the order would leave without its id."""
    ids = ClientIds(rule)
    theirs = ids.theirs(ours)
    assert without_marks({"clientOrderId": theirs}) == {"clientOrderId": theirs}
    assert ids.ours(theirs) == ours
