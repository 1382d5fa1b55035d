"""Death at every write of a party and every message of the coordinator: one transaction for a nonce, and no key lost.

A party's fuse burns down with every durable write, before it and after it; where it ends, the party is gone as after
`kill -9`: its files stay, its memory does not. Each scenario is run again and again with a longer fuse, until it comes
through alive, so that no point is left out. (Whole processes are killed in test_processes.py and in the soak.)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from eth_account import Account

from domain import Address, Refused, VenueUnavailable
from tests.wallets.mpc.conftest import TX, VOICE, WALLET, LocalParty, open_parties
from wallets import Network, SignedTransaction, StatementToSign
from wallets.mpc import (
    Cosigner,
    MpcSigner,
    MpcStatementSigner,
    generate_wallet,
    recover_party,
    refresh_wallet,
)
from wallets.mpc.link import PartyAway

DEVNET = Network.DEVNET
WRITES: Final = frozenset({"begin_session", "add_signature", "add_pending", "activate", "ban", "record"})


class Dead(Exception):
    """The process is gone; nobody below may catch it."""


class Fuse:
    """Burns by one before and after every write."""

    def __init__(self, length: int) -> None:
        self.left = length

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise Dead


class Burning:
    """A store or journal on a fuse."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if name not in WRITES:
            return method

        def write(*arguments: Any) -> Any:
            self._fuse.burn()
            result = method(*arguments)
            self._fuse.burn()
            return result

        return write


