"""What the parties promise together, whoever is down and whatever the coordinator says."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bip_utils import Bip32KeyData, Bip32Secp256k1
from capstan_native import MpcAbort, MpcSession, MpcShare
from coincurve import PublicKey
from eth_account import Account

from domain import Address, InputError, Refused, VenueUnavailable
from tests.wallets.mpc.conftest import TX, WALLET, LocalParty
from wallets import (
    AuthorizationToSign,
    MessageToSign,
    Network,
    SignedTransaction,
    TypedDataToSign,
    authority_of,
    recover,
)
from wallets.mpc import MpcSigner, generate_wallet, open_home, recover_party, refresh_wallet
from wallets.mpc.coordinator import _activate, carry, gather
from wallets.mpc.keys import digest_of
from wallets.mpc.requests import SignRequest

DEVNET = Network.DEVNET


def request_for(tx: object, signers: tuple[int, ...] = (1, 2), **changes: object) -> SignRequest:
    base = SignRequest(WALLET, 1, "m", DEVNET, tx, signers, secrets.token_bytes(16))  # type: ignore[arg-type]
    return replace(base, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("absent", [1, 2, 3])
async def test_any_one_party_may_be_down(
    parties: list[LocalParty], ceremony: tuple[Path, Address], absent: int
) -> None:
    parties[absent - 1].stop()
    signer = await MpcSigner.connect(parties, parties[0].home.committee, wallet=WALLET, address=ceremony[1])
    signed = await signer.sign_transaction(TX, network=DEVNET)
    assert Account.recover_transaction(signed.raw) == ceremony[1]


async def test_two_parties_down_is_an_outage_that_signs_nothing(parties: list[LocalParty], signer: MpcSigner) -> None:
    parties[0].stop()
    parties[2].stop()
    with pytest.raises(VenueUnavailable):
        await signer.sign_transaction(TX, network=DEVNET)


async def test_asking_again_gives_the_same_bytes_whoever_answers(parties: list[LocalParty], signer: MpcSigner) -> None:
    first = await signer.sign_transaction(TX, network=DEVNET)
    for party in parties:
        party.stop()
        assert await signer.sign_transaction(TX, network=DEVNET) == first
        party.start()


async def test_a_nonce_is_signed_once_by_any_pair(parties: list[LocalParty], signer: MpcSigner) -> None:
    await signer.sign_transaction(TX, network=DEVNET)
    for party in parties:
        party.stop()
        with pytest.raises(Refused) as refused:
            await signer.sign_transaction(replace(TX, value_wei=2), network=DEVNET)
        assert refused.value.rule == "sign-once"
        party.start()


async def test_every_party_judges_for_itself(parties: list[LocalParty], signer: MpcSigner) -> None:
    with pytest.raises(Refused) as refused:
        await signer.sign_transaction(replace(TX, value_wei=101), network=DEVNET)
    assert refused.value.rule == "velocity"
    with pytest.raises(Refused) as refused:
        await signer.sign_transaction(TX, network=Network.LIVE)
    assert refused.value.rule == "test-key"
    with pytest.raises(Refused):
        await signer.sign_typed_data(
            TypedDataToSign({"types": {"EIP712Domain": [], "A": []}, "primaryType": "A", "domain": {}, "message": {}}),
            network=DEVNET,
        )
    message = MessageToSign(b"please")
    assert recover(message.digest(), await signer.sign_message(message, network=DEVNET)) == signer.address


async def test_every_party_judges_an_authorization_and_counts_its_nonce(
    parties: list[LocalParty], signer: MpcSigner
) -> None:
    authorization = AuthorizationToSign(chain_id=TX.chain_id, delegate=TX.to, nonce=0)
    signed = await signer.sign_authorization(authorization, network=DEVNET)
    assert authority_of(signed) == signer.address
    parties[0].stop()
    assert await signer.sign_authorization(authorization, network=DEVNET) == signed
    for conflicting, rule in (
        (signer.sign_transaction(TX, network=DEVNET), "sign-once"),
        (
            signer.sign_authorization(replace(authorization, nonce=1, delegate=signer.address), network=DEVNET),
            "delegation",
        ),
    ):
        with pytest.raises(Refused) as refused:
            await conflicting
        assert refused.value.rule == rule


async def test_every_signing_party_is_shown_the_evidence_and_any_may_refuse_it(
    parties: list[LocalParty], signer: MpcSigner
) -> None:
    evidence = {"approvals": ["anna"]}
    await signer.sign_transaction(TX, network=DEVNET, evidence=evidence)
    await signer.sign_message(MessageToSign(b"please"), network=DEVNET, evidence=evidence)
    assert [party.guard.shown for party in parties] == [[evidence] * 2, [evidence] * 2, []]
    for refused in (
        signer.sign_transaction(replace(TX, nonce=1), network=DEVNET, evidence={"no": 1}),
        signer.sign_message(MessageToSign(b"please!"), network=DEVNET, evidence={"no": 1}),
    ):
        with pytest.raises(Refused) as error:
            await refused
        assert error.value.rule == "evidence"
    with pytest.raises(InputError, match="evidence"):
        await signer.sign_transaction(TX, network=DEVNET, evidence={"a": b"not JSON"})


async def test_a_coordinator_that_shows_one_party_other_evidence_is_judged_there(
    parties: list[LocalParty], signer: MpcSigner
) -> None:
    wanted = request_for(TX)
    await parties[0].ask("sign", wanted.to_wire())
    with pytest.raises(Refused) as error:
        await parties[1].ask("sign", {**wanted.to_wire(), "evidence": {"no": 1}})
    assert error.value.rule == "evidence"


@pytest.mark.parametrize(
    "second",
    [
        request_for(replace(TX, value_wei=2)),
        request_for(replace(TX, nonce=1)),
        request_for(TX, path="m/0"),
        request_for(MessageToSign(b"please")),
    ],
)
async def test_a_coordinator_that_shows_parties_different_things_gets_nothing(
    parties: list[LocalParty], second: SignRequest
) -> None:
    first = request_for(TX, attempt=second.attempt)
    one, two = parties[:2]
    answers = [await one.ask("sign", first.to_wire()), await two.ask("sign", second.to_wire())]
    assert answers[0]["session"] != answers[1]["session"]
    with pytest.raises(VenueUnavailable):
        await carry([one, two], answers)
    assert all(not party.store.banned() for party in parties)


async def test_children_sign_at_their_own_addresses(parties: list[LocalParty], ceremony: tuple[Path, Address]) -> None:
    request = request_for(TX, path="m/0/7")
    with pytest.raises(InputError):
        await parties[0].ask("sign", replace(request, path="m/0'/7").to_wire())
    with pytest.raises(InputError):
        await parties[0].ask("sign", replace(request, path="m/00/7").to_wire())
    answers = await gather(party.ask("sign", request.to_wire()) for party in parties[:2])
    answers = await carry(parties[:2], answers)
    raw = bytes.fromhex(answers[0]["signature"])
    home = parties[0].home
    stored = parties[0].store.shares()[0]
    share = MpcShare.open(stored.blob, home.kek, WALLET, 1, 1)
    root = share.public_key("m")
    # bip_utils is the oracle of public derivation.
    node = Bip32Secp256k1.FromPublicKey(b"\x04" + root, Bip32KeyData(chain_code=share.chain_code)).DerivePath("0/7")
    recovered = PublicKey.from_signature_and_message(raw, digest_of(request.payload), hasher=None)
    assert recovered.format() == node.PublicKey().RawCompressed().ToBytes()


async def test_refresh_keeps_the_address_and_makes_old_shares_useless(
    parties: list[LocalParty], ceremony: tuple[Path, Address]
) -> None:
    old = parties[0].store.shares()[0]
    assert await refresh_wallet(parties, WALLET, threshold=2) == 2
    assert [(s.epoch, s.is_active, s.address) for p in parties for s in p.store.shares()] == [
        (2, True, ceremony[1])
    ] * 3
    signer = await MpcSigner.connect(parties, parties[0].home.committee, wallet=WALLET, address=ceremony[1])
    await signer.sign_transaction(TX, network=DEVNET)
    with pytest.raises(InputError):
        await parties[0].ask("sign", request_for(replace(TX, nonce=1)).to_wire())

    # Even a party that kept its old share (a stolen backup) cannot use it with the new ones.
    sessions = {}
    for index, (blob, epoch) in {1: (old.blob, 1), 2: (parties[1].store.shares()[0].blob, 2)}.items():
        home = parties[index - 1].home
        share = MpcShare.open(blob, home.kek, WALLET, index, epoch)
        peers = home.committee.peers(index, (1, 2))
        sessions[index] = MpcSession.sign(home.identity, share, peers, "m", b"\1" * 32, b"a")
    inbound = {1: sessions[2].step([]), 2: sessions[1].step([])}
    for index, session in sessions.items():
        with pytest.raises(MpcAbort):
            session.step([envelope for _, envelope in inbound[index]])


async def test_a_signer_follows_a_refresh_it_was_not_told_of(parties: list[LocalParty], signer: MpcSigner) -> None:
    await refresh_wallet(parties, WALLET, threshold=2)
    parties[0].stop()
    signed = await signer.sign_transaction(TX, network=DEVNET)
    assert Account.recover_transaction(signed.raw) == signer.address
    parties[0].start()
    with pytest.raises(InputError, match="not a path"):
        await (
            await MpcSigner.connect(
                parties, parties[0].home.committee, wallet=WALLET, address=signer.address, path="m/0'"
            )
        ).sign_transaction(TX, network=DEVNET)


async def test_an_address_is_believed_when_the_parties_name_the_same(
    parties: list[LocalParty], ceremony: tuple[Path, Address]
) -> None:
    committee = parties[0].home.committee
    parties[1].stop()
    assert (await MpcSigner.connect(parties, committee, wallet=WALLET)).address == ceremony[1]
    with pytest.raises(InputError, match="name the addresses"):
        await MpcSigner.connect([parties[0], parties[1], Misnaming(parties[2])], committee, wallet=WALLET)
    with pytest.raises(InputError, match="must be given"):
        await MpcSigner.connect(parties, committee, wallet=WALLET, path="m/0")
    parties[0].stop()
    with pytest.raises(VenueUnavailable):
        await MpcSigner.connect(parties, committee, wallet=WALLET)


class Misnaming:
    """A party that names another address for its wallet."""

    def __init__(self, inner: LocalParty) -> None:
        self._inner = inner

    @property
    def party(self) -> int:
        return self._inner.party

    async def ask(self, method: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
        answer = await self._inner.ask(method, fields)
        shares = [{**share, "address": TX.to} for share in answer["shares"]]
        return {**answer, "shares": shares}


async def test_a_refresh_that_loses_a_party_leaves_the_old_epoch_signing(
    parties: list[LocalParty], ceremony: tuple[Path, Address]
) -> None:
    answers = await gather(
        party.ask("refresh", {"wallet": WALLET, "epoch": 1, "attempt": "00" * 16}) for party in parties
    )
    parties[2].stop()
    with pytest.raises(VenueUnavailable):
        await carry(parties, answers)
    signer = await MpcSigner.connect(parties, parties[0].home.committee, wallet=WALLET, address=ceremony[1])
    await signer.sign_transaction(TX, network=DEVNET)


async def test_a_wallet_is_generated_once_and_an_attempt_begins_once(parties: list[LocalParty]) -> None:
    with pytest.raises(Refused) as refused:
        await generate_wallet(parties, WALLET, threshold=2)
    assert refused.value.rule == "wallet-exists"
    request = request_for(TX).to_wire()
    await parties[0].ask("sign", request)
    with pytest.raises(Refused) as refused:
        await parties[0].ask("sign", request)
    assert refused.value.rule == "session"


async def test_concurrent_requests_for_a_nonce_give_one_transaction(
    parties: list[LocalParty], ceremony: tuple[Path, Address]
) -> None:
    """Four coordinators at once, two of them for another transaction of the same nonce."""
    for nonce in range(5):
        signers = [
            await MpcSigner.connect(parties, parties[0].home.committee, wallet=WALLET, address=ceremony[1])
            for _ in range(4)
        ]
        answers = await asyncio.gather(
            *(
                signer.sign_transaction(replace(TX, nonce=nonce, value_wei=1 + number % 2), network=DEVNET)
                for number, signer in enumerate(signers)
            ),
            return_exceptions=True,
        )
        signed = {answer for answer in answers if isinstance(answer, SignedTransaction)}
        assert len(signed) <= 1
        assert all(isinstance(answer, (SignedTransaction, Refused, VenueUnavailable)) for answer in answers)


async def test_a_foreign_signature_is_not_adopted(parties: list[LocalParty]) -> None:
    with pytest.raises(InputError):
        await parties[0].ask("adopt", {**request_for(TX).to_wire(), "signature": "11" * 64 + "00"})
    with pytest.raises(Refused):
        await parties[0].ask(
            "adopt", {**request_for(replace(TX, nonce=1, value_wei=101)).to_wire(), "signature": "11" * 64 + "00"}
        )


def test_a_share_opens_under_its_own_key_wallet_party_and_epoch_only(parties: list[LocalParty]) -> None:
    stored, kek = parties[0].store.shares()[0], parties[0].home.kek
    MpcShare.open(stored.blob, kek, WALLET, 1, 1)
    for wrong in [(b"\0" * 32, WALLET, 1, 1), (kek, "other", 1, 1), (kek, WALLET, 2, 1), (kek, WALLET, 1, 2)]:
        with pytest.raises(ValueError, match="wrong key-encryption key"):
            MpcShare.open(stored.blob, *wrong)
    assert "blob" not in repr(stored)


def test_a_folder_of_another_party_is_not_opened(committee_root: Path) -> None:
    for name in ("kek", "identity.json", "tls.crt"):
        mine, theirs = committee_root / "party-1" / name, committee_root / "party-2" / name
        kept = mine.read_bytes()
        mine.write_bytes(theirs.read_bytes())
        with pytest.raises(InputError):
            open_home(committee_root / "party-1")
        mine.write_bytes(kept)
    open_home(committee_root / "party-1")


async def test_a_lost_share_is_restored_and_the_lost_one_fits_nothing(
    parties: list[LocalParty], ceremony: tuple[Path, Address], committee_root: Path
) -> None:
    lost = parties[1].store.shares()[0]
    parties[1].stop()
    for left in (committee_root / "party-2").glob("party.db*"):
        left.unlink()
    parties[1].start()
    assert await recover_party(parties, WALLET, target=2, threshold=2) == 2
    parties[0].stop()
    signer = await MpcSigner.connect(parties, parties[0].home.committee, wallet=WALLET, address=ceremony[1])
    await signer.sign_transaction(TX, network=DEVNET)
    assert [share.epoch for share in parties[1].store.shares()] == [2] != [lost.epoch]


async def test_a_share_that_is_not_lost_is_not_rebuilt(parties: list[LocalParty]) -> None:
    with pytest.raises(Refused) as refused:
        await recover_party(parties, WALLET, target=2, threshold=2)
    assert refused.value.rule == "wallet-exists"


async def test_a_coordinator_that_mixes_two_refreshes_destroys_no_share(
    parties: list[LocalParty], ceremony: tuple[Path, Address]
) -> None:
    """Parties 1 and 2 keep the shares of different runs; neither gives up the epoch that signs."""

    async def refresh_kept_by(keeper: int) -> None:
        fields = {"wallet": WALLET, "epoch": 1, "attempt": secrets.token_hex(16)}
        with pytest.raises(VenueUnavailable):
            await carry(
                [Starved(party) if party.party != keeper else party for party in parties],
                await gather(party.ask("refresh", fields) for party in parties),
            )

    await refresh_kept_by(1)
    await refresh_kept_by(2)
    assert [len(party.store.shares()) for party in parties] == [2, 2, 1]
    with pytest.raises(VenueUnavailable):
        await _activate(parties[:2], WALLET, 2, 2)
    assert [party.store.shares()[0].epoch for party in parties] == [1, 1, 1]
    assert not any(party.store.banned() for party in parties)
    signer = await MpcSigner.connect(parties, parties[0].home.committee, wallet=WALLET, address=ceremony[1])
    await signer.sign_transaction(TX, network=DEVNET)


class Starved:
    """A party that the coordinator does not give the last round of a refresh."""

    def __init__(self, inner: LocalParty) -> None:
        self._inner = inner
        self._steps = 0

    @property
    def party(self) -> int:
        return self._inner.party

    async def ask(self, method: str, fields: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self._steps += method == "step"
        if self._steps == 4:
            raise VenueUnavailable("starved")
        return await self._inner.ask(method, fields)
