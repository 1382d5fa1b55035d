"""HD wallets: BIP-39 phrases, BIP-32 derivation, BIP-44 paths of Ethereum (`m/44'/60'/account'/0/index`).

bip_utils is imported where it is used: it takes over a second, and most processes hold a `SignerClient` only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn, Self

from domain import Address, InputError
from runtime import Secret
from wallets.signer import KeySigner
from wallets.slip10 import derive_ed25519

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PATH = re.compile(r"m(/(0|[1-9][0-9]{0,9})'?)*")
_INDEX_LIMIT = 1 << 31


def generate_mnemonic(words: int = 24) -> Secret:
    """Make a new English BIP-39 phrase from the operating system's randomness.

    Raises:
        InputError: BIP-39 has no phrase of that length.
    """
    from bip_utils import Bip39Languages, Bip39MnemonicGenerator, Bip39WordsNum

    try:
        count = Bip39WordsNum(words)
    except ValueError as exc:
        raise InputError(f"a phrase has 12, 15, 18, 21 or 24 words, not {words}") from exc
    return Secret(Bip39MnemonicGenerator(Bip39Languages.ENGLISH).FromWordsNumber(count).ToStr())


def mnemonic_to_entropy(mnemonic: Secret) -> bytes:
    """Give the 16 to 32 bytes that an English BIP-39 phrase writes down.

    Raises:
        InputError: The phrase is not valid. Its text is not repeated.
    """
    from bip_utils import Bip39Languages, Bip39MnemonicDecoder

    phrase = Secret(" ".join(mnemonic.reveal().split()))
    if not _is_valid(phrase):
        raise _not_a_phrase()
    return bytes(Bip39MnemonicDecoder(Bip39Languages.ENGLISH).Decode(phrase.reveal()))


def entropy_to_mnemonic(entropy: bytes) -> Secret:
    """Write entropy as an English BIP-39 phrase.

    Raises:
        InputError: Not 16, 20, 24, 28 or 32 bytes.
    """
    from bip_utils import Bip39Languages, Bip39MnemonicGenerator

    if len(entropy) not in (16, 20, 24, 28, 32):
        raise InputError(f"a phrase writes 16, 20, 24, 28 or 32 bytes, not {len(entropy)}")
    return Secret(Bip39MnemonicGenerator(Bip39Languages.ENGLISH).FromEntropy(entropy).ToStr())


def ethereum_path(index: int, *, account: int = 0) -> str:
    """Name the path of one address."""
    return f"m/44'/60'/{account}'/0/{index}"


class HdWallet:
    """A tree of keys grown from one phrase.

    Args:
        mnemonic: An English BIP-39 phrase; blanks between words may be any white space.
        passphrase: The optional 25th word.
        is_test_key: Marks every key of the tree for devnets only.

    Raises:
        InputError: The phrase is empty, has an unknown word or a wrong checksum. Its text is not repeated.
    """

    __slots__ = ("__root", "__seed", "_is_test_key")

    def __init__(self, mnemonic: Secret, passphrase: Secret | None = None, *, is_test_key: bool = False) -> None:
        from bip_utils import Bip39Languages, Bip39SeedGenerator

        phrase = Secret(" ".join(mnemonic.reveal().split()))
        if not _is_valid(phrase):
            raise _not_a_phrase()
        extra = passphrase.reveal() if passphrase is not None else ""
        self._grow(Bip39SeedGenerator(phrase.reveal(), Bip39Languages.ENGLISH).Generate(extra), is_test_key)

    @classmethod
    def from_seed(cls, seed: bytes, *, is_test_key: bool = False) -> Self:
        """Grow the tree from a BIP-32 seed of 16 to 64 bytes, as a backup of another kind restores it.

        Raises:
            InputError: The seed has another length.
        """
        if not 16 <= len(seed) <= 64:
            raise InputError(f"a BIP-32 seed has 16 to 64 bytes, found {len(seed)}")
        wallet = cls.__new__(cls)
        wallet._grow(seed, is_test_key)
        return wallet

    def _grow(self, seed: bytes, is_test_key: bool) -> None:
        from bip_utils import Bip32Slip10Secp256k1

        self.__root = Bip32Slip10Secp256k1.FromSeed(seed)
        self.__seed = seed
        self._is_test_key = is_test_key

    def signer(self, index: int = 0, *, account: int = 0) -> KeySigner:
        """Derive the signer of one BIP-44 address."""
        return self.signer_at(ethereum_path(index, account=account))

    def signer_at(self, path: str) -> KeySigner:
        """Derive the signer at any BIP-32 path (`m/44'/60'/0'/0/0`).

        Raises:
            InputError: Not a path.
        """
        numbers = [int(part.removesuffix("'")) for part in path.split("/")[1:]] if _PATH.fullmatch(path) else None
        if numbers is None or any(number >= _INDEX_LIMIT for number in numbers):
            raise InputError(f"not a derivation path: {path!r}", hint="write it like m/44'/60'/0'/0/0")
        child = self.__root.DerivePath(path)
        return KeySigner(child.PrivateKey().Raw().ToBytes(), is_test_key=self._is_test_key)

    def ed25519_key(self, path: str) -> Ed25519PrivateKey:
        """Derive the Ed25519 key at a path of hardened steps (SLIP-10), such as Solana's `m/44'/501'/0'/0'`.

        Raises:
            InputError: A step is not hardened.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(derive_ed25519(self.__seed, path).key)

    def account_key(self, account: int = 0) -> str:
        """Give an Ethereum account's extended public key (`m/44'/60'/account'`), for `WatchOnlyAccount`."""
        return str(self.__root.DerivePath(f"m/44'/60'/{account}'").PublicKey().ToExtended())

    def addresses(self, count: int, *, start: int = 0, account: int = 0) -> list[Address]:
        """Derive a run of addresses."""
        return [self.signer(index, account=account).address for index in range(start, start + count)]

    def __repr__(self) -> str:
        return "HdWallet('***')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a wallet is not serialised")


def _not_a_phrase() -> InputError:
    return InputError(
        "not a valid BIP-39 mnemonic", hint="12 to 24 English words with a matching checksum are expected"
    )


def _is_valid(mnemonic: Secret) -> bool:
    # Its own function, so that the error raised for a wrong phrase carries no frame that held the words.
    from bip_utils import Bip39Languages, Bip39MnemonicValidator

    try:
        Bip39MnemonicValidator(Bip39Languages.ENGLISH).Validate(mnemonic.reveal())
    except Exception:  # ValueError for words and counts, MnemonicChecksumError otherwise
        return False
    return True
