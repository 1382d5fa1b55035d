"""One key of a committee, as whoever wants signatures sees it: t of the parties at a time, chosen and asked."""

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
from wallets.mpc.keys import check_signature
from wallets.mpc.link import PartyAway
from wallets.mpc.requests import Payload, SignRequest
from wallets.payloads import Network
from wallets.signer import check_network

log = structlog.get_logger(__name__)


class Quorum:
    """Asks t parties for signatures of one key; any t live ones do, so n - t may be down.

    A signature is handed out only when t parties have stored it. Any t parties include one of those (when 2t > n), so
    asking again, with whichever parties, gives the same bytes.

    Errors of every method that signs:
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

    async def _sign(self, payload: Payload, network: Network, evidence: Evidence | None) -> bytes:
        """Have a payload signed; the signature is verified."""
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

    async def _try_all(self, payload: Payload, network: Network, evidence: Evidence | None) -> bytes:
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

    async def _attempt(self, request: SignRequest) -> bytes:
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
        try:
            signature = bytes.fromhex(signatures.pop())
            check_signature(self._address, request.payload, signature)
        except (ValueError, InputError) as exc:
            raise InvariantError(f"the parties of wallet {self._wallet!r} returned no signature of its key") from exc
        return signature
