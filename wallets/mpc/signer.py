"""Signers whose key lies in shares at the parties of a committee."""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import structlog

from domain import Address, InputError, Refused, VenueUnavailable
from wallets.evidence import Evidence
from wallets.mpc.committee import Committee
from wallets.mpc.coordinator import Party, run
from wallets.mpc.keys import read_ecdsa
from wallets.mpc.link import PartyAway
from wallets.mpc.quorum import Quorum
from wallets.mpc.requests import SignRequest
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

log = structlog.get_logger(__name__)

_PRESIGN_PAUSE_S: Final = 5.0


class MpcSigner(Quorum):
    """A secp256k1 key of a committee; satisfies `wallets.LocalSigner`. Errors: see `Quorum`.

    With presignatures at hand a signature takes one exchange instead of three. They lie at the parties; what is kept
    here are their names, in the order in which they were made.
    """

    def __init__(
        self, links: Sequence[Party], committee: Committee, *, wallet: str, path: str = "m", address: Address
    ) -> None:
        super().__init__(links, committee, wallet=wallet, path=path, address=address)
        self._presigned: deque[_Presigned] = deque()
        self._used = asyncio.Event()

    async def presign(self, count: int) -> int:
        """Have presignatures made until so many lie ready; gives how many do.

        They are for one set of t parties, and for as long as these live on and the shares are not refreshed. When one
        of the parties is down, signatures are made in the ordinary way.

        Raises:
            VenueUnavailable: Fewer than t parties take part.
        """
        while len(self._presigned) < count:
            signers = self._choices()[0]
            links = [self._links[party] for party in signers]
            fields: dict[str, Any] = {
                "wallet": self._wallet,
                "epoch": self._epoch,
                "path": self._path,
                "signers": list(signers),
                "attempt": secrets.token_hex(16),
            }
            try:
                answers = await run(links, "presign", fields)
            except PartyAway as exc:
                self._missing.add(exc.party)
                raise
            except InputError:
                await self._find_epoch()  # the shares may have been refreshed
                raise
            named = {str(answer["presignature"]) for answer in answers}
            if len(named) != 1:
                raise VenueUnavailable("the parties hold different presignatures")
            self._presigned.append(_Presigned(fields["epoch"], signers, bytes.fromhex(named.pop())))
        return len(self._presigned)

    async def keep_presigned(self, count: int) -> None:
        """Make presignatures again as they are used, until cancelled; when that fails, again after a pause."""
        while True:
            try:
                await self.presign(count)
            except (VenueUnavailable, InputError, Refused) as exc:
                log.warning("mpc.presign_failed", wallet=self._wallet, reason=str(exc))
                await asyncio.sleep(_PRESIGN_PAUSE_S)
                continue
            self._used.clear()
            await self._used.wait()

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

    async def _attempt(self, request: SignRequest) -> bytes:
        presigned = self._presigned.popleft() if self._presigned else None
        if presigned is None:
            return await super()._attempt(request)
        self._used.set()
        if (presigned.epoch, presigned.signers) != (request.epoch, request.signers):
            # Of shares that were refreshed, or for a party that is down: the rest are like it.
            self._presigned.clear()
            return await super()._attempt(request)
        try:
            return await super()._attempt(replace(request, presignature=presigned.id))
        except PartyAway:
            raise
        except VenueUnavailable as exc:
            # A party was restarted, and has none any more.
            log.warning("mpc.presignature_lost", wallet=self._wallet, reason=str(exc))
            self._presigned.clear()
        return await super()._attempt(replace(request, attempt=secrets.token_bytes(16)))


@dataclass(frozen=True, slots=True)
class _Presigned:
    """The name of a presignature, and whom it is for."""

    epoch: int
    signers: tuple[int, ...]
    id: bytes


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