class Mortal(LocalParty):
    """A party that dies where its fuse ends, and stays dead until it is started again."""

    fuse = Fuse(-1)

    def light(self, length: int) -> None:
        self.fuse = Fuse(length)
        self.cosigner = Cosigner(
            self.home,
            store=Burning(self.store, self.fuse),  # type: ignore[arg-type]
            journal=Burning(self._journal, self.fuse),  # type: ignore[arg-type]
            guard=self.guard,
        )

    async def ask(self, method: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            return await super().ask(method, fields)
        except Dead:
            self.stop()
            raise PartyAway(self.party, "died") from None


def mortal(parties: list[LocalParty], victim: int) -> tuple[list[LocalParty], Mortal]:
    parties[victim].stop()
    dying = Mortal(parties[victim]._root)
    return [*parties[:victim], dying, *parties[victim + 1 :]], dying


def revive(party: LocalParty) -> None:
    if party.cosigner is not None:
        party.stop()
    party.start()


async def through_every_death(dying: Mortal, scenario: Callable[[int], Awaitable[None]], least: int) -> None:
    """Run a scenario with fuses of every length, until the party survives it."""
    length = 0
    while True:
        length += 1
        dying.light(length)
        await scenario(length)
        survived = dying.cosigner is not None and dying.fuse.left > 0
        revive(dying)
        if survived:
            assert length > least, "the scenario wrote less than it must have"
            return


@pytest.mark.parametrize("presigned", [False, True], ids=["plain", "presigned"])
@pytest.mark.parametrize("victim", [0, 1])
async def test_a_party_that_dies_at_any_write_of_a_signature_leaves_one_transaction(
    parties: list[LocalParty], ceremony: tuple[Path, Address], victim: int, presigned: bool
) -> None:
    parties, dying = mortal(parties, victim)
    committee = dying.home.committee

    async def scenario(nonce: int) -> None:
        tx = replace(TX, nonce=nonce)
        signer = await MpcSigner.connect(parties, committee, wallet=WALLET, address=ceremony[1])
        if presigned:
            try:
                await signer.presign(1)
            except VenueUnavailable:
                assert dying.cosigner is None
        signed = await signer.sign_transaction(tx, network=DEVNET)
        assert Account.recover_transaction(signed.raw) == ceremony[1]
        was_alive, left = dying.cosigner is not None, dying.fuse.left
        revive(dying)
        after = await MpcSigner.connect(parties, committee, wallet=WALLET, address=ceremony[1])
        for absent in parties:
            absent.stop()
            assert await after.sign_transaction(tx, network=DEVNET) == signed
            with pytest.raises(Refused):
                await after.sign_transaction(replace(tx, value_wei=2), network=DEVNET)
            absent.start()
        dying.fuse = Fuse(left)
        if not was_alive:
            dying.stop()

    await through_every_death(dying, scenario, least=6)


async def test_a_coordinator_that_dies_at_any_message_leaves_one_transaction(
    parties: list[LocalParty], ceremony: tuple[Path, Address]
) -> None:
    """Its successor knows nothing, and gets the same or, if no signature was complete, the only one."""
    committee, nonce, survived = parties[0].home.committee, 0, False
    while not survived:
        nonce += 1
        tx, fuse = replace(TX, nonce=nonce), Fuse(nonce)
        doomed = await MpcSigner.connect(
            [Carried(party, fuse) for party in parties], committee, wallet=WALLET, address=ceremony[1]
        )
        fuse.left = nonce
        first: SignedTransaction | None = None
        try:
            first = await doomed.sign_transaction(tx, network=DEVNET)
            survived = True
        except Dead:
            pass
        successor = await MpcSigner.connect(parties, committee, wallet=WALLET, address=ceremony[1])
        signed = await successor.sign_transaction(tx, network=DEVNET)
        assert first in (None, signed)
        for absent in parties:
            absent.stop()
            assert await successor.sign_transaction(tx, network=DEVNET) == signed
            with pytest.raises(Refused):
                await successor.sign_transaction(replace(tx, value_wei=2), network=DEVNET)
            absent.start()
    assert nonce > 16  # two parties, a request and three exchanges, before and after each


class Carried:
    """A party as a coordinator on a fuse reaches it: the coordinator dies before it asks, or before it hears."""

    def __init__(self, inner: LocalParty, fuse: Fuse) -> None:
        self._inner, self._fuse = inner, fuse

    @property
    def party(self) -> int:
        return self._inner.party

    async def ask(self, method: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
        if method == "status":
            return await self._inner.ask(method, fields)
        self._fuse.burn()
        answer = await self._inner.ask(method, fields)
        self._fuse.burn()
        return answer


async def every_pair_states(parties: list[LocalParty], key: Address, content: bytes) -> None:
    committee = parties[0].home.committee
    for absent in parties:
        absent.stop()
        signer = await MpcStatementSigner.connect(parties, committee, wallet=VOICE, address=key)
        await signer.sign_statement(StatementToSign("audit", content), network=DEVNET)
        absent.start()


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_a_party_that_dies_at_any_write_of_a_refresh_loses_no_key_and_keeps_no_old_share(
    parties: list[LocalParty], voice: MpcStatementSigner, victim: int
) -> None:
    parties, dying = mortal(parties, victim)
    reached = 1

    async def scenario(length: int) -> None:
        nonlocal reached
        try:
            await refresh_wallet(parties, VOICE, threshold=2)
        except VenueUnavailable:
            assert dying.cosigner is None
        was_alive, left = dying.cosigner is not None, dying.fuse.left
        revive(dying)
        await every_pair_states(parties, voice.address, b"after" + bytes([length]))
        epoch = await refresh_wallet(parties, VOICE, threshold=2)
        assert epoch > reached
        reached = epoch
        held = [
            (share.epoch, share.is_active)
            for party in parties
            for share in party.store.shares()
            if share.wallet == VOICE
        ]
        assert held == [(epoch, True)] * 3
        await every_pair_states(parties, voice.address, b"then" + bytes([length]))
        dying.fuse = Fuse(left)
        if not was_alive:
            dying.stop()

    await through_every_death(dying, scenario, least=8)


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_a_party_that_dies_at_any_write_of_a_recovery_leaves_a_key_that_signs_and_can_be_recovered(
    parties: list[LocalParty], voice: MpcStatementSigner, victim: int, committee_root: Path
) -> None:
    """Party 2 has lost its file. Whoever dies, the two others' shares sign, and a second try ends well."""
    parties, dying = mortal(parties, victim)

    async def scenario(length: int) -> None:
        lost = parties[1]
        lost.stop()
        for left in (committee_root / "party-2").glob("party.db*"):
            left.unlink()
        lost.start()
        dying.light(length)
        try:
            await recover_party(parties, VOICE, target=2, threshold=2)
        except VenueUnavailable:
            assert dying.cosigner is None
        was_alive, left_over = dying.cosigner is not None, dying.fuse.left
        revive(dying)
        if length % 2:  # every other time the file is lost once more
            lost.stop()
            for left in (committee_root / "party-2").glob("party.db*"):
                left.unlink()
            lost.start()
        has_it = any(share.wallet == VOICE and share.is_active for share in parties[1].store.shares())
        if not has_it:
            await recover_party(parties, VOICE, target=2, threshold=2)
        await refresh_wallet(parties, VOICE, threshold=2)
        await every_pair_states(parties, voice.address, bytes([length]))
        dying.fuse = Fuse(left_over)
        if not was_alive:
            dying.stop()

    await through_every_death(dying, scenario, least=8)


@pytest.mark.parametrize("victim", [0, 1, 2])
async def test_a_party_that_dies_at_any_write_of_generation_leaves_a_name_that_can_be_used_again(
    committee_root: Path, victim: int
) -> None:
    parties, dying = mortal(open_parties(committee_root), victim)

    async def scenario(length: int) -> None:
        wallet = f"voice-{length}"
        key: Address | None = None
        try:
            key = await generate_wallet(parties, wallet, threshold=2, kind="ed25519")
        except VenueUnavailable:
            assert dying.cosigner is None
        was_alive, left = dying.cosigner is not None, dying.fuse.left
        revive(dying)
        active = [s for party in parties for s in party.store.shares() if s.wallet == wallet and s.is_active]
        if not active:
            key = await generate_wallet(parties, wallet, threshold=2, kind="ed25519")
        await refresh_wallet(parties, wallet, threshold=2)  # finishes an activation that did not reach all
        signer = await MpcStatementSigner.connect(parties, parties[0].home.committee, wallet=wallet, address=key)
        await signer.sign_statement(StatementToSign("audit", b"x"), network=DEVNET)
        dying.fuse = Fuse(left)
        if not was_alive:
            dying.stop()

    await through_every_death(dying, scenario, least=8)
    for party in parties:
        party.stop()
