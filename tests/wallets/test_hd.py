"""Published vectors of BIP-39 (trezor/python-mnemonic), BIP-32 and BIP-44, and phrases that are none."""

from __future__ import annotations

import hashlib

import pytest
from eth_account import Account

from domain import InputError
from runtime import Secret
from wallets import DEVNET_MNEMONIC, HdWallet, ethereum_path, generate_mnemonic

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def address_in(xprv: str) -> str:
    """The account whose private key an extended key (BIP-32 serialisation, Base58Check) holds."""
    number = 0
    for character in xprv:
        number = number * 58 + BASE58.index(character)
    data = number.to_bytes(82, "big")
    assert hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]
    return str(Account.from_key(data[46:78]).address)


@pytest.mark.parametrize(
    ("phrase", "xprv"),
    [  # https://github.com/trezor/python-mnemonic/blob/master/vectors.json, passphrase "TREZOR"
        (
            "abandon " * 11 + "about",
            "xprv9s21ZrQH143K3h3fDYiay8mocZ3afhfULfb5GX8kCBdno77K4HiA15Tg23wpbeF1pLfs1c5SPmYHrEpTuuRhxMwvKDwqdKiGJS9XFKzUsAF",
        ),
        (
            "legal winner thank year wave sausage worth useful legal winner thank yellow",
            "xprv9s21ZrQH143K2gA81bYFHqU68xz1cX2APaSq5tt6MFSLeXnCKV1RVUJt9FWNTbrrryem4ZckN8k4Ls1H6nwdvDTvnV7zEXs2HgPezuVccsq",
        ),
        (
            "zoo " * 11 + "wrong",
            "xprv9s21ZrQH143K2V4oox4M8Zmhi2Fjx5XK4Lf7GKRvPSgydU3mjZuKGCTg7UPiBUD7ydVPvSLtg9hjp7MQTYsW67rZHAXeccqYqrsx8LcXnyd",
        ),
    ],
)
def test_phrases_grow_the_roots_of_trezors_vectors(phrase: str, xprv: str) -> None:
    assert HdWallet(Secret(phrase), Secret("TREZOR")).signer_at("m").address == address_in(xprv)


@pytest.mark.parametrize(
    ("seed", "path", "xprv"),
    [  # https://github.com/bitcoin/bips/blob/master/bip-0032.mediawiki, test vectors 1 and 3
        (
            "000102030405060708090a0b0c0d0e0f",
            "m",
            "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
        ),
        (
            "000102030405060708090a0b0c0d0e0f",
            "m/0'",
            "xprv9uHRZZhk6KAJC1avXpDAp4MDc3sQKNxDiPvvkX8Br5ngLNv1TxvUxt4cV1rGL5hj6KCesnDYUhd7oWgT11eZG7XnxHrnYeSvkzY7d2bhkJ7",
        ),
        (
            "000102030405060708090a0b0c0d0e0f",
            "m/0'/1",
            "xprv9wTYmMFdV23N2TdNG573QoEsfRrWKQgWeibmLntzniatZvR9BmLnvSxqu53Kw1UmYPxLgboyZQaXwTCg8MSY3H2EU4pWcQDnRnrVA1xe8fs",
        ),
        (
            "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4acba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be",
            "m/0'",
            "xprv9uPDJpEQgRQfDcW7BkF7eTya6RPxXeJCqCJGHuCJ4GiRVLzkTXBAJMu2qaMWPrS7AANYqdq6vcBcBUdJCVVFceUvJFjaPdGZ2y9WACViL4L",
        ),
    ],
)
def test_paths_derive_the_keys_of_bip_32s_vectors(seed: str, path: str, xprv: str) -> None:
    assert HdWallet.from_seed(bytes.fromhex(seed)).signer_at(path).address == address_in(xprv)


def test_bip_44_accounts_equal_anvils_and_eth_accounts() -> None:
    Account.enable_unaudited_hdwallet_features()
    wallet = HdWallet(Secret(DEVNET_MNEMONIC))
    assert wallet.addresses(2) == [
        "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266",  # printed by anvil at start
        "0x70997970C51812dc3A010C7d01b50e0d17dc79C8",
    ]
    for index in (0, 7, 2**31 - 1):
        oracle = Account.from_mnemonic(DEVNET_MNEMONIC, account_path=ethereum_path(index, account=3))
        assert wallet.signer(index, account=3).address == oracle.address


@pytest.mark.parametrize("words", [12, 15, 18, 21, 24])
def test_new_phrases_are_valid_and_never_the_same(words: int) -> None:
    first, second = generate_mnemonic(words), generate_mnemonic(words)
    assert len(first.reveal().split()) == words
    assert HdWallet(first).signer().address != HdWallet(second).signer().address


@pytest.mark.parametrize(
    "phrase", ["", "   ", "abandon", "abandon " * 12, "test " * 11 + "jung", "zoo " * 13, "ąbandon " * 11 + "about"]
)
def test_phrases_that_are_none_are_input_errors_without_their_words(phrase: str) -> None:
    with pytest.raises(InputError) as error:
        HdWallet(Secret(phrase))
    assert not set(phrase.split()) & set(str(error.value).split())
    assert error.value.__context__ is None


@pytest.mark.parametrize("path", ["", "44'/60'", "m/", "m/x", "m/-1", "m/2147483648", "m/1''", "m//1", "m/01"])
def test_paths_that_are_none_are_input_errors(path: str) -> None:
    with pytest.raises(InputError):
        HdWallet(Secret(DEVNET_MNEMONIC)).signer_at(path)
    with pytest.raises(InputError):
        generate_mnemonic(13)
    with pytest.raises(InputError):
        HdWallet.from_seed(b"short")
