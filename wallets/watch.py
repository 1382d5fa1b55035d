"""Watch-only derivation: deposit addresses from an account's extended public key, with no private key anywhere near.

Takes the key of one account (`m/purpose'/coin'/account'`, depth 3) and nothing above or below: keys above reveal other
accounts, keys below cannot name change addresses. Whoever holds this key sees every address of the account; together
with one private key below it, it reveals the account's own: keep hot child keys away from it.

Derivation is BIP-32 CKDpub straight on libsecp256k1. bip_utils does the same at less than half the speed, and is the
oracle in the tests.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from coincurve import PublicKey
from Crypto.Hash import RIPEMD160

from domain import Address, InputError
from wallets.encodings import base58check_decode, base58check_encode, segwit_address
from wallets.transactions import address_of

_HARDENED: Final = 1 << 31
_DEPTH_ACCOUNT: Final = 3
# SLIP-132: the letters say which addresses a wallet would show; the key is the same. True marks test networks.
_VERSIONS: Final = {
    bytes.fromhex("0488b21e"): False,  # xpub
    bytes.fromhex("049d7cb2"): False,  # ypub
    bytes.fromhex("04b24746"): False,  # zpub
    bytes.fromhex("043587cf"): True,  # tpub
    bytes.fromhex("044a5262"): True,  # upub
    bytes.fromhex("045f1cf6"): True,  # vpub
}
_PRIVATE_VERSIONS: Final = frozenset(
    map(bytes.fromhex, ("0488ade4", "049d7878", "04b2430c", "04358394", "044a4e28", "045f18bc"))
)
_TAP_TWEAK: Final = hashlib.sha256(b"TapTweak").digest() * 2


@dataclass(frozen=True, slots=True)
class _Node:
    public_key: PublicKey
    compressed: bytes
    chain_code: bytes

    def child(self, index: int) -> PublicKey:
        digest = hmac.digest(self.chain_code, self.compressed + index.to_bytes(4, "big"), "sha512")
        return self._add(digest[:32], index)

    def child_node(self, index: int) -> _Node:
        digest = hmac.digest(self.chain_code, self.compressed + index.to_bytes(4, "big"), "sha512")
        public = self._add(digest[:32], index)
        return _Node(public, public.format(), digest[32:])

    def _add(self, tweak: bytes, index: int) -> PublicKey:
        try:
            # tweak * G by the fixed-base multiplication, then one addition: a fifth faster than `public_key.add`.
            return PublicKey.combine_keys([self.public_key, PublicKey.from_valid_secret(tweak)])
        except ValueError as exc:
            # BIP-32: when IL >= n or the sum is no point, that index has no key, and the next one is taken.
            raise InputError(f"index {index} has no key under this account: take the next one") from exc


class WatchOnlyAccount:
    """Derives the addresses `…/change/index` of one account.

    Args:
        extended_key: `xpub…`, `ypub…`, `zpub…`, or `tpub…`, `upub…`, `vpub…` of a test network; of depth 3.

    Raises:
        InputError: Mistyped, private (its text is not repeated), or not an account's key.
    """

    __slots__ = ("_account", "_branches", "is_testnet")

    def __init__(self, extended_key: str) -> None:
        payload = base58check_decode(extended_key)
        if payload is None or len(payload) != 78:
            raise InputError("not an extended public key: the checksum or the length is wrong")
        version, depth, child = payload[:4], payload[4], int.from_bytes(payload[9:13], "big")
        if version in _PRIVATE_VERSIONS:
            raise InputError(
                "this is a private key, which does not belong here",
                hint="a watch-only account takes the account's xpub; treat that key as exposed",
            )
        if version not in _VERSIONS:
            raise InputError("not an extended public key of a kind that is known: x, y, z, t, u or vpub")
        if depth != _DEPTH_ACCOUNT or child < _HARDENED:
            raise InputError(f"an account's key (m/purpose'/coin'/account') is expected, this one is of depth {depth}")
        try:
            public = PublicKey(payload[45:])
        except ValueError as exc:
            raise InputError("the extended key holds no point of the curve") from exc
        self.is_testnet = _VERSIONS[version]
        self._account = _Node(public, payload[45:], payload[13:45])
        self._branches: dict[int, _Node] = {}

    def evm(self, start: int, count: int, *, change: int = 0) -> list[Address]:
        """Derive Ethereum addresses (BIP-44), checksummed by EIP-55."""
        return [address_of(public) for public in self._children(start, count, change)]

    def p2wpkh(self, start: int, count: int, *, change: int = 0) -> list[str]:
        """Derive Bitcoin addresses of native segregated witness (BIP-84, bech32)."""
        prefix = "tb" if self.is_testnet else "bc"
        return [segwit_address(prefix, 0, _hash160(public.format())) for public in self._children(start, count, change)]

    def p2sh_p2wpkh(self, start: int, count: int, *, change: int = 0) -> list[str]:
        """Derive Bitcoin addresses of segregated witness in a script hash (BIP-49), for payers who know no other."""
        version = b"\xc4" if self.is_testnet else b"\x05"
        return [
            # BIP-141: the script is version 0 and the 20 bytes of the key's hash.
            base58check_encode(version + _hash160(b"\x00\x14" + _hash160(public.format())))
            for public in self._children(start, count, change)
        ]

    def p2tr(self, start: int, count: int, *, change: int = 0) -> list[str]:
        """Derive Bitcoin Taproot addresses of a single key without scripts (BIP-86, bech32m)."""
        prefix = "tb" if self.is_testnet else "bc"
        return [segwit_address(prefix, 1, _taproot_output(public)) for public in self._children(start, count, change)]

    def _children(self, start: int, count: int, change: int) -> Iterator[PublicKey]:
        if change not in (0, 1):
            raise InputError("change is 0 (addresses to be given out) or 1 (change)")
        if start < 0 or count < 0 or start + count > _HARDENED:
            raise InputError(f"indexes lie between 0 and {_HARDENED - 1}: hardened ones cannot be watched")
        branch = self._branches.get(change)
        if branch is None:
            branch = self._branches[change] = self._account.child_node(change)
        return map(branch.child, range(start, start + count))

    def __repr__(self) -> str:
        # The chain code is half of a secret: it stays out of logs.
        return f"WatchOnlyAccount({self.evm(0, 1)[0]})"


def _hash160(data: bytes) -> bytes:
    return RIPEMD160.new(hashlib.sha256(data).digest()).digest()


def _taproot_output(public: PublicKey) -> bytes:
    # BIP-341: the internal key is taken with even y, and tweaked by the tagged hash of its x alone.
    x = public.format()[1:]
    tweak = hashlib.sha256(_TAP_TWEAK + x).digest()
    return PublicKey(b"\x02" + x).add(tweak).format()[1:]
