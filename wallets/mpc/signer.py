"""Signers whose key lies in shares at the parties of a committee."""

from __future__ import annotations

from wallets.evidence import Evidence
from wallets.mpc.keys import read_ecdsa
from wallets.mpc.quorum import Quorum
from wallets.payloads import (
    AuthorizationToSign,
    MessageToSign,
    Network,
    Signature,
    SignedAuthorization,
    SignedTransaction,
    StatementToSign,
    TransactionToSign,
    TypedDataToSign,
)
from wallets.transactions import assemble


class MpcSigner(Quorum):
    """A secp256k1 key of a committee; satisfies `wallets.LocalSigner`. Errors: see `Quorum`."""

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        """Have a transaction signed."""
        return assemble(tx, read_ecdsa(await self._sign(tx, network, evidence)), self._address)

    async def sign_message(
        self, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Have a personal message signed (EIP-191)."""
        return read_ecdsa(await self._sign(message, network, evidence))

    async def sign_typed_data(
        self, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Have a document signed (EIP-712)."""
        return read_ecdsa(await self._sign(data, network, evidence))

    async def sign_authorization(
        self, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedAuthorization:
        """Have an authorization signed (EIP-7702)."""
        return SignedAuthorization(authorization, read_ecdsa(await self._sign(authorization, network, evidence)))


class MpcStatementSigner(Quorum):
    """An Ed25519 key of a committee. Errors: see `Quorum`."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that verify its signatures (RFC 8032)."""
        return bytes.fromhex(self.address.removeprefix("ed25519:"))

    async def sign_statement(
        self, statement: StatementToSign, *, network: Network, evidence: Evidence | None = None
    ) -> bytes:
        """Have a statement signed; gives the 64 bytes, which verify over `statement.signed_bytes()`."""
        return await self._sign(statement, network, evidence)
