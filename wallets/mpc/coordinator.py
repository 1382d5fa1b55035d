"""The coordinator: carries envelopes between parties, for generation, refresh and recovery; `wallets.mpc.signer` signs.

It holds no share and is not believed. What it can do is not deliver.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog

from domain import Address, InputError, InvariantError, VenueUnavailable
from wallets.mpc.requests import read_envelopes, write_envelopes

log = structlog.get_logger(__name__)

_SENDER_AT: Final = 33
"""Where an envelope names its sender (native/mpc/src/envelope.rs)."""


class Party(Protocol):
    """What the coordinator needs of a party; `PartyLink` satisfies it."""

    @property
    def party(self) -> int: ...

    async def ask(self, method: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]: ...


async def generate_wallet(parties: Sequence[Party], wallet: str, *, threshold: int, kind: str = "secp256k1") -> Address:
    """Have all parties make a new key; returns its name: the address at `m`, or `ed25519:` and the public key.

    Args:
        kind: `secp256k1` (DKLs23) or `ed25519` (FROST).

    Raises:
        Refused: The wallet exists, or a party has banned another.
        VenueUnavailable: A party is missing or gave up; nothing was made, try again.
    """
    answers = await run(parties, "generate", {"wallet": wallet, "key_kind": kind, **_attempt()})
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
    others = [share | {"party": number} for number, shares in held.items() if number != target for share in shares]
    epoch = max((int(share["epoch"]) for share in others if share["is_active"]), default=0)
    able = sorted((share for share in others if share["epoch"] == epoch), key=lambda share: int(share["party"]))
    helpers = [int(share["party"]) for share in able[:threshold]]
    if not epoch or len(helpers) < threshold:
        raise VenueUnavailable(f"fewer than {threshold} parties can help party {target}")
    kind = able[0]["key_kind"]
    if not all(share["is_active"] for share in able[:threshold]):
        # An earlier activation did not reach all of them; without the target there may be no other way to finish it.
        await _activate([party for party in parties if party.party in helpers], wallet, epoch, threshold)
    fields = {"wallet": wallet, "key_kind": kind, "epoch": epoch, "target": target, "helpers": helpers, **_attempt()}
    await run([party for party in parties if party.party in (*helpers, target)], "recover", fields)
    return await _renew(parties, wallet, epoch, threshold)


async def _renew(parties: Sequence[Party], wallet: str, epoch: int, threshold: int) -> int:
    before = {share["address"] for held in await _shares(parties, wallet) for share in held}
    answers = await run(parties, "refresh", {"wallet": wallet, "epoch": epoch, **_attempt()})
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
        await run(group, "activate", fields)


async def _shares(parties: Sequence[Party], wallet: str) -> list[list[dict[str, Any]]]:
    """Ask every party for its shares of a wallet."""
    answers = await gather(party.ask("status") for party in parties)
    return [[share for share in answer["shares"] if share["wallet"] == wallet] for answer in answers]


def _agreed(wallet: str, answers: list[dict[str, Any]]) -> tuple[Address, int]:
    if len({(answer["address"], answer["epoch"]) for answer in answers}) != 1:
        raise InvariantError(f"the parties of wallet {wallet!r} do not agree on its key")
    return Address(answers[0]["address"]), int(answers[0]["epoch"])


def _attempt() -> dict[str, str]:
    return {"attempt": secrets.token_hex(16)}


async def run(links: Sequence[Party], method: str, fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Begin a session everywhere and carry it to its end; returns every party's result, in the order of `links`."""
    return await carry(links, await gather(link.ask(method, fields) for link in links))


async def carry(links: Sequence[Party], answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Carry a session that has begun everywhere to its end; returns every party's result, in the order of `links`."""
    while all("outbound" in answer for answer in answers):
        inboxes: dict[int, list[tuple[int, bytes]]] = {link.party: [] for link in links}
        for link, answer in zip(links, answers, strict=True):
            for to, envelope in read_envelopes(answer["outbound"]):
                if len(envelope) <= _SENDER_AT or envelope[_SENDER_AT] != link.party or to not in inboxes:
                    raise VenueUnavailable(f"party {link.party} sent a message in another's name")
                inboxes[to].append((to, envelope))
        answers = await gather(
            link.ask("step", {"session": answer["session"], "inbound": write_envelopes(inboxes[link.party])})
            for link, answer in zip(links, answers, strict=True)
        )
    if any("outbound" in answer for answer in answers):
        raise VenueUnavailable("the parties do not agree on when the session ends")
    return answers


async def gather(requests: Iterable[Coroutine[Any, Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """Await all, also when one fails: an answer on its way must not stay on the connection. A refusal comes first."""
    answers = await asyncio.gather(*requests, return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    for failure in sorted(failures, key=lambda exc: isinstance(exc, VenueUnavailable)):
        raise failure
    return [answer for answer in answers if not isinstance(answer, BaseException)]
