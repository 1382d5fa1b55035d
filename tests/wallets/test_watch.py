"""Watch-only derivation: the published vectors of BIP-44/84/86 and 350, and bip_utils as the oracle at random."""

from __future__ import annotations

import random

import pytest
from bip_utils import (
    Bip39SeedGenerator,
    Bip44,
    Bip44Changes,
    Bip44Coins,
    Bip84,
    Bip84Coins,
    Bip86,
    Bip86Coins,
)

from domain import InputError
from wallets.encodings import segwit_address
from wallets.watch import WatchOnlyAccount

# The phrase of BIP-84's and BIP-86's own test vectors.
PHRASE = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about"
ZPUB = (  # BIP-84, account 0
    "zpub6rFR7y4Q2AijBEqTUquhVz398htDFrtymD9xYYfG1m4wAcvPhXNfE3EfH1r1ADqtfSdVCToUG868RvUUkgDKf31mGDtKsAYz2oz2AGutZYs"
)
XPUB_TAPROOT = (  # BIP-86, account 0
    "xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ"
)


def test_bip84_vectors() -> None:
    account = WatchOnlyAccount(ZPUB)
    assert account.p2wpkh(0, 2) == [
        "bc1qcr8te4kr609gcawutmrza0j4xv80jy8z306fyu",
        "bc1qnjg0jd8228aq7egyzacy8cys3knf9xvrerkf9g",
    ]
    assert account.p2wpkh(0, 1, change=1) == ["bc1q8c6fshw2dlwun7ekn9qwf37cu2rn755upcp6el"]


def test_bip86_vectors() -> None:
    account = WatchOnlyAccount(XPUB_TAPROOT)
    assert account.p2tr(0, 2) == [
        "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr",
        "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh",
    ]
    assert account.p2tr(0, 1, change=1) == ["bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7"]


def test_bip350_vectors_of_witness_programs() -> None:
    program = bytes.fromhex("751e76e8199196d454941c45d1b3a323f1433bd6")
    assert segwit_address("bc", 0, program) == "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4".lower()
    assert segwit_address("bc", 16, bytes.fromhex("751e")) == "BC1SW50QGDZ25J".lower()
    key = bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
    assert segwit_address("bc", 1, key) == "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0"


@pytest.mark.parametrize("seed_number", range(3))
def test_every_kind_agrees_with_bip_utils(seed_number: int) -> None:
    chance = random.Random(seed_number)
    seed = chance.randbytes(64)
    for tree, coin, kind in (
        (Bip44, Bip44Coins.ETHEREUM, "evm"),
        (Bip84, Bip84Coins.BITCOIN, "p2wpkh"),
        (Bip84, Bip84Coins.BITCOIN_TESTNET, "p2wpkh"),
        (Bip86, Bip86Coins.BITCOIN, "p2tr"),
        (Bip86, Bip86Coins.BITCOIN_TESTNET, "p2tr"),
    ):
        theirs = tree.FromSeed(seed, coin).Purpose().Coin().Account(chance.randrange(50))
        derive = getattr(WatchOnlyAccount(theirs.PublicKey().ToExtended()), kind)
        for change in Bip44Changes:
            branch = theirs.Change(change)
            for index in [0, 2**31 - 1, *(chance.randrange(2**31) for _ in range(20))]:
                wanted = branch.AddressIndex(index).PublicKey().ToAddress()
                assert derive(index, 1, change=int(change)) == [wanted]


def test_a_run_is_the_same_as_its_addresses_one_by_one() -> None:
    account = WatchOnlyAccount(XPUB_TAPROOT)
    assert account.evm(5, 20) == [account.evm(index, 1)[0] for index in range(5, 25)]
    assert account.evm(0, 0) == []


def test_keys_of_another_kind_are_refused_and_not_repeated() -> None:
    tree = Bip84.FromSeed(Bip39SeedGenerator(PHRASE).Generate(), Bip84Coins.BITCOIN)
    account = tree.Purpose().Coin().Account(0)
    private = account.PrivateKey().ToExtended()
    typo = ZPUB[:50] + ("a" if ZPUB[50] != "a" else "b") + ZPUB[51:]
    for text, word in (
        (private, "private key"),
        (tree.Purpose().Coin().PublicKey().ToExtended(), "depth 2"),
        (account.Change(Bip44Changes.CHAIN_EXT).PublicKey().ToExtended(), "depth 4"),
        (typo, "checksum"),
        ("", "checksum"),
        ("xpub0OIl", "checksum"),
        ("1" * 500, "checksum"),
    ):
        with pytest.raises(InputError, match=word) as error:
            WatchOnlyAccount(text)
        assert not text or text not in str(error.value)


@pytest.mark.parametrize(("start", "count", "change"), [(-1, 1, 0), (2**31, 1, 0), (2**31 - 1, 2, 0), (0, 1, 2)])
def test_indexes_out_of_range_are_refused(start: int, count: int, change: int) -> None:
    with pytest.raises(InputError):
        WatchOnlyAccount(ZPUB).evm(start, count, change=change)


def test_the_key_itself_is_not_shown() -> None:
    assert ZPUB not in repr(WatchOnlyAccount(ZPUB))
