"""Ed25519 keys of a committee (FROST): what holds for its ECDSA keys holds for them."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from capstan_native import MpcAbort, MpcSession, MpcShare
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from domain import Address, InputError, InvariantError, Refused, VenueUnavailable
from tests.wallets.mpc.conftest import TX, VOICE, WALLET, LocalParty
from wallets import MessageToSign, Network, StatementToSign
from wallets.mpc import (
    MpcSigner,
    MpcStatementSigner,
    PartyStore,
    generate_wallet,
    recover_party,
    refresh_wallet,
)
from wallets.mpc.coordinator import carry, gather
from wallets.mpc.requests import SignRequest

DEVNET = Network.DEVNET
CHECKPOINT = StatementToSign("audit", b"root 42")


def verify(voice: MpcStatementSigner, signature: bytes, statement: StatementToSign = CHECKPOINT) -> None:
    """With OpenSSL, which knows nothing of thresholds."""
    Ed25519PublicKey.from_public_bytes(voice.public_key).verify(signature, statement.signed_bytes())


def request_for(payload: object, **changes: object) -> SignRequest:
    base = SignRequest(VOICE, 1, "m", DEVNET, payload, (1, 2), secrets.token_bytes(16))  # type: ignore[arg-type]
    return replace(base, **changes)  # type: ignore[arg-type]


async def test_any_pair_signs_a_statement_that_anyone_can_verify(
    parties: list[LocalParty], voice: MpcStatementSigner
) -> None:
    assert voice.address == "ed25519:" + voice.public_key.hex()
    for party in parties:
        party.stop()
        statement = StatementToSign("audit", f"without {party.party}".encode())
        signature = await voice.sign_statement(statement, network=DEVNET)
        verify(voice, signature, statement)
        with pytest.raises(InvalidSignature):
            verify(voice, signature)
        party.start()
        assert await voice.sign_statement(statement, network=DEVNET) == signature


async def test_a_purpose_is_part_of_what_is_signed(voice: MpcStatementSigner) -> None:
    signature = await voice.sign_statement(CHECKPOINT, network=DEVNET)
    with pytest.raises(InvalidSignature):
        verify(voice, signature, StatementToSign("withdrawal", CHECKPOINT.content))
    assert CHECKPOINT.signed_bytes() == b"\xffcapstan statement\naudit\nroot 42"
    for wrong in ("", "Audit", "a\nb", "a" * 41, "a b"):
        with pytest.raises(InputError):
            StatementToSign(wrong, b"")
    with pytest.raises(InputError):
        StatementToSign("audit", bytes(96 * 1024 + 1))


async def test_every_party_judges_purpose_network_and_evidence(
    parties: list[LocalParty], voice: MpcStatementSigner
) -> None:
    for statement, network, evidence, rule in (
        (StatementToSign("withdrawal", b""), DEVNET, None, "statement"),
        (CHECKPOINT, Network.LIVE, None, "test-key"),
        (CHECKPOINT, DEVNET, {"no": 1}, "evidence"),
    ):
        with pytest.raises(Refused) as refused:
            await voice.sign_statement(statement, network=network, evidence=evidence)
        assert refused.value.rule == rule
    with pytest.raises(Refused):
        await parties[1].ask("sign", request_for(CHECKPOINT, network=Network.LIVE).to_wire())


async def test_a_key_of_one_kind_does_not_sign_what_is_for_the_other(
    parties: list[LocalParty], voice: MpcStatementSigner
) -> None:
    for wallet, payload in ((VOICE, TX), (VOICE, MessageToSign(b"please")), (WALLET, CHECKPOINT)):
        with pytest.raises(InputError, match="does not sign"):
            await parties[0].ask("sign", request_for(payload, wallet=wallet).to_wire())
    with pytest.raises(InputError, match="not a path"):
        await parties[0].ask("sign", request_for(CHECKPOINT, path="m/0").to_wire())
    committee = parties[0].home.committee
    with pytest.raises(InputError):
        await (await MpcSigner.connect(parties, committee, wallet=VOICE)).sign_transaction(TX, network=DEVNET)
    stored = parties[0].store.shares()[1]
    for kind, word in (("secp256k1", "another wallet, party or epoch"), ("ed448", "kind")):
        with pytest.raises(ValueError, match=word):
            MpcShare.open(stored.blob, parties[0].home.kek, VOICE, 1, 1, kind)


async def test_a_coordinator_that_shows_parties_different_statements_gets_nothing(
    parties: list[LocalParty], voice: MpcStatementSigner
) -> None:
    first = request_for(CHECKPOINT)
    second = replace(first, payload=StatementToSign("audit", b"root 43"))
    answers = [await parties[0].ask("sign", first.to_wire()), await parties[1].ask("sign", second.to_wire())]
    assert answers[0]["session"] != answers[1]["session"]
    with pytest.raises(VenueUnavailable):
        await carry(parties[:2], answers)
    assert not any(party.store.banned() for party in parties)
    with pytest.raises(InputError, match="not one of"):
        await parties[0].ask("adopt", {**first.to_wire(), "signature": "11" * 64})


async def test_refresh_keeps_the_key_and_makes_old_shares_useless(
    parties: list[LocalParty], voice: MpcStatementSigner
) -> None:
    old = parties[0].store.shares()[1]
    assert await refresh_wallet(parties, VOICE, threshold=2) == 2
    held = [share for party in parties for share in party.store.shares() if share.wallet == VOICE]
    assert [(share.epoch, share.is_active, share.address) for share in held] == [(2, True, voice.address)] * 3
    verify(voice, await voice.sign_statement(CHECKPOINT, network=DEVNET))
    with pytest.raises(InputError):
        await parties[0].ask("sign", request_for(CHECKPOINT).to_wire())
    # A stolen backup of party 1's old share does not understand party 2's new one, and in its name nothing verifies.
    sessions = {}
    for index, (blob, epoch) in {1: (old.blob, 1), 2: (held[1].blob, 2)}.items():
        home = parties[index - 1].home
        share = MpcShare.open(blob, home.kek, VOICE, index, epoch, "ed25519")
        peers = home.committee.peers(index, (1, 2))
        sessions[index] = MpcSession.sign_ed25519(home.identity, share, peers, b"message", b"a")
    inbound = {1: sessions[2].step([]), 2: sessions[1].step([])}
    for index, session in sessions.items():
        with pytest.raises(MpcAbort):
            session.step([envelope for _, envelope in inbound[index]])


async def test_parties_that_kept_different_refreshes_neither_sign_nor_blame_each_other(
    parties: list[LocalParty], voice: MpcStatementSigner
) -> None:
    """A coordinator that mixes runs of a refresh: no share of the epoch that signs is destroyed, nobody is banned."""
    for keeper in (1, 2):
        fields = {"wallet": VOICE, "epoch": 1, "attempt": secrets.token_hex(16)}
        answers = await gather(party.ask("refresh", fields) for party in parties)
        for number in range(3):
            inboxes: dict[int, list[list[object]]] = {1: [], 2: [], 3: []}
            for answer in answers:
                for to, sealed in answer["outbound"]:
                    inboxes[to].append([to, sealed])
            if number == 2:  # the last round reaches the keeper only
                await parties[keeper - 1].ask(
                    "step", {"session": answers[keeper - 1]["session"], "inbound": inboxes[keeper]}
                )
                break
            answers = [
                await party.ask("step", {"session": answer["session"], "inbound": inboxes[party.party]})
                for party, answer in zip(parties, answers, strict=True)
            ]
    pair = parties[:2]
    fields = {"wallet": VOICE, "epoch": 2, "signers": [1, 2], "attempt": secrets.token_hex(16)}
    with pytest.raises(VenueUnavailable):
        await carry(pair, await gather(party.ask("activate", fields) for party in pair))
    assert not any(party.store.banned() for party in parties)
    assert all(any(share.epoch == 1 and share.is_active for share in party.store.shares()) for party in parties)
    verify(voice, await voice.sign_statement(CHECKPOINT, network=DEVNET))


async def test_a_lost_share_is_restored_and_the_lost_one_fits_nothing(
    parties: list[LocalParty], voice: MpcStatementSigner, committee_root: Path
) -> None:
    parties[1].stop()
    for left in (committee_root / "party-2").glob("party.db*"):
        left.unlink()
    parties[1].start()
    assert await recover_party(parties, VOICE, target=2, threshold=2) == 2
    parties[0].stop()
    verify(voice, await voice.sign_statement(CHECKPOINT, network=DEVNET))
    with pytest.raises(Refused) as refused:
        await generate_wallet(parties[1:], VOICE, threshold=2, kind="ed25519")
    assert refused.value.rule == "wallet-exists"


async def test_a_party_that_dies_at_any_step_leaves_one_signature(
    parties: list[LocalParty], voice: MpcStatementSigner
) -> None:
    for edge in range(3):
        statement = StatementToSign("audit", bytes([edge]))
        wanted = request_for(statement).to_wire()
        answers = await gather(party.ask("sign", wanted) for party in parties[:2])
        for _ in range(edge):
            inboxes = {to: [[to, sealed]] for answer in answers for to, sealed in answer.get("outbound", [])}
            answers = await gather(
                party.ask("step", {"session": answer["session"], "inbound": inboxes[party.party]})
                for party, answer in zip(parties[:2], answers, strict=True)
            )
        parties[1].stop()
        parties[1].start()
        signature = await voice.sign_statement(statement, network=DEVNET)
        verify(voice, signature, statement)
        for party in parties:
            party.stop()
            assert await voice.sign_statement(statement, network=DEVNET) == signature
            party.start()


async def test_a_committee_that_returns_nonsense_is_not_believed(
    parties: list[LocalParty], voice: MpcStatementSigner
) -> None:
    mistaken = MpcStatementSigner(
        parties, parties[0].home.committee, wallet=VOICE, address=Address("ed25519:" + "11" * 32)
    )
    await mistaken._find_epoch()
    with pytest.raises(InvariantError):
        await mistaken.sign_statement(CHECKPOINT, network=DEVNET)


def test_a_store_of_the_first_version_is_read_and_its_shares_are_secp256k1(tmp_path: Path) -> None:
    from wallets.mpc.store import _SCHEMA

    with sqlite3.connect(tmp_path / "party.db") as old:
        old.executescript(_SCHEMA)
        old.execute("INSERT INTO shares VALUES ('w', 3, '0xa', 1, x'00')")
    for _ in range(2):
        with PartyStore(tmp_path / "party.db", now_ns=lambda: 0) as store:
            (share,) = store.shares()
            assert (share.wallet, share.epoch, share.kind) == ("w", 3, "secp256k1")
    with sqlite3.connect(tmp_path / "party.db") as newer:
        newer.execute("PRAGMA user_version = 9")
    with pytest.raises(InputError, match="version 9"):
        PartyStore(tmp_path / "party.db", now_ns=lambda: 0)
