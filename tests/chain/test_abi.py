"""Hand-packed words equal eth_abi's, on any input."""

from __future__ import annotations

import pytest
from eth_abi.abi import decode, encode
from eth_utils.abi import function_signature_to_4byte_selector
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from chain import checksum, parse_address
from chain.abi import (
    Dynamic,
    address_array,
    address_at,
    address_word,
    bytes_array,
    bytes_words,
    compose,
    int_at,
    int_word,
    selector,
    text_at,
    topic,
    uint_at,
    uint_word,
    words,
)
from chain.errors import broadcast_rejection, revert_reason
from domain import InputError

ADDRESSES = st.binary(min_size=20, max_size=20).map(lambda raw: "0x" + raw.hex())
UINTS = st.integers(0, 2**256 - 1)
INTS = st.integers(-(2**255), 2**255 - 1)


@given(UINTS, INTS, ADDRESSES)
def test_static_words_equal_eth_abi_and_read_back(number: int, signed: int, address: str) -> None:
    packed = uint_word(number) + int_word(signed) + address_word(address)
    assert packed == encode(["uint256", "int256", "address"], [number, signed, address])
    assert (uint_at(packed, 0), int_at(packed, 1), address_at(packed, 2)) == (number, signed, checksum(address))
    assert words(packed) == [packed[:32], packed[32:64], packed[64:]]


@given(UINTS, st.lists(st.binary(max_size=100), max_size=5), st.lists(ADDRESSES, max_size=5), st.binary(max_size=70))
def test_dynamic_arguments_equal_eth_abi(number: int, items: list[bytes], path: list[str], data: bytes) -> None:
    packed = compose(bytes_array(items), uint_word(number), address_array(path), Dynamic(bytes_words(data)))
    assert packed == encode(["bytes[]", "uint256", "address[]", "bytes"], [items, number, path, data])


@given(st.text(max_size=80), UINTS)
def test_strings_read_back(text: str, number: int) -> None:
    assert text_at(encode(["uint256", "string"], [number, text]), 1) == text


@given(st.binary(max_size=300))
def test_no_bytes_make_a_reader_do_anything_but_answer_or_refuse(data: bytes) -> None:
    for read in (uint_at, int_at, text_at):
        try:
            read(data, 1)
        except InputError:
            continue


@given(ADDRESSES)
def test_checksums_equal_eth_utils(address: str) -> None:
    assert checksum(address) == to_checksum_address(address)
    assert parse_address(checksum(address)) == checksum(address)


def test_selectors_and_topics_are_the_published_ones() -> None:
    assert selector("transfer(address,uint256)") == function_signature_to_4byte_selector("transfer(address,uint256)")
    assert selector("transfer(address,uint256)").hex() == "a9059cbb"
    assert (
        topic("Transfer(address,address,uint256)")
        == "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
    )


# EIP-55 test cases.
@pytest.mark.parametrize(
    "address",
    [
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x27b1fdb04752bbc536007a920d24acb045561c26",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_eip_55_cases(address: str) -> None:
    assert parse_address(address) == to_checksum_address(address)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "0x",
        "0x12",
        "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1Beaed",
        "0x" + "g" * 40,
    ],
)
def test_mistyped_addresses_are_refused(wrong: str) -> None:
    with pytest.raises(InputError):
        parse_address(wrong)


def test_numbers_that_do_not_fit_are_refused() -> None:
    for pack, value in ((uint_word, -1), (uint_word, 2**256), (int_word, 2**255), (int_word, -(2**255) - 1)):
        with pytest.raises(InputError):
            pack(value)


def test_revert_data_is_put_in_words() -> None:
    text = selector("Error(string)") + encode(["string"], ["Too little received"])
    assert revert_reason(text) == "Too little received"
    assert revert_reason(selector("Panic(uint256)") + uint_word(0x11)) == "panic 0x11"
    assert revert_reason(bytes.fromhex("deadbeef")) == "custom error 0xdeadbeef"
    assert revert_reason(b"") == ""
    assert revert_reason(text[:30]).startswith("custom error")
    assert decode(["string"], text[4:])[0] == "Too little received"


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("nonce too low: next nonce 5, tx nonce 3", "NonceTooLow"),  # geth
        ("nonce too low", "NonceTooLow"),  # anvil, erigon
        ("replacement transaction underpriced", "FeeTooLow"),
        ("transaction underpriced: tip needed 1", "FeeTooLow"),
        ("max fee per gas less than block base fee", "FeeTooLow"),
        ("Insufficient funds for gas * price + value", "InsufficientFunds"),
        ("exceeds block gas limit", "BroadcastRejected"),
    ],
)
def test_refusals_of_transactions_are_sorted(message: str, kind: str) -> None:
    assert type(broadcast_rejection(-32000, message)).__name__ == kind
