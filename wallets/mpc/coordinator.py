"""The coordinator: carries envelopes between parties and puts the finished signature on the transaction.

It holds no share and is not believed. What it can do is not deliver.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol, Self

import structlog

from domain import Address, InputError, InvariantError, Refused, VenueUnavailable
from wallets.evidence import Evidence, read_evidence
from wallets.mpc.link import PartyAway
from wallets.mpc.requests import Payload, SignRequest, read_envelopes, write_envelopes
from wallets.payloads import (
    MessageToSign,
    Network,
    Signature,
    SignedTransaction,
    TransactionToSign,
    TypedDataToSign,
)
from wallets.transactions import assemble, recover

log = structlog.get_logger(__name__)

_SENDER_AT: Final = 33
"""Where an envelope names its sender (native/mpc/src/envelope.rs)."""


class Party(Protocol):
    """What the coordinator needs of a party; `PartyLink` satisfies it."""

    @property
    def party(self) -> int: ...

    async def ask(self, method: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]: ...


async def generate_wallet(parties: Sequence[Party], wallet: str, *, threshold: int) -> Address:
    """Have all parties make a new key; returns the address at `m`.

    Raises:
        Refused: The wallet exists, or a party has banned another.
        VenueUnavailable: A party is missing or gave up; nothing was made, try again.
    """
    answers = await _run(parties, "generate", {"wallet": wallet, **_attempt()})
    address, epoch = _agreed(wallet, answers)
    await _activate(parties, wallet, epoch, threshold)
    return address


async def refresh_wallet(parties: Sequence[Party], wallet: str, *, threshold: int) -> int:
    """Give all parties new shares of the same key and destroy the old ones; returns the new epoch.

    Raises:
        VenueUnavailable: A party is missing or gave up. The old shares still sign, or the new ones do.
    """
    shares = await _shares(parties, wallet)
    active = [share for held in shares for share in held if share["is_active"]]
    if not active:
        raise InputError(f"no party has an active share of wallet {wallet!r}")
    epoch = max(int(share["epoch"]) for share in active)
    if sum(share["epoch"] == epoch for share in active) < len(parties):
        # An earlier activation did not reach everyone. All held the share when it began, so finish it first.
        await _activate(parties, wallet, epoch, threshold)
    return await _renew(parties, wallet, epoch, threshold)


async def recover_party(parties: Sequence[Party], wallet: str, *, target: int, threshold: int) -> int:
    """Rebuild the share of a party that lost it (t others help), then refresh all; returns the new epoch.

    Raises:
        VenueUnavailable: Too few can help, or a party gave up; the others sign on with what they have.
    """
    held = dict(zip((party.party for party in parties), await _shares(parties, wallet), strict=True))
    epochs = {
        number: max((int(share["epoch"]) for share in shares if share["is_active"]), default=0)
        for number, shares in held.items()
        if number != target
    }
    epoch = max(epochs.values(), default=0)
    helpers = [number for number, reached in epochs.items() if reached == epoch][:threshold]
    if not epoch or len(helpers) < threshold:
        raise VenueUnavailable(f"fewer than {threshold} parties can help party {target}")
    fields = {"wallet": wallet, "epoch": epoch, "target": target, "helpers": helpers, **_attempt()}
    await _run([party for party in parties if party.party in (*helpers, target)], "recover", fields)
    return await _renew(parties, wallet, epoch, threshold)


async def _renew(parties: Sequence[Party], wallet: str, epoch: int, threshold: int) -> int:
    before = {share["address"] for held in await _shares(parties, wallet) for share in held}
    answers = await _run(parties, "refresh", {"wallet": wallet, "epoch": epoch, **_attempt()})
    address, epoch = _agreed(wallet, answers)
    if before != {address}:
        raise InvariantError(f"the refresh of wallet {wallet!r} changed its address")
    await _activate(parties, wallet, epoch, threshold)
    return epoch


async def _activate(parties: Sequence[Party], wallet: str, epoch: int, threshold: int) -> None:
    """Have every party see with t - 1 others that their shares fit."""
    ordered = sorted(parties, key=lambda party: party.party)
    for start in range(0, len(ordered), threshold):
        group = ordered[min(start, len(ordered) - threshold) :][:threshold]
        fields = {"wallet": wallet, "epoch": epoch, "signers": [party.party for party in group], **_attempt()}
        await _run(group, "activate", fields)


async def _shares(parties: Sequence[Party], wallet: str) -> list[list[dict[str, Any]]]:
    """Ask every party for its shares of a wallet."""
    answers = await _gather(party.ask("status") for party in parties)
    return [[share for share in answer["shares"] if share["wallet"] == wallet] for answer in answers]


def _agreed(wallet: str, answers: list[dict[str, Any]]) -> tuple[Address, int]:
    if len({(answer["address"], answer["epoch"]) for answer in answers}) != 1:
        raise InvariantError(f"the parties of wallet {wallet!r} do not agree on its key")
    return Address(answers[0]["address"]), int(answers[0]["epoch"])


def _attempt() -> dict[str, str]:
    return {"attempt": secrets.token_hex(16)}


async def _run(links: Sequence[Party], method: str, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Begin a session everywhere and carry it to its end; returns every party's result, in the order of `links`."""
    return await _carry(links, await _gather(link.ask(method, fields) for link in links))


