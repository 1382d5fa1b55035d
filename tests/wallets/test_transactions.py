"""Types 0, 1 and 2 against the EIPs' own examples and against eth-account as an independent implementation."""

from __future__ import annotations

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from domain import Address, ChainId, InputError, Refused
from wallets import KeySigner, Network, TransactionToSign, parse, recover, rlp, signing_digest

TO = Address("0x3535353535353535353535353535353535353535")
UINT64 = st.integers(0, 2**64 - 2)
UINT256 = st.integers(0, 2**256 - 1)


def transaction(**changes: object) -> TransactionToSign:
    fields: dict[str, object] = {"chain_id": ChainId(1), "nonce": 0, "to": TO, "gas_limit": 21_000}
    return TransactionToSign(**(fields | changes))  # type: ignore[arg-type]


@st.composite
def transactions(draw: st.DrawFn) -> TransactionToSign:
    kind = draw(st.sampled_from([0, 1, 2]))
    fees = sorted([draw(UINT256), draw(UINT256)])
    slots = st.binary(min_size=32, max_size=32)
    access = draw(st.lists(st.tuples(st.just(TO), st.lists(slots, max_size=3).map(tuple)), max_size=3)) if kind else []
    return transaction(
        type=kind,
        chain_id=ChainId(draw(st.integers(1, 2**53))),
        nonce=draw(UINT64),
        value_wei=draw(UINT256),
        data=draw(st.binary(max_size=300)),
        gas_limit=draw(UINT64),
        gas_price_wei=fees[1] if kind < 2 else 0,
        max_priority_fee_per_gas_wei=fees[0] if kind == 2 else 0,
        max_fee_per_gas_wei=fees[1] if kind == 2 else 0,
        access_list=tuple(access),
    )


def as_eth_account(tx: TransactionToSign) -> dict[str, object]:
    fields: dict[str, object] = {
        "chainId": tx.chain_id,
        "nonce": tx.nonce,
        "to": tx.to,
        "value": tx.value_wei,
        "data": tx.data,
        "gas": tx.gas_limit,
    }
    if tx.type == 2:
        fields |= {
            "maxFeePerGas": tx.max_fee_per_gas_wei,
            "maxPriorityFeePerGas": tx.max_priority_fee_per_gas_wei,
        }
    else:
        fields["gasPrice"] = tx.gas_price_wei
    if tx.type:
        fields["type"] = tx.type
        fields["accessList"] = [
            {"address": address, "storageKeys": ["0x" + slot.hex() for slot in slots]}
            for address, slots in tx.access_list
        ]
    return fields


async def test_the_example_of_eip_155_is_signed_byte_for_byte() -> None:
    # https://eips.ethereum.org/EIPS/eip-155, section "Example"
    signer = KeySigner(bytes.fromhex("46" * 32))
    tx = transaction(type=0, nonce=9, gas_price_wei=20 * 10**9, value_wei=10**18)
    assert signing_digest(tx).hex() == "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"
    signed = await signer.sign_transaction(tx, network=Network.LIVE)
    assert signed.raw.hex() == (
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025a028ef61340bd939bc2195fe"
        "537567866003e1a15d3c71ff63e1590620aa636276a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    )


@given(tx=transactions(), key=st.integers(1, 2**255).map(lambda n: n.to_bytes(32, "big")))
async def test_raw_bytes_equal_eth_accounts_and_parse_back(tx: TransactionToSign, key: bytes) -> None:
    signed = await KeySigner(key).sign_transaction(tx, network=Network.LIVE)
    oracle = Account.sign_transaction(as_eth_account(tx), key)
    assert signed.raw == bytes(oracle.raw_transaction)
    assert signed.hash == "0x" + bytes(oracle.hash).hex()
    again, signature = parse(signed.raw)
    assert again == tx
    assert recover(signing_digest(again), signature) == signed.sender == Account.from_key(key).address


@given(tx=transactions())
def test_the_wire_form_reads_back_as_the_same_transaction(tx: TransactionToSign) -> None:
    assert TransactionToSign.from_wire(tx.to_wire()) == tx


@given(tx=transactions(), cut=st.integers(1, 40))
async def test_truncated_bytes_are_an_input_error(tx: TransactionToSign, cut: int) -> None:
    raw = (await KeySigner(b"\x01" * 32).sign_transaction(tx, network=Network.LIVE)).raw
    with pytest.raises(InputError):
        parse(raw[:-cut])


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_never_crash_the_parser(data: bytes) -> None:
    try:
        tx, _ = parse(data)
    except (InputError, Refused):
        return
    assert tx.type in (0, 1, 2, 4)


@given(data=st.binary(max_size=100))
def test_rlp_decodes_only_what_it_would_encode(data: bytes) -> None:
    try:
        item = rlp.decode(data)
    except InputError:
        return
    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    "encoded", ["8100", "b800", "b90000", "00" * 2, "c20000" + "00", "bf" + "ff" * 8, "c1" * 20 + "c0"]
)
def test_non_canonical_rlp_is_refused(encoded: str) -> None:
    with pytest.raises(InputError):
        rlp.decode(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    "changes",
    [
        {"type": 3},
        {"type": 4},
        {"type": 5},
        {"nonce": -1},
        {"nonce": 2**64},
        {"nonce": True},
        {"chain_id": 0},
        {"value_wei": 2**256},
        {"gas_limit": 1.5},
        {"to": TO.lower()[:-1]},
        {"gas_price_wei": 1},
        {"max_priority_fee_per_gas_wei": 2, "max_fee_per_gas_wei": 1},
        {"type": 0, "max_fee_per_gas_wei": 1},
        {"type": 0, "access_list": ((TO, ()),)},
        {"access_list": ((TO, (b"short",)),)},
        {"data": b"x" * 100_000},
    ],
)
def test_impossible_transactions_cannot_be_built(changes: dict[str, object]) -> None:
    with pytest.raises(InputError):
        transaction(**changes)


@pytest.mark.parametrize(
    "address",
    [  # https://eips.ethereum.org/EIPS/eip-55, test cases
        "0x52908400098527886E0F7030069857D2E4169EE7",
        "0xde709f2102306220921060314715629080e2fb77",
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
        "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
    ],
)
def test_recipients_must_carry_their_eip_55_checksum(address: str) -> None:
    assert transaction(to=Address(address)).to == address
    swapped = address.swapcase().replace("0X", "0x")
    with pytest.raises(InputError):
        transaction(to=Address(swapped))


def test_unknown_or_missing_wire_fields_are_refused() -> None:
    wire = transaction().to_wire()
    for changed in (wire | {"extra": 1}, {k: v for k, v in wire.items() if k != "to"}, wire | {"nonce": 0}):
        with pytest.raises(InputError):
            TransactionToSign.from_wire(changed)
