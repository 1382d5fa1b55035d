"""The one interface of everything that signs, and the backend that holds its key in this process's memory."""

from __future__ import annotations

from typing import NoReturn, Protocol

from capstan_native import SigningKey
from coincurve import PublicKey

from domain import Address, InputError, InvariantError, Refused
from wallets import devnet_keys
from wallets.evidence import Evidence
from wallets.payloads import (
    AuthorizationToSign,
    MessageToSign,
    Network,
    Signature,
    SignedAuthorization,
    SignedTransaction,
    TransactionToSign,
    TypedDataToSign,
)
from wallets.transactions import address_of, body


class Signer(Protocol):
    """One key that signs what it can read. No method takes a hash.

    Every backend returns low-s signatures that it has itself recovered to its own address, and refuses test keys
    outside a devnet and other keys on one (`Refused`, rule `test-key`). `evidence` is for the guards of the processes
    behind the signer (`wallets.evidence`); a backend that has none leaves it unread.
    """

    @property
    def address(self) -> Address: ...

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction: ...

    async def sign_message(
        self, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature: ...

    async def sign_typed_data(
        self, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature: ...

    async def sign_authorization(
        self, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedAuthorization: ...


class LocalSigner(Signer, Protocol):
    """A signer whose key lives in this process: what a signer process serves."""

    @property
    def is_test_key(self) -> bool:
        """Whether the key signs on devnets, and nowhere else."""
        ...


def check_network(address: Address, *, is_test_key: bool, network: Network) -> None:
    """Keep test keys on devnets and other keys off them.

    Raises:
        Refused: Rule `test-key`.
    """
    if is_test_key and network is not Network.DEVNET:
        raise Refused(f"{address} is a test key and signs on devnets only", rule="test-key")
    if not is_test_key and network is Network.DEVNET:
        # A devnet may run under mainnet's chain id, where its signatures would be valid for real.
        raise Refused(f"{address} is not a test key and does not sign on a devnet", rule="test-key")


class KeySigner:
    """Signs with a private key in memory: what an HD path or an unlocked keystore becomes.

    Deterministic (RFC 6979): the same payload always gives the same bytes.
    """

    __slots__ = ("__key", "_address", "_is_test_key")

    def __init__(self, private_key: bytes, *, is_test_key: bool = False) -> None:
        try:
            self.__key = SigningKey(private_key)
        except ValueError as exc:
            raise InputError("a private key is 32 bytes and lies within the curve's order") from exc
        self._address = address_of(PublicKey(b"\x04" + self.__key.public_key))
        # A published key stays a test key whatever the caller says.
        self._is_test_key = is_test_key or devnet_keys.is_published(self._address)

    @property
    def address(self) -> Address:
        return self._address

    @property
    def is_test_key(self) -> bool:
        """Whether the key signs on devnets, and nowhere else."""
        return self._is_test_key

    def reveal_private_key(self) -> bytes:
        """Give the key itself, for the one purpose of encrypting it into a keystore. Do not keep it."""
        return self.__key.reveal()

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        """Sign a transaction; returns the raw bytes."""
        self._check_network(network)
        try:
            raw, tx_hash = self.__key.sign_transaction(tx.type, tx.chain_id, body(tx))
        except ArithmeticError as exc:
            raise self._fault() from exc
        return SignedTransaction(raw, "0x" + tx_hash.hex(), self._address)

    async def sign_message(
        self, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Sign a personal message (EIP-191)."""
        self._check_network(network)
        return self._sign_digest(message.digest())

    async def sign_typed_data(
        self, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Sign a document (EIP-712)."""
        self._check_network(network)
        return self._sign_digest(data.digest())

    async def sign_authorization(
        self, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedAuthorization:
        """Sign an authorization (EIP-7702)."""
        self._check_network(network)
        return SignedAuthorization(authorization, self._sign_digest(authorization.digest()))

    def _sign_digest(self, digest: bytes) -> Signature:
        try:
            compact = self.__key.sign_digest_unchecked(digest)
        except ArithmeticError as exc:
            raise self._fault() from exc
        return Signature(int.from_bytes(compact[:32], "big"), int.from_bytes(compact[32:64], "big"), compact[64])

    def _fault(self) -> InvariantError:
        return InvariantError(f"{self._address}: the signature does not recover to its own key")

    def _check_network(self, network: Network) -> None:
        check_network(self._address, is_test_key=self._is_test_key, network=network)

    def __repr__(self) -> str:
        return f"KeySigner({self._address}, '***')"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not serialised")
