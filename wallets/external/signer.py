"""The signer whose key is elsewhere: writes requests as JSON-RPC, and checks every answer."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Generic, NoReturn, Protocol, TypeVar

from capstan_native import keccak256 as keccak

from domain import Address, InputError
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
from wallets.rpc.wire import data_bytes, write
from wallets.signer import check_network
from wallets.transactions import parse, recover, signing_digest

_Result = TypeVar("_Result")
_RAW_BYTES_MAX: Final = 128 * 1024


class Dialect(StrEnum):
    """How the other side names its methods."""

    NODE = "node"
    """`personal_sign` and `eth_signTypedData_v4`: wallets, nodes, `capstan signer serve`."""
    WEB3SIGNER = "web3signer"
    """`eth_sign` (which prefixes the message there) and `eth_signTypedData`."""


@dataclass(frozen=True, slots=True)
class SigningRequest(Generic[_Result]):
    """One question to whoever holds the key."""

    id: str
    """Chosen before asking; names the request when its outcome is unknown."""
    address: Address
    network: Network
    method: str
    params: tuple[Any, ...]
    """As JSON-RPC writes them."""
    accept: Callable[[Any], _Result]
    """Checks an answer; raises `InputError` when it is not what was asked for, or not the address's."""


class Channel(Protocol):
    """The way to the holder of a key."""

    async def ask(self, request: SigningRequest[_Result]) -> _Result:
        """Have a request answered; gives what its `accept` made of the answer.

        Raises:
            Refused: The other side declined; nothing was signed.
            VenueUnavailable: It was not reached; nothing was signed.
            OutcomeUnknown: It may have signed. Asking the same again is safe.
            InvariantError: It answered with something else than was asked for.
        """
        ...


class ExternalSigner:
    """One key of somebody else's, as `wallets.LocalSigner`; put it behind a `SignerService`, whose journal and guard
    come first. Errors of every method are those of `Channel.ask`.

    Args:
        channel: The way there.
        address: Whose signatures are accepted. What the other side says of itself is not asked.
        is_test_key: Whether the key is for devnets only.
        dialect: How the other side names its methods.
    """

    def __init__(
        self, channel: Channel, address: Address, *, is_test_key: bool = False, dialect: Dialect = Dialect.NODE
    ) -> None:
        self._channel = channel
        self._address = address
        self._is_test_key = is_test_key
        self._dialect = dialect

    @property
    def address(self) -> Address:
        return self._address

    @property
    def is_test_key(self) -> bool:
        """Whether the key signs on devnets, and nowhere else."""
        return self._is_test_key

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        """Have a transaction signed, every field as given."""
        fields = {"from": self._address, **write(tx)}
        return await self._ask(network, "eth_signTransaction", (fields,), lambda answer: self._transaction(tx, answer))

    async def sign_message(
        self, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Have a personal message signed (EIP-191)."""
        content = "0x" + message.content.hex()
        is_node = self._dialect is Dialect.NODE
        params = (content, self._address) if is_node else (self._address, content)
        return await self._ask(
            network,
            "personal_sign" if is_node else "eth_sign",
            params,
            lambda answer: self._signature(message.digest(), answer),
        )

    async def sign_typed_data(
        self, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Have a document signed (EIP-712)."""
        digest = data.digest()
        method = "eth_signTypedData_v4" if self._dialect is Dialect.NODE else "eth_signTypedData"
        params = (self._address, json.dumps(dict(data.document)))
        return await self._ask(network, method, params, lambda answer: self._signature(digest, answer))

    async def sign_authorization(
        self, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedAuthorization:
        """Raise: JSON-RPC has no method for authorizations, and a hash is not sent."""
        raise InputError(f"the external key {self._address} cannot sign an authorization")

    async def _ask(
        self, network: Network, method: str, params: tuple[Any, ...], accept: Callable[[Any], _Result]
    ) -> _Result:
        check_network(self._address, is_test_key=self._is_test_key, network=network)
        request = SigningRequest(secrets.token_hex(16), self._address, network, method, params, accept)
        return await self._channel.ask(request)

    def _transaction(self, tx: TransactionToSign, answer: Any) -> SignedTransaction:
        # Web3Signer answers with the raw bytes, nodes with an object around them whose other fields are not read.
        raw = data_bytes(answer.get("raw") if isinstance(answer, dict) else answer, "the raw transaction")
        if len(raw) > _RAW_BYTES_MAX:
            raise InputError(f"the raw transaction has {len(raw)} bytes")
        signed, signature = parse(raw)
        if different := [name for name in tx.__slots__ if getattr(signed, name) != getattr(tx, name)]:
            raise InputError(f"another transaction was signed than was asked for: {', '.join(different)} differ")
        self._check(signing_digest(tx), signature)
        return SignedTransaction(raw, "0x" + keccak(raw).hex(), self._address)

    def _signature(self, digest: bytes, answer: Any) -> Signature:
        raw = data_bytes(answer, "the signature")
        # Some devices count the parity from 0, others from 27.
        if len(raw) == 65 and raw[64] < 2:
            raw = raw[:64] + bytes([27 + raw[64]])
        signature = Signature.from_bytes(raw)
        self._check(digest, signature)
        return signature

    def _check(self, digest: bytes, signature: Signature) -> None:
        signer = recover(digest, signature)
        if signer != self._address:
            raise InputError(f"the signature is of {signer}, not of {self._address}, or of other content")

    def __repr__(self) -> str:
        return f"ExternalSigner({self._address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signer is not serialised")
