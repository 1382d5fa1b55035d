"""Published vectors of keys, derivation and signatures; each names its origin. Others stand beside what they test:

BIP-44 and more of BIP-32 in `test_hd`, BIP-84, BIP-86 and BIP-350 in `test_watch`, SLIP-39 in `test_backup`, EIP-55 in
`test_transactions`, EIP-191 and EIP-712 in `test_signer`, EIP-7702 in `test_authorizations`.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from bip_utils import (
    Bip32Slip10Ed25519,
    Bip39MnemonicGenerator,
    Bip39SeedGenerator,
    Bip44Changes,
    Bip49,
    Bip49Coins,
)
from capstan_native import SigningKey
from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from eth_utils.address import to_checksum_address
from hypothesis import given
from hypothesis import strategies as st

from domain import Address, ChainId, InputError
from runtime import Secret
from tests.reference import rfc6979
from tests.wallets.test_hd import address_in
from wallets import (
    HdWallet,
    KeySigner,
    Network,
    TransactionToSign,
    entropy_to_mnemonic,
    mnemonic_to_entropy,
    parse,
    recover,
    signing_digest,
)
from wallets.slip10 import derive_ed25519
from wallets.transactions import SECP256K1_ORDER, assemble
from wallets.watch import WatchOnlyAccount

VECTORS = Path(__file__).parent / "vectors"
FIRST_SEED = "000102030405060708090a0b0c0d0e0f"
SECOND_SEED = (
    "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2"
    "9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542"
)
HARD = "2147483647'"
LAST = "2147483646'"


@pytest.mark.parametrize("vector", json.loads((VECTORS / "bip39.json").read_text()), ids=str)
def test_bip_39(vector: list[str]) -> None:
    # https://github.com/trezor/python-mnemonic/blob/master/vectors.json (English; MIT), as mnemonic 0.21 ships them.
    entropy, phrase, seed, root = vector
    assert entropy_to_mnemonic(bytes.fromhex(entropy)).reveal() == phrase
    assert mnemonic_to_entropy(Secret(phrase)).hex() == entropy
    address = HdWallet(Secret(phrase), Secret("TREZOR")).signer_at("m").address
    assert address == HdWallet.from_seed(bytes.fromhex(seed)).signer_at("m").address == address_in(root)


@pytest.mark.parametrize(
    ("seed", "path", "private", "public"),
    [  # https://github.com/satoshilabs/slips/blob/master/slip-0010.md, secp256k1; BIP-32's vectors 1 and 2 as well
        (
            FIRST_SEED, "m",
            "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35", "",
        ),
        (
            FIRST_SEED, "m/0'",
            "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea",
            "035a784662a4a20a65bf6aab9ae98a6c068a81c52e4b032c0fb5400c706cfccc56",
        ),
        (
            FIRST_SEED, "m/0'/1",
            "3c6cb8d0f6a264c91ea8b5030fadaa8e538b020f0a387421a12de9319dc93368",
            "03501e454bf00751f24b1b489aa925215d66af2234e3891c3b21a52bedb3cd711c",
        ),
        (
            FIRST_SEED, "m/0'/1/2'",
            "cbce0d719ecf7431d88e6a89fa1483e02e35092af60c042b1df2ff59fa424dca",
            "0357bfe1e341d01c69fe5654309956cbea516822fba8a601743a012a7896ee8dc2",
        ),
        (
            FIRST_SEED, "m/0'/1/2'/2",
            "0f479245fb19a38a1954c5c7c0ebab2f9bdfd96a17563ef28a6a4b1a2a764ef4",
            "02e8445082a72f29b75ca48748a914df60622a609cacfce8ed0e35804560741d29",
        ),
        (
            FIRST_SEED, "m/0'/1/2'/2/1000000000",
            "471b76e389e528d6de6d816857e012c5455051cad6660850e58372a6c3e6e7c8",
            "022a471424da5e657499d1ff51cb43c47481a03b1e77f951fe64cec9f5a48f7011",
        ),
        (
            SECOND_SEED, "m",
            "4b03d6fc340455b363f51020ad3ecca4f0850280cf436c70c727923f6db46c3e",
            "03cbcaa9c98c877a26977d00825c956a238e8dddfbd322cce4f74b0b5bd6ace4a7",
        ),
        (
            SECOND_SEED, "m/0",
            "abe74a98f6c7eabee0428f53798f0ab8aa1bd37873999041703c742f15ac7e1e",
            "02fc9e5af0ac8d9b3cecfe2a888e2117ba3d089d8585886c9c826b6b22a98d12ea",
        ),
        (
            SECOND_SEED, f"m/0/{HARD}",
            "877c779ad9687164e9c2f4f0f4ff0340814392330693ce95a58fe18fd52e6e93",
            "03c01e7425647bdefa82b12d9bad5e3e6865bee0502694b94ca58b666abc0a5c3b",
        ),
        (
            SECOND_SEED, f"m/0/{HARD}/1",
            "704addf544a06e5ee4bea37098463c23613da32020d604506da8c0518e1da4b7",
            "03a7d1d856deb74c508e05031f9895dab54626251b3806e16b4bd12e781a7df5b9",
        ),
        (
            SECOND_SEED, f"m/0/{HARD}/1/{LAST}",
            "f1c7c871a54a804afe328b4c83a1c33b8e5ff48f5087273f04efa83b247d6a2d",
            "02d2b36900396c9282fa14628566582f206a5dd0bcc8d5e892611806cafb0301f0",
        ),
        (
            SECOND_SEED, f"m/0/{HARD}/1/{LAST}/2",
            "bb7d39bdb83ecf58f2fd82b6d918341cbef428661ef01ab97c28a4842125ac23",
            "024d902e1a2fc7a8755ab5b694c575fce742c48d9ff192e63df5193e4c7afe1f9c",
        ),
    ],
)  # fmt: skip
def test_slip_10_and_bip_32_on_secp256k1(seed: str, path: str, private: str, public: str) -> None:
    key = HdWallet.from_seed(bytes.fromhex(seed)).signer_at(path).reveal_private_key()
    assert key.hex() == private
    native = SigningKey(key).public_key
    assert not public or PublicKey(b"\x04" + native).format().hex() == public


@pytest.mark.parametrize(
    ("seed", "path", "chain_code", "private", "public"),
    [  # https://github.com/satoshilabs/slips/blob/master/slip-0010.md, ed25519, test vectors 1 and 2
        (
            FIRST_SEED, "m",
            "90046a93de5380a72b5e45010748567d5ea02bbf6522f979e05c0d8d8ca9fffb",
            "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7",
            "a4b2856bfec510abab89753fac1ac0e1112364e7d250545963f135f2a33188ed",
        ),
        (
            FIRST_SEED, "m/0'",
            "8b59aa11380b624e81507a27fedda59fea6d0b779a778918a2fd3590e16e9c69",
            "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3",
            "8c8a13df77a28f3445213a0f432fde644acaa215fc72dcdf300d5efaa85d350c",
        ),
        (
            FIRST_SEED, "m/0'/1'",
            "a320425f77d1b5c2505a6b1b27382b37368ee640e3557c315416801243552f14",
            "b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2",
            "1932a5270f335bed617d5b935c80aedb1a35bd9fc1e31acafd5372c30f5c1187",
        ),
        (
            FIRST_SEED, "m/0'/1'/2'",
            "2e69929e00b5ab250f49c3fb1c12f252de4fed2c1db88387094a0f8c4c9ccd6c",
            "92a5b23c0b8a99e37d07df3fb9966917f5d06e02ddbd909c7e184371463e9fc9",
            "ae98736566d30ed0e9d2f4486a64bc95740d89c7db33f52121f8ea8f76ff0fc1",
        ),
        (
            FIRST_SEED, "m/0'/1'/2'/2'",
            "8f6d87f93d750e0efccda017d662a1b31a266e4a6f5993b15f5c1f07f74dd5cc",
            "30d1dc7e5fc04c31219ab25a27ae00b50f6fd66622f6e9c913253d6511d1e662",
            "8abae2d66361c879b900d204ad2cc4984fa2aa344dd7ddc46007329ac76c429c",
        ),
        (
            FIRST_SEED, "m/0'/1'/2'/2'/1000000000'",
            "68789923a0cac2cd5a29172a475fe9e0fb14cd6adb5ad98a3fa70333e7afa230",
            "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793",
            "3c24da049451555d51a7014a37337aa4e12d41e485abccfa46b47dfb2af54b7a",
        ),
        (
            SECOND_SEED, "m",
            "ef70a74db9c3a5af931b5fe73ed8e1a53464133654fd55e7a66f8570b8e33c3b",
            "171cb88b1b3c1db25add599712e36245d75bc65a1a5c9e18d76f9f2b1eab4012",
            "8fe9693f8fa62a4305a140b9764c5ee01e455963744fe18204b4fb948249308a",
        ),
        (
            SECOND_SEED, f"m/0'/{HARD}",
            "138f0b2551bcafeca6ff2aa88ba8ed0ed8de070841f0c4ef0165df8181eaad7f",
            "ea4f5bfe8694d8bb74b7b59404632fd5968b774ed545e810de9c32a4fb4192f4",
            "5ba3b9ac6e90e83effcd25ac4e58a1365a9e35a3d3ae5eb07b9e4d90bcf7506d",
        ),
        (
            SECOND_SEED, f"m/0'/{HARD}/1'/{LAST}/2'",
            "5d70af781f3a37b829f0d060924d5e960bdc02e85423494afc0b1a41bbe196d4",
            "551d333177df541ad876a60ea71f00447931c0a9da16f227c11ea080d7391b8d",
            "47150c75db263559a70d5778bf36abbab30fb061ad69f69ece61a72b0cfa4fc0",
        ),
    ],
)  # fmt: skip
def test_slip_10_on_ed25519(seed: str, path: str, chain_code: str, private: str, public: str) -> None:
    node = derive_ed25519(bytes.fromhex(seed), path)
    assert (node.chain_code.hex(), node.key.hex()) == (chain_code, private)
    key = HdWallet.from_seed(bytes.fromhex(seed)).ed25519_key(path)
    assert key.public_key().public_bytes_raw().hex() == public
    Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(key.sign(b"hello"), b"hello")


@given(seed=st.binary(min_size=16, max_size=64), steps=st.lists(st.integers(0, 2**31 - 1), max_size=4))
def test_slip_10_on_ed25519_equals_bip_utils(seed: bytes, steps: list[int]) -> None:
    path = "/".join(["m", *(f"{step}'" for step in steps)])
    oracle = Bip32Slip10Ed25519.FromSeed(seed).DerivePath(path)
    assert derive_ed25519(seed, path).key == oracle.PrivateKey().Raw().ToBytes()


@pytest.mark.parametrize("path", ["", "m/", "m/0", "m/0'/1", "m/2147483648'", "m/-1'", "0'"])
def test_a_step_that_is_not_hardened_has_no_ed25519_key(path: str) -> None:
    with pytest.raises(InputError):
        derive_ed25519(bytes(16), path)
    with pytest.raises(InputError):
        derive_ed25519(bytes(15), "m")


def test_bip_49() -> None:
    # https://github.com/bitcoin/bips/blob/master/bip-0049.mediawiki, test vectors
    account = WatchOnlyAccount(
        "upub5EFU65HtV5TeiSHmZZm7FUffBGy8UKeqp7vw43jYbvZPpoVsgU93oac7Wk3u6moKegAEWtGNF8DehrnHtv21XXEMYRUocHqguyjknFHYfgY"
    )
    assert account.is_testnet
    assert account.p2sh_p2wpkh(0, 1) == ["2Mww8dCYPUpKHofjgcXcBCEGmniw9CoaiD2"]
    phrase = Secret("abandon " * 11 + "about")
    assert HdWallet(phrase).signer_at("m/49'/1'/0'/0/0").reveal_private_key().hex() == (
        "c9bdb49cfbaedca21c4b1f3a7803c34636b1d7dc55a717132443fc3f4c5867e8"
    )
    with pytest.raises(InputError, match="private"):
        WatchOnlyAccount(
            "uprv91G7gZkzehuMVxDJTYE6tLivdF8e4rvzSu1LFfKw3b2Qx1Aj8vpoFnHdfUZ3hmi9jsvPifmZ24RTN2KhwB8BfMLTVqaBReibyaFFcTP1s9n"
        )


@pytest.mark.parametrize("coin", [Bip49Coins.BITCOIN, Bip49Coins.BITCOIN_TESTNET])
def test_bip_49_equals_bip_utils(coin: Bip49Coins) -> None:
    seed = Bip39SeedGenerator(Bip39MnemonicGenerator().FromWordsNumber(12)).Generate()
    theirs = Bip49.FromSeed(seed, coin).Purpose().Coin().Account(3)
    account = WatchOnlyAccount(theirs.PublicKey().ToExtended())
    for change in (Bip44Changes.CHAIN_EXT, Bip44Changes.CHAIN_INT):
        expected = [theirs.Change(change).AddressIndex(index).PublicKey().ToAddress() for index in range(5)]
        assert account.p2sh_p2wpkh(0, 5, change=change.value) == expected


@pytest.mark.parametrize(
    ("key", "message", "nonce", "signature"),
    [  # https://bitcointalk.org/index.php?topic=285142.msg3150733: RFC 6979 itself has no vectors for secp256k1
        (
            "01", "Satoshi Nakamoto",
            0x8F8A276C19F4149656B280621E358CCE24F5F52542772691EE69063B74F15D15,
            "934b1ea10a4b3c1757e2b0c017d0b6143ce3c9a7e6a4a49860d7a6ab210ee3d8"
            "2442ce9d2b916064108014783e923ec36b49743e2ffa1c4496f01a512aafd9e5",
        ),
        (
            "01", "All those moments will be lost in time, like tears in rain. Time to die...",
            0x38AA22D72376B4DBC472E06C3BA403EE0A394DA63FC58D88686C611ABA98D6B3,
            "8600dbd41e348fe5c9465ab92d23e3db8b98b873beecd930736488696438cb6b"
            "547fe64427496db33bf66019dacbf0039c04199abb0122918601db38a72cfc21",
        ),
        (
            "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364140", "Satoshi Nakamoto",
            0x33A19B60E25FB6F4435AF53A3D42D493644827367E6453928554F43E49AA6F90,
            "fd567d121db66e382991534ada77a6bd3106f0a1098c231e47993447cd6af2d0"
            "6b39cd0eb1bc8603e159ef5c20a5c8ad685a45b06ce9bebed3f153d10d93bed5",
        ),
        (
            "f8b8af8ce3c7cca5e300d33939540c10d45ce001b8f252bfbc57ba0342904181", "Alan Turing",
            0x525A82B70E67874398067543FD84C83D30C175FDC45FDEEE082FE13B1D7CFDF1,
            "7063ae83e7f62bbb171798131b4a0564b956930092b33b07b395615d9ec7e15c"
            "58dfcc1e00a35e1572f366ffe34ba0fc47db1e7189759b9fb233c5b05ab388ea",
        ),
    ],
)  # fmt: skip
def test_rfc_6979_on_secp256k1(key: str, message: str, nonce: int, signature: str) -> None:
    secret, digest = bytes.fromhex(key.rjust(64, "0")), hashlib.sha256(message.encode()).digest()
    assert rfc6979.nonce(int(key, 16), digest, SECP256K1_ORDER) == nonce
    assert SigningKey(secret).sign_digest_unchecked(digest)[:64].hex() == signature


def test_the_reference_of_rfc_6979_gives_its_own_vectors() -> None:
    # https://www.rfc-editor.org/rfc/rfc6979, A.2.5: P-256 with SHA-256
    key = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for message, nonce in (
        ("sample", 0xA6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60),
        ("test", 0xD16B6AE827F17175E040871A1C7EC3500192C4C92677336EC2537ACAEE0008E0),
    ):
        assert rfc6979.nonce(key, hashlib.sha256(message.encode()).digest(), order) == nonce


@given(key=st.integers(1, SECP256K1_ORDER - 1), digest=st.binary(min_size=32, max_size=32))
def test_our_signers_nonces_are_those_of_the_reference(key: int, digest: bytes) -> None:
    nonce = rfc6979.nonce(key, digest, SECP256K1_ORDER)
    point = PublicKey.from_valid_secret(nonce.to_bytes(32, "big")).format()
    signature = SigningKey(key.to_bytes(32, "big")).sign_digest_unchecked(digest)
    assert int.from_bytes(signature[:32], "big") == int.from_bytes(point[1:], "big") % SECP256K1_ORDER


AAAA = Address(to_checksum_address("0x000000000000000000000000000000000000aaaa"))


@pytest.mark.parametrize(
    ("nonce", "value", "gas", "tip", "fee", "raw"),
    [  # https://github.com/ethereumjs/ethereumjs-monorepo, packages/tx/test/json/eip1559.json, chain 7822
        (
            819, 43203529, 35552, 75853, 121212,
            "02f870821e8e8203338301284d8301d97c828ae094000000000000000000000000000000000000aaaa8402933bc980c080"
            "a0d067f2167008c59219652f91cbf8788dbca5f771f6e91e2b7657e85b78b472e0"
            "a01d305af9fe81fdba43f0dfcd400ed24dcace0a7e30d4e85701dcaaf484cd079e",
        ),
        (
            353, 61901619, 32593, 38850, 136295,
            "02f86f821e8e8201618297c283021467827f5194000000000000000000000000000000000000aaaa8403b08b3380c001"
            "a004205678f13fc1d7b10feea6513dfa76e24418b6e08097d95c6f93a3b64e536d"
            "a01d45ad61bfece43862de2cce7d2575a8c1d08c26c87f3cb5f26d7b0be54a91b2",
        ),
        (
            119, 65456115, 62341, 24721, 107729,
            "02f86d821e8e778260918301a4d182f38594000000000000000000000000000000000000aaaa8403e6c7f380c001"
            "a0e38e239770801eb995498c821e55ac9c19ae09184bb27b34be105e02fe3b7615"
            "a067c64ca6bd6d9107e85fd581ab2e70a14b637eb36505bb40861ef9d6e800cab6",
        ),
    ],
)  # fmt: skip
async def test_eip_1559(nonce: int, value: int, gas: int, tip: int, fee: int, raw: str) -> None:
    key = KeySigner(bytes.fromhex("8f2a55949038a9610f50fb23b5883af3b4ecb3c3bb792cbcefbd1542c692be63"))
    tx = TransactionToSign(
        chain_id=ChainId(7822),
        nonce=nonce,
        to=AAAA,
        value_wei=value,
        gas_limit=gas,
        max_priority_fee_per_gas_wei=tip,
        max_fee_per_gas_wei=fee,
    )
    assert (await key.sign_transaction(tx, network=Network.LIVE)).raw.hex() == raw


@pytest.mark.parametrize(
    ("raw", "tx_hash", "slots"),
    [  # go-ethereum's and Nethermind's tests (YoloV3): github.com/NethermindEth/nethermind, TxDecoderTests
        (
            "01f8a486796f6c6f763380843b9aca008262d4948a8eafb1cf62bfbeb1741769dae1a9dd479961928080f838f794"
            "0000000000000000000000000000000000001337e1a0000000000000000000000000000000000000000000000000000000000000000080"
            "a0775101f92dcca278a56bfe4d613428624a1ebfc3cd9e0bcc1de80c41455b9021"
            "a06c9deac205afe7b124907d4ba54a9f46161498bd3990b90d175aac12c9a40ee9",
            "0x212a85be428a85d00fb5335b013bc8d3cf7511ffdd8938de768f4ca8bf1caf50",
            1,
        ),
    ],
)
def test_eip_2930(raw: str, tx_hash: str, slots: int) -> None:
    tx, signature = parse(bytes.fromhex(raw))
    assert (tx.type, tx.chain_id, len(tx.access_list[0][1])) == (1, int.from_bytes(b"yolov3", "big"), slots)
    again = assemble(tx, signature, recover(signing_digest(tx), signature))
    assert (again.raw.hex(), again.hash) == (raw, tx_hash)


@pytest.mark.parametrize(
    ("raw", "sender"),
    [  # Vitalik Buterin's list for EIP-155 (ethereum/tests), as in packages/tx/test/json of ethereumjs-monorepo
        (
            "f864808504a817c800825208943535353535353535353535353535353535353535808025"
            "a0044852b2a670ade5407e78fb2863c51de9fcb96542a07186fe3aeda6bb8a116d"
            "a0044852b2a670ade5407e78fb2863c51de9fcb96542a07186fe3aeda6bb8a116d",
            "f0f6f18bca1b28cd68e4357452947e021241e9ce",
        ),
        (
            "f867088504a817c8088302e2489435353535353535353535353535353535353535358202008025"
            "a064b1702d9298fee62dfeccc57d322a463ad55ca201256d01f62b45b2e1c21c12"
            "a064b1702d9298fee62dfeccc57d322a463ad55ca201256d01f62b45b2e1c21c10",
            "9bddad43f934d313c2b79ca28a432dd2b7281029",
        ),
        (
            "f866068504a817c80683023e3894353535353535353535353535353535353535353581d88025"
            "a06455bf8ea6e7463a1046a0b52804526e119b4bf5136279614e0b1e8e296a4e2f"
            "a06455bf8ea6e7463a1046a0b52804526e119b4bf5136279614e0b1e8e296a4e2d",
            "f1f571dc362a0e5b2696b8e775f8491d3e50de35",
        ),
    ],
)
def test_eip_155(raw: str, sender: str) -> None:
    tx, signature = parse(bytes.fromhex(raw))
    found = recover(signing_digest(tx), signature)
    assert (tx.chain_id, found.lower()) == (1, "0x" + sender)
    assert assemble(tx, signature, found).raw.hex() == raw
