"""Presignatures: fast, used once, bound to what they were made for, and gone with the process that held them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from eth_account import Account

from domain import Address, InputError, Refused, VenueUnavailable
from tests.wallets.mpc.conftest import TX, WALLET, LocalParty
from wallets import MessageToSign, Network, recover
from wallets.mpc import MpcSigner, refresh_wallet
from wallets.mpc.coordinator import carry, run
from wallets.mpc.requests import SignRequest

DEVNET = Network.DEVNET


async def presign(parties: Sequence[LocalParty], path: str = "m", epoch: int = 1) -> bytes:
    """Have two parties make one; gives its id."""
    signers = [party.party for party in parties]
    fields = {"wallet": WALLET, "epoch": epoch, "path": path, "signers": signers, "attempt": secrets.token_hex(16)}
    one, two = await run(parties, "presign", fields)
    assert one == two
    return bytes.fromhex(one["presignature"])


def request_for(presignature: bytes, tx: object = TX, **changes: object) -> SignRequest:
    attempt = secrets.token_bytes(16)
    base = SignRequest(WALLET, 1, "m", DEVNET, tx, (1, 2), attempt, None, presignature)  # type: ignore[arg-type]
    return replace(base, **changes)  # type: ignore[arg-type]


def held(party: LocalParty) -> int:
    assert party.cosigner is not None
    return len(party.cosigner._presignatures)


async def sign(parties: Sequence[LocalParty], request: SignRequest) -> bytes:
    answers = await run(parties, "sign", request.to_wire())
    return bytes.fromhex(answers[0]["signature"])


async def test_presigned_signatures_are_signatures_like_any_other(parties: list[LocalParty], signer: MpcSigner) -> None:
    assert await signer.presign(3) == 3
    assert [held(party) for party in parties] == [3, 3, 0]
    signed = await signer.sign_transaction(TX, network=DEVNET)
    assert Account.recover_transaction(signed.raw) == signer.address
    message = MessageToSign(b"please")
    assert recover(message.digest(), await signer.sign_message(message, network=DEVNET)) == signer.address
    assert [held(party) for party in parties] == [1, 1, 0]
    for party in parties:  # and stored like any other: whoever is asked again gives the same bytes
        party.stop()
        assert await signer.sign_transaction(TX, network=DEVNET) == signed
        party.start()


async def test_a_presignature_signs_once_at_every_party(parties: list[LocalParty]) -> None:
    pair = parties[:2]
    made = await presign(pair)
    await sign(pair, request_for(made))
    for party in pair:
        with pytest.raises(VenueUnavailable, match="no such presignature"):
            await party.ask("sign", request_for(made, replace(TX, nonce=1)).to_wire())


async def test_a_presignature_is_gone_when_its_signature_was_begun_whatever_came_of_it(
    parties: list[LocalParty],
) -> None:
    """One party is asked, answers with its terms, and hears nothing more: the same must never move for another."""
    pair = parties[:2]
    made = await presign(pair)
    await pair[0].ask("sign", request_for(made).to_wire())
    for tx in (TX, replace(TX, nonce=1)):
        with pytest.raises(VenueUnavailable, match="no such presignature"):
            await pair[0].ask("sign", request_for(made, tx).to_wire())


@pytest.mark.parametrize("other", [{"path": "m/1"}, {"signers": (1, 3)}], ids=["another path", "other signers"])
async def test_a_presignature_is_bound_to_what_it_was_made_for(
    parties: list[LocalParty], other: dict[str, object]
) -> None:
    made = await presign(parties[:2])
    with pytest.raises(VenueUnavailable, match="no such presignature"):
        await parties[0].ask("sign", request_for(made, **other).to_wire())
    assert held(parties[0]) == 0  # it was touched


async def test_two_parties_shown_different_transactions_sign_neither(parties: list[LocalParty]) -> None:
    pair = parties[:2]
    made = await presign(pair)
    first = request_for(made)
    second = replace(first, payload=replace(TX, value_wei=2))
    answers = [await pair[0].ask("sign", first.to_wire()), await pair[1].ask("sign", second.to_wire())]
    with pytest.raises(VenueUnavailable):
        await carry(pair, answers)
    assert [held(party) for party in pair] == [0, 0]
    assert not any(party.store.banned() for party in pair)


async def test_what_a_party_refuses_uses_nothing_up(parties: list[LocalParty], signer: MpcSigner) -> None:
    await signer.presign(2)
    made = await presign(parties[:2])
    with pytest.raises(Refused):
        await parties[0].ask("sign", request_for(made, replace(TX, value_wei=101)).to_wire())
    await signer.sign_transaction(TX, network=DEVNET)
    with pytest.raises(Refused) as refused:
        await parties[0].ask("sign", request_for(made, replace(TX, value_wei=2)).to_wire())
    assert refused.value.rule == "sign-once"
    assert held(parties[0]) == 2


@pytest.mark.parametrize("victim", [0, 1])
async def test_a_killed_party_has_no_presignatures_and_signing_goes_on(
    parties: list[LocalParty], ceremony: tuple[Path, Address], victim: int
) -> None:
    committee = parties[0].home.committee
    signer = await MpcSigner.connect(parties, committee, wallet=WALLET)
    await signer.presign(3)
    parties[victim].stop()
    parties[victim].start()
    assert held(parties[victim]) == 0
    signed = await signer.sign_transaction(TX, network=DEVNET)
    assert Account.recover_transaction(signed.raw) == ceremony[1]
    parties[victim].stop()
    assert await signer.sign_transaction(replace(TX, nonce=1), network=DEVNET)
    parties[victim].start()
    with pytest.raises(Refused):
        await signer.sign_transaction(replace(TX, value_wei=2), network=DEVNET)


@pytest.mark.parametrize("edge", range(5))
async def test_a_party_killed_at_any_step_of_a_presigned_signature_leaves_one(
    parties: list[LocalParty], signer: MpcSigner, edge: int
) -> None:
    """Nobody was asked; one was; both were; one has the signature; both have it and party 2's answer was lost."""
    pair = parties[:2]
    wanted = request_for(await presign(pair)).to_wire()
    answers = [await party.ask("sign", wanted) for party in pair[: min(edge, 2)]]
    inboxes = {to: [[to, sealed]] for answer in answers for to, sealed in answer["outbound"]}
    for party, answer in list(zip(pair, answers, strict=False))[: max(edge - 2, 0)]:
        await party.ask("step", {"session": answer["session"], "inbound": inboxes[party.party]})
    parties[1].stop()
    parties[1].start()
    signed = await signer.sign_transaction(TX, network=DEVNET)
    for party in parties:
        party.stop()
        assert await signer.sign_transaction(TX, network=DEVNET) == signed
        with pytest.raises(Refused):
            await signer.sign_transaction(replace(TX, value_wei=2), network=DEVNET)
        party.start()


