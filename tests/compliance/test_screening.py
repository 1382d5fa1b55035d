"""Denied addresses are refused, and a list that cannot be read refuses everybody."""

from __future__ import annotations

from pathlib import Path

import pytest

from compliance import DenyListScreener
from domain import Address, Refused

BAD = Address("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed")
WORSE = Address("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359")
GOOD = Address("0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb")


@pytest.fixture
def deny_list(tmp_path: Path) -> Path:
    path = tmp_path / "deny.txt"
    path.write_text(f"# sanctioned\n\n{BAD}  mixer, listed 2022-08-08\n{WORSE.lower()} # no reason\n")
    return path


async def test_listed_addresses_are_refused_with_their_reason_in_whatever_case_they_are_listed(deny_list: Path) -> None:
    screener = DenyListScreener(deny_list)
    await screener.screen([GOOD])
    await screener.screen([])
    with pytest.raises(Refused, match="mixer") as refused:
        await screener.screen([GOOD, BAD])
    assert refused.value.rule == "deny-list"
    with pytest.raises(Refused):
        await screener.screen([WORSE])


async def test_an_address_added_to_the_file_is_refused_at_once(deny_list: Path) -> None:
    screener = DenyListScreener(deny_list)
    await screener.screen([GOOD])
    with deny_list.open("a") as file:
        file.write(f"{GOOD}\n")
    with pytest.raises(Refused):
        await screener.screen([GOOD])


@pytest.mark.parametrize(
    "content", [b"not an address\n", BAD.swapcase().replace("0X", "0x").encode(), b"\xff\xfe\x00", b"0x1234\n"]
)
async def test_a_malformed_list_refuses_everybody_until_it_is_mended(deny_list: Path, content: bytes) -> None:
    screener = DenyListScreener(deny_list)
    good = deny_list.read_bytes()
    await screener.screen([GOOD])
    deny_list.write_bytes(content)
    with pytest.raises(Refused) as refused:
        await screener.screen([GOOD])
    assert refused.value.rule == "screening-unavailable"
    deny_list.write_bytes(good)
    await screener.screen([GOOD])


async def test_a_missing_list_refuses_everybody_also_after_it_was_there(deny_list: Path) -> None:
    screener = DenyListScreener(deny_list)
    await screener.screen([GOOD])
    deny_list.unlink()
    with pytest.raises(Refused) as refused:
        await screener.screen([GOOD])
    assert refused.value.rule == "screening-unavailable"
