"""The signer whose key lies in shares at the parties: asks t of them, and puts their signature on the transaction."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Sequence
from typing import Self

import structlog

from domain import Address, InputError, InvariantError, Refused, VenueUnavailable
from wallets.evidence import Evidence, read_evidence
from wallets.mpc.committee import Committee
from wallets.mpc.coordinator import Party, carry, gather
from wallets.mpc.link import PartyAway
from wallets.mpc.requests import Payload, SignRequest
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
from wallets.signer import check_network
from wallets.transactions import assemble, recover

log = structlog.get_logger(__name__)


class MpcSigner:
    """One key of a committee; satisfies `wallets.Signer`. Any t live parties sign, so n - t may be down.

    A signature is handed out only when t parties have stored it. Any t parties include one of those (when 2t > n), so
    asking again, with whichever parties, gives the same bytes.

    Errors of every method:
        Refused: A party's guard or journal said no; `rule` is its own.
        VenueUnavailable: Fewer than t parties would sign. Asking the same again is safe.
    """

    def __init__(
        self, links: Sequence[Party], committee: Committee, *, wallet: str, path: str = "m", address: Address
    ) -> None:
        self._links = {link.party: link for link in links}
        self._threshold = committee.threshold
        self._is_test_key = committee.is_test
        self._wallet = wallet
        self._path = path
        self._address = address
        self._epoch = 0
        self._missing: set[int] = set()

    @classmethod
    async def connect(
        cls,
        links: Sequence[Party],
        committee: Committee,
        *,
        wallet: str,
        path: str = "m",
        address: Address | None = None,
    ) -> Self:
        """Ask the live parties for the wallet's epoch.

        Args:
            address: What the caller knows from the ceremony; a child's must be given. Without it, t parties have to
                name the same: as many as could sign in the key's name anyway.

        Raises:
            InputError: The live parties name different addresses for the wallet.
            VenueUnavailable: Fewer than t parties hold the wallet.
        """
        if address is None and path != "m":
            raise InputError(f"the address of {path} must be given: the parties name the address of m only")
        signer = cls(links, committee, wallet=wallet, path=path, address=address or Address(""))
        named = await signer._find_epoch()
        if address is None:
            if len(named) != 1:
                raise InputError(f"the parties of wallet {wallet!r} name the addresses {', '.join(sorted(named))}")
            signer._address = named.pop()
        return signer

    @property
    def address(self) -> Address:
        return self._address

    @property
    def is_test_key(self) -> bool:
        """Whether the committee's keys sign on devnets, and nowhere else."""
        return self._is_test_key

    async def sign_transaction(
        self, tx: TransactionToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedTransaction:
        """Have a transaction signed."""
        return assemble(tx, await self._sign(tx, network, evidence), self._address)

    async def sign_message(
        self, message: MessageToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Have a personal message signed (EIP-191)."""
        return await self._sign(message, network, evidence)

    async def sign_typed_data(
        self, data: TypedDataToSign, *, network: Network, evidence: Evidence | None = None
    ) -> Signature:
        """Have a document signed (EIP-712)."""
        return await self._sign(data, network, evidence)

    async def sign_authorization(
        self, authorization: AuthorizationToSign, *, network: Network, evidence: Evidence | None = None
    ) -> SignedAuthorization:
        """Have an authorization signed (EIP-7702)."""
        return SignedAuthorization(authorization, await self._sign(authorization, network, evidence))

    async def _find_epoch(self) -> set[Address]:
        """Find the epoch to sign in; gives the addresses that its holders name."""
        answers = await asyncio.gather(*(link.ask("status") for link in self._links.values()), return_exceptions=True)
        holders: dict[int, list[Address]] = {}
        proven: set[int] = set()
        for party, answer in zip(self._links, answers, strict=True):
            if isinstance(answer, VenueUnavailable):
                self._missing.add(party)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self._missing.discard(party)
                for share in answer["shares"]:
                    if share["wallet"] == self._wallet:
                        holders.setdefault(share["epoch"], []).append(Address(str(share["address"])))
                        proven |= {share["epoch"]} if share["is_active"] else set()
        usable = [epoch for epoch, named in holders.items() if len(named) >= self._threshold and epoch in proven]
        if not usable:
            raise VenueUnavailable(f"fewer than {self._threshold} live parties hold wallet {self._wallet!r}")
        # The newest that some party has seen to fit: one whose activation has not reached all is complete all the same.
        self._epoch = max(usable)
        return set(holders[self._epoch])

    async def _sign(self, payload: Payload, network: Network, evidence: Evidence | None) -> Signature:
        # The parties refuse as well; asked here, so that no party spends a nonce on what is never signed.
        check_network(self._address, is_test_key=self._is_test_key, network=network)
        shown, epoch = read_evidence(evidence), self._epoch
        try:
            return await self._try_all(payload, network, shown)
        except (InputError, VenueUnavailable):
            # The shares may have been refreshed since this signer asked for their epoch.
            await self._find_epoch()
            if self._epoch == epoch:
                raise
        return await self._try_all(payload, network, shown)

    async def _try_all(self, payload: Payload, network: Network, evidence: Evidence | None) -> Signature:
        failure: VenueUnavailable | Refused | None = None
        for signers in self._choices():
            request = SignRequest(
                self._wallet, self._epoch, self._path, network, payload, signers, secrets.token_bytes(16), evidence
            )
            try:
                signature = await self._attempt(request)
            except Refused as exc:
                if exc.rule != "banned":
                    raise
                failure = exc
            except VenueUnavailable as exc:
                failure = exc
                log.warning("mpc.attempt_failed", wallet=self._wallet, signers=signers, reason=str(exc))
            else:
                self._missing -= set(signers)
                return signature
        raise failure or VenueUnavailable("no parties")

    def _choices(self) -> list[tuple[int, ...]]:
        """Every set of t parties, those last seen alive first."""
        sets = itertools.combinations(sorted(self._links), self._threshold)
        return sorted(sets, key=lambda parties: len(self._missing.intersection(parties)))

    async def _attempt(self, request: SignRequest) -> Signature:
        links = [self._links[party] for party in request.signers]
        try:
            answers = await gather(link.ask("sign", request.to_wire()) for link in links)
            known = next((answer["signature"] for answer in answers if "signature" in answer), None)
            if known is not None:
                # Some of them made it before; the others judge it like any payload, and keep it.
                fields = {**request.to_wire(), "signature": known}
                answers = await gather(link.ask("adopt", fields) for link in links)
            else:
                answers = await carry(links, answers)
        except PartyAway as exc:
            self._missing.add(exc.party)
            raise
        signatures = {str(answer.get("signature")) for answer in answers}
        if len(signatures) != 1:
            raise VenueUnavailable("the parties hold different signatures of this payload")
        return self._checked(request.digest(), signatures.pop())

    def _checked(self, digest: bytes, text: str) -> Signature:
        try:
            raw = bytes.fromhex(text)
            signature = Signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:64], "big"), raw[64])
            signer = recover(digest, signature)
        except (ValueError, IndexError, InputError) as exc:
            raise InvariantError(f"the parties of wallet {self._wallet!r} returned no signature") from exc
        if signer != self._address:
            raise InvariantError(f"the parties of wallet {self._wallet!r} signed for {signer}, not {self._address}")
        return signature