async def test_a_refresh_purges_them(parties: list[LocalParty], signer: MpcSigner) -> None:
    await signer.presign(2)
    made = await presign(parties[:2])
    await refresh_wallet(parties, WALLET, threshold=2)
    assert [held(party) for party in parties] == [0, 0, 0]
    with pytest.raises(VenueUnavailable):
        await parties[0].ask("sign", request_for(made, epoch=2).to_wire())
    with pytest.raises(InputError):
        await parties[0].ask("sign", request_for(made).to_wire())
    await signer.sign_transaction(TX, network=DEVNET)
    assert await signer.presign(1) == 1
    await signer.sign_transaction(replace(TX, nonce=1), network=DEVNET)
    assert held(parties[0]) == 0


async def test_a_party_holds_a_bounded_number_and_none_for_a_stranger(parties: list[LocalParty]) -> None:
    from wallets.mpc.presignatures import _HELD_MAX

    first = await presign(parties[:2])
    for _ in range(_HELD_MAX):
        await presign(parties[:2])
    assert held(parties[0]) == _HELD_MAX
    with pytest.raises(VenueUnavailable):
        await parties[0].ask("sign", request_for(first).to_wire())
    for wrong in ("11" * 31, "zz", 7):
        with pytest.raises(InputError):
            await parties[0].ask("sign", {**request_for(first).to_wire(), "presignature": wrong})


async def test_they_are_made_again_as_they_are_used(parties: list[LocalParty], signer: MpcSigner) -> None:
    async with asyncio.TaskGroup() as tasks:
        keeper = tasks.create_task(signer.keep_presigned(2))
        for nonce in range(3):
            while held(parties[0]) < 2:
                await parties[0].ask("status")
            await signer.sign_transaction(replace(TX, nonce=nonce), network=DEVNET)
        keeper.cancel()
