"""The signer of a process that holds no key: asks the signer process over its Unix socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from capstan_native import keccak256 as keccak

from domain import Address, InputError, InvariantError, OutcomeUnknown, VenueUnavailable
from wallets.evidence import Evidence, read_evidence
from wallets.freezing import SignerFreeze
from wallets.payloads import (
    AuthorizationToSign,
    MessageToSign,
    Network,
    Signature,
    SignedAuthorization,
    SignedTransaction,
    TransactionToSign,
    TypedDataToSign,
    unhex,
)
from wallets.transactions import parse, recover, signing_digest
from wallets.wire import LINE_BYTES_MAX, decode_line, encode_line, error_from


class SignerClient:
    """One key of a signer process. Trusts no answer: it is parsed and recovered before it is handed on.

    Each request is a connection of its own, so that a lost answer cannot be taken for the next one's.

    Errors of every method:
        Refused: The signer's guard or journal said no; `rule` is its own. Nothing was signed.
        VenueUnavailable: The signer was not reached; nothing was signed.
        OutcomeUnknown: It may have signed. Ask the same again: it answers with the same bytes.
    """

    def __init__(self, socket: Path, address: Address, *, timeout_s: float = 10.0) -> None:
        self._socket = socket
        self._address = address
        self._timeout_s = timeout_s

    @classmethod
    async def connect(cls, socket: Path, address: Address | None = None, *, timeout_s: float = 10.0) -> Self:
        """Ask which keys the signer holds, and take one: the named one, or the only one.

        Raises:
            InputError: It does not hold that key, or holds several and none was named.
            VenueUnavailable: The signer was not reached.
        """
        client = cls(socket, address or Address(""), timeout_s=timeout_s)
        accounts = await client._ask("accounts", {"method": "accounts"})
        if not isinstance(accounts, list):
            raise InvariantError("the signer's answer is malformed")
        if address is None and len(accounts) != 1:
            raise InputError(f"the signer holds {len(accounts)} keys: name one of {', '.join(map(str, accounts))}")
        if address is not None and address not in accounts:
            raise InputError(f"the signer at {socket} does not hold {address}")
        client._address = Address(str(accounts[0])) if address is None else address
        return client

    @property
    def address(self) -> Address:
        return self._address

    async def freeze(self, source: str, reason: str) -> SignerFreeze:
        """Stop the signer from signing anything, with any key. Lifting that is no request: see `wallets.freezing`.

        Raises:
            InputError: No name, or no reason.
            VenueUnavailable: The signer was not reached, or could not make it durable (it is frozen until it restarts).
            OutcomeUnknown: It may be frozen. Asking again is safe: a source's freeze stands once.
        """
        return _freeze(await self._ask("freeze", {"method": "freeze", "source": source, "reason": reason}))

    async def freezes(self) -> list[SignerFreeze]:
        """The signer's freezes that stand, oldest first."""
        found = await self._ask("freezes", {"method": "freezes"})
        if not isinstance(found, list):
            raise InvariantError("the signer's answer is malformed")
        return [_freeze(item) for item in found]

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        """Have a transaction signed."""
        result = await self._request("sign_transaction", tx.to_wire(), network, evidence)
        raw = _bytes(result, "raw")
        signed, signature = parse(raw)
        if signed != tx or recover(signing_digest(tx), signature) != self._address:
            raise InvariantError("the signer returned another transaction than was asked for")
        return SignedTransaction(raw, "0x" + keccak(raw).hex(), self._address)

    async def sign_message(
        self, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Have a personal message signed (EIP-191)."""
        result = await self._request("sign_message", {"content": "0x" + message.content.hex()}, network, evidence)
        return self._checked(message.digest(), result)

    async def sign_typed_data(
        self, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Have a document signed (EIP-712)."""
        result = await self._request("sign_typed_data", dict(data.document), network, evidence)
        return self._checked(data.digest(), result)

    async def sign_authorization(
        self, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedAuthorization:
        """Have an authorization signed (EIP-7702)."""
        result = await self._request("sign_authorization", authorization.to_wire(), network, evidence)
        return SignedAuthorization(authorization, self._checked(authorization.digest(), result))

    def _checked(self, digest: bytes, result: Any) -> Signature:
        signature = Signature.from_bytes(_bytes(result, "signature"))
        if recover(digest, signature) != self._address:
            raise InvariantError("the signer returned a signature of another key or content")
        return signature

    async def _request(
        self, method: str, payload: Mapping[str, Any], network: Network, evidence: Evidence | None
    ) -> Any:
        place = {"method": method, "signer": self._address, "network": network.value}
        return await self._ask(method, {**place, "payload": dict(payload), "evidence": read_evidence(evidence)})

    async def _ask(self, method: str, message: Mapping[str, Any]) -> Any:
        line = encode_line(message)
        if len(line) > LINE_BYTES_MAX:
            raise InputError(f"the request is {len(line)} bytes long, the signer reads {LINE_BYTES_MAX}")
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_unix_connection(self._socket, limit=LINE_BYTES_MAX)
        except (OSError, TimeoutError) as exc:
            raise VenueUnavailable(
                f"no signer at {self._socket}: {type(exc).__name__}", hint="start it with `capstan signer serve`"
            ) from exc
        try:
            async with asyncio.timeout(self._timeout_s):
                writer.write(line)
                await writer.drain()
                reply = decode_line(await reader.readline())
        except (OSError, TimeoutError, InputError, ValueError) as exc:
            raise OutcomeUnknown(f"the signer's answer to {method} was lost", request_id=method) from exc
        finally:
            writer.close()
        if isinstance(error := reply.get("error"), dict):
            raise error_from(error)
        return reply.get("result")


def _freeze(result: Any) -> SignerFreeze:
    try:
        return SignerFreeze(int(result["number"]), str(result["source"]), str(result["reason"]), int(result["time_ns"]))
    except (KeyError, TypeError, ValueError) as exc:
        raise InvariantError("the signer's answer is malformed") from exc


def _bytes(result: Any, field: str) -> bytes:
    try:
        return unhex(result[field])
    except (KeyError, TypeError, ValueError) as exc:
        raise InvariantError(f"the signer's answer has no {field}") from exc
