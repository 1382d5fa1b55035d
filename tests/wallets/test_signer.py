"""Messages and typed data against published vectors; test keys stay on devnets; keys show themselves nowhere."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable

import pytest
from capstan_native import SigningKey
from coincurve import PrivateKey
from eth_account import Account
from eth_account.messages import encode_defunct
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from chain.devnet import TEST_ADDRESSES
from domain import Address, ChainId, InputError, Refused
from runtime import Secret
from wallets import (
    DEVNET_MNEMONIC,
    HdWallet,
    KeySigner,
    MessageToSign,
    Network,
    Signature,
    TransactionToSign,
    TypedDataToSign,
    devnet_keys,
    recover,
)

MAIL = {  # https://eips.ethereum.org/EIPS/eip-712, Example.js
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}
TX = TransactionToSign(chain_id=ChainId(1), nonce=0, to=TEST_ADDRESSES[0], gas_limit=21_000)


async def test_the_mail_of_eip_712_is_signed_as_published() -> None:
    signer = KeySigner(keccak(text="cow"))
    data = TypedDataToSign(MAIL)
    assert signer.address == "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"
    assert data.digest().hex() == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"
    signature = await signer.sign_typed_data(data, network=Network.LIVE)
    assert signature.to_bytes().hex() == (
        "4355c47d63924e8a72e509b65029052eb6c299d53a04e167c5775fd466751c9d"
        "07299936d304c153f6443dfa05f40ff007d72911b6f72307f996231605b915621c"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"primaryType": "Nothing"},
        {"types": {}},
        {"types": {"EIP712Domain": [], "Mail": [{"name": "from"}]}, "domain": {}},
        {"message": MAIL["message"] | {"contents": None}},  # type: ignore[operator]
        {"message": MAIL["message"] | {"hidden": 1}},  # type: ignore[operator]
        {"message": {}},
        {"domain": {"chainId": "not a number"}},
        {"types": {"Mail": [{"name": "from", "type": "Nowhere"}]}},
    ],
)
def test_documents_that_do_not_fit_their_types_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError):
        TypedDataToSign(MAIL | change).digest()
    with pytest.raises(InputError):
        TypedDataToSign({"message": {}})


async def test_the_personal_message_of_eth_accounts_manual_is_signed_as_published() -> None:
    # https://eth-account.readthedocs.io, "Sign a Message"; text "I♥SF"
    signer = KeySigner(bytes.fromhex("b25c7db31feed9122727bf0939dc769a96564b2de4c4726d035b36ecf1e5b364"))
    signature = await signer.sign_message(MessageToSign("I♥SF".encode()), network=Network.LIVE)
    assert signature.to_bytes().hex() == (
        "e6ca9bba58c88611fad66a6ce8f996908195593807c4b38bd528d2cff09d4eb3"
        "3e5bfbbf4d3e39b1a2fd816a7680c19ebebaf3a141b239934ad43cb33fcec8ce1c"
    )


@given(content=st.binary(max_size=300), key=st.integers(1, 2**255).map(lambda n: n.to_bytes(32, "big")))
async def test_personal_messages_equal_eth_accounts(content: bytes, key: bytes) -> None:
    message = MessageToSign(content)
    signature = await KeySigner(key).sign_message(message, network=Network.LIVE)
    assert signature.to_bytes() == bytes(Account.sign_message(encode_defunct(content), key).signature)
    assert Signature.from_bytes(signature.to_bytes()) == signature
    assert recover(message.digest(), signature) == Account.from_key(key).address


async def test_a_high_s_signature_is_not_recovered() -> None:
    message = MessageToSign(b"once")
    low = await KeySigner(b"\x01" * 32).sign_message(message, network=Network.LIVE)
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    with pytest.raises(InputError):
        recover(message.digest(), Signature(low.r, order - low.s, 1 - low.y_parity))


def test_the_published_test_accounts_are_derived_here_and_agree_with_the_devnets() -> None:
    assert set(TEST_ADDRESSES) <= devnet_keys.published_addresses()


async def test_a_published_key_signs_on_a_devnet_and_nowhere_else() -> None:
    signer = HdWallet(Secret(DEVNET_MNEMONIC)).signer(0)
    await signer.sign_transaction(TX, network=Network.DEVNET)
    for network in (Network.LIVE, Network.TESTNET):
        with pytest.raises(Refused) as refused:
            await signer.sign_transaction(TX, network=network)
        assert refused.value.rule == "test-key"
        with pytest.raises(Refused):
            await signer.sign_message(MessageToSign(b""), network=network)
        with pytest.raises(Refused):
            await signer.sign_typed_data(TypedDataToSign(MAIL), network=network)


async def test_a_real_key_never_signs_for_a_devnet() -> None:
    with pytest.raises(Refused) as refused:
        await KeySigner(b"\x07" * 32).sign_transaction(TX, network=Network.DEVNET)
    assert refused.value.rule == "test-key"
    marked = KeySigner(b"\x07" * 32, is_test_key=True)
    assert (await marked.sign_transaction(TX, network=Network.DEVNET)).sender == marked.address


@pytest.mark.parametrize("key", [b"", b"\x00" * 32, b"\xff" * 32, b"\x01" * 31, b"\x01" * 33])
def test_impossible_private_keys_are_refused(key: bytes) -> None:
    with pytest.raises(InputError):
        KeySigner(key)


def test_keys_show_themselves_in_no_text_and_no_pickle() -> None:
    secret = bytes(range(1, 33))
    phrase = Secret(DEVNET_MNEMONIC)
    for thing in (KeySigner(secret), HdWallet(phrase), phrase):
        shown = f"{thing!r} {thing!s} {[thing]} {vars(type(thing))}"
        assert secret.hex() not in shown
        assert str(secret) not in shown
        assert "junk" not in shown.replace(repr(DEVNET_MNEMONIC), "")
        with pytest.raises(TypeError):
            pickle.dumps(thing)
    assert KeySigner(secret).address == Address(Account.from_key(secret).address)


def failing_with_secret(call: Callable[[], object]) -> str:
    try:
        call()
    except InputError as exc:
        return "".join(traceback.TracebackException.from_exception(exc, capture_locals=True).format())
    raise AssertionError("nothing was raised")


def test_a_traceback_with_locals_of_a_wrong_mnemonic_holds_no_word_of_it() -> None:
    phrase = Secret("ozone drill grab fiber curtain grace pudding thank cruise elder eight zebra")
    trace = failing_with_secret(lambda: HdWallet(phrase))
    assert "HdWallet" in trace
    assert "***" in trace
    assert "pudding" not in trace


@given(digest=st.binary(min_size=32, max_size=32), key=st.integers(1, 2**255).map(lambda n: n.to_bytes(32, "big")))
def test_native_signatures_equal_coincurves(digest: bytes, key: bytes) -> None:
    native, oracle = SigningKey(key), PrivateKey(key)
    assert native.public_key == oracle.public_key.format(compressed=False)[1:]
    assert native.sign_digest_unchecked(digest) == oracle.sign_recoverable(digest, hasher=None)
    assert native.reveal() == key


def test_the_native_key_signs_nothing_but_digests_and_the_types_it_knows() -> None:
    native = SigningKey(b"\x07" * 32)
    for length in (0, 20, 31, 33, 64):
        with pytest.raises(ValueError, match="32 bytes"):
            native.sign_digest_unchecked(bytes(length))
    for kind in (3, 5, 127):
        with pytest.raises(ValueError, match="type"):
            native.sign_transaction(kind, 1, b"")