async def _carry(links: Sequence[Party], answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    while all("outbound" in answer for answer in answers):
        inboxes: dict[int, list[tuple[int, bytes]]] = {link.party: [] for link in links}
        for link, answer in zip(links, answers, strict=True):
            for to, envelope in read_envelopes(answer["outbound"]):
                if len(envelope) <= _SENDER_AT or envelope[_SENDER_AT] != link.party or to not in inboxes:
                    raise VenueUnavailable(f"party {link.party} sent a message in another's name")
                inboxes[to].append((to, envelope))
        answers = await _gather(
            link.ask("step", {"session": answer["session"], "inbound": write_envelopes(inboxes[link.party])})
            for link, answer in zip(links, answers, strict=True)
        )
    if any("outbound" in answer for answer in answers):
        raise VenueUnavailable("the parties do not agree on when the session ends")
    return answers


async def _gather(requests: Iterable[Coroutine[Any, Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Await all, also when one fails: an answer on its way must not stay on the connection. A refusal comes first."""
    answers = await asyncio.gather(*requests, return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    for failure in sorted(failures, key=lambda exc: isinstance(exc, VenueUnavailable)):
        raise failure
    return [answer for answer in answers if not isinstance(answer, BaseException)]


class MpcSigner:
    """One key of a committee; satisfies `wallets.Signer`. Any t live parties sign, so n - t may be down.

    A signature is handed out only when t parties have stored it. Any t parties include one of those (when 2t > n), so
    asking again, with whichever parties, gives the same bytes.

    Errors of every method:
        Refused: A party's guard or journal said no; `rule` is its own.
        VenueUnavailable: Fewer than t parties would sign. Asking the same again is safe.
    """

    def __init__(
        self, links: Sequence[Party], *, wallet: str, path: str, epoch: int, address: Address, threshold: int
    ) -> None:
        self._links = {link.party: link for link in links}
        self._wallet = wallet
        self._path = path
        self._epoch = epoch
        self._address = address
        self._threshold = threshold
        self._missing: set[int] = set()

    @classmethod
    async def connect(
        cls, links: Sequence[Party], *, wallet: str, address: Address, threshold: int, path: str = "m"
    ) -> Self:
        """Ask the live parties for the wallet's epoch. `address` is what the caller knows from the ceremony.

        Raises:
            VenueUnavailable: Fewer than t parties hold the wallet.
        """
        signer = cls(links, wallet=wallet, path=path, epoch=0, address=address, threshold=threshold)
        await signer._find_epoch()
        return signer

    @property
    def address(self) -> Address:
        return self._address

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

    async def _find_epoch(self) -> None:
        answers = await asyncio.gather(*(link.ask("status") for link in self._links.values()), return_exceptions=True)
        holders: dict[int, int] = {}
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
                        holders[share["epoch"]] = holders.get(share["epoch"], 0) + 1
                        proven |= {share["epoch"]} if share["is_active"] else set()
        usable = [epoch for epoch, count in holders.items() if count >= self._threshold and epoch in proven]
        if not usable:
            raise VenueUnavailable(f"fewer than {self._threshold} live parties hold wallet {self._wallet!r}")
        # The newest that some party has seen to fit: one whose activation has not reached all is complete all the same.
        self._epoch = max(usable)

    async def _sign(self, payload: Payload, network: Network, evidence: Evidence | None) -> Signature:
        shown = read_evidence(evidence)
        failure: VenueUnavailable | Refused | None = None
        for signers in self._choices():
            request = SignRequest(
                self._wallet, self._epoch, self._path, network, payload, signers, secrets.token_bytes(16), shown
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
            answers = await _gather(link.ask("sign", request.to_wire()) for link in links)
            known = next((answer["signature"] for answer in answers if "signature" in answer), None)
            if known is not None:
                # Some of them made it before; the others judge it like any payload, and keep it.
                fields = {**request.to_wire(), "signature": known}
                answers = await _gather(link.ask("adopt", fields) for link in links)
            else:
                answers = await _carry(links, answers)
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
