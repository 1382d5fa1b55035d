"""Every message of every round of every protocol, wronged: an abort or a valid result, never a wrong one."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable
from dataclasses import replace

import pytest

from domain import Refused, VenueUnavailable
from tests.wallets.mpc.adversary import HEADER, Liar, Tamper, relay
from tests.wallets.mpc.conftest import TX, WALLET, LocalParty
from tests.wallets.mpc.runs import PROTOCOLS, Protocol, Runs
from wallets import Network, StatementToSign
from wallets.mpc import MpcSigner, MpcStatementSigner

RunsOf = Callable[[Protocol], Runs]
BY_NAME = {str(protocol): protocol for protocol in PROTOCOLS}
ROUNDS = [pytest.param(p, number, id=f"{p}-{number}") for p in PROTOCOLS for number in range(1, p.rounds + 1)]


@pytest.fixture
def runs_of(parties: list[LocalParty], voice: MpcStatementSigner) -> RunsOf:
    return lambda protocol: Runs(parties, protocol.kind)


def honest(_round: int, _sender: int, _to: int, envelope: bytes) -> list[bytes]:
    return [envelope]


Wrong = Callable[[bytes, bytes], list[bytes]]
"""Given an envelope and the one of the same place in another run: what is delivered instead."""

CARRIER: dict[str, Wrong] = {
    "mutated": lambda envelope, _: [envelope[:80] + bytes([envelope[80] ^ 1]) + envelope[81:]],
    "dropped": lambda _, __: [],
    "of another run": lambda _, other: [other],
    "of another round": lambda envelope, _: [envelope[:32] + bytes([envelope[32] + 1]) + envelope[33:]],
    "of another sender": lambda envelope, _: [envelope[:33] + bytes([envelope[33] % 3 + 1]) + envelope[34:]],
    "of another session": lambda envelope, _: [os.urandom(32) + envelope[32:]],
    # What the six above do in every protocol, these do in the cheap ones: the session that opens envelopes is the same.
    "doubled": lambda envelope, _: [envelope, envelope],
    "twice from two runs": lambda envelope, other: [envelope, other],
    "truncated": lambda envelope, _: [envelope[:-1]],
    "emptied": lambda _, __: [b""],
    "of nobody": lambda envelope, _: [envelope[:33] + b"\x09" + envelope[34:]],
    "of its recipient": lambda envelope, _: [envelope[:33] + envelope[34:35] + envelope[34:]],
    "for another": lambda envelope, _: [envelope[:34] + b"\x09" + envelope[35:]],
    "reflected": lambda envelope, _: [envelope[:33] + envelope[34:35] + envelope[33:34] + envelope[35:]],
    "too long": lambda envelope, _: [envelope + bytes(1 << 21)],
}
FIRST_SIX = list(CARRIER)[:6]


def wronged(number: int, wrongs: dict[tuple[int, int], Wrong], recorded: dict[tuple[int, int, int], bytes]) -> Tamper:
    """Wrong some messages of one round, given by sender and recipient."""

    def tamper(round_: int, sender: int, to: int, envelope: bytes) -> list[bytes]:
        wrong = wrongs.get((sender, to)) if round_ == number else None
        return [envelope] if wrong is None else wrong(envelope, recorded[round_, sender, to])

    return tamper


RECORDINGS: dict[Protocol, dict[tuple[int, int, int], bytes]] = {}
"""An honest run's messages by round, sender and recipient. All tests' parties have the same envelope keys."""


def recorded_run(runs: Runs, protocol: Protocol) -> dict[tuple[int, int, int], bytes]:
    if protocol not in RECORDINGS:
        recorded: dict[tuple[int, int, int], bytes] = {}
        finished, aborts = relay(runs.begin(protocol), recording(recorded))
        assert (len(finished), aborts) == (len(protocol.among), [])
        runs.judge(protocol, finished)
        RECORDINGS[protocol] = recorded
    return RECORDINGS[protocol]


def recording(recorded: dict[tuple[int, int, int], bytes]) -> Tamper:
    def record(round_: int, sender: int, to: int, envelope: bytes) -> list[bytes]:
        recorded[round_, sender, to] = envelope
        return [envelope]

    return record


def test_an_honest_run_of_every_protocol_ends_well_and_has_the_rounds_named_here(runs_of: RunsOf) -> None:
    for protocol in PROTOCOLS:
        recorded = recorded_run(runs_of(protocol), protocol)
        assert {number for number, _, _ in recorded} == set(range(1, protocol.rounds + 1))


@pytest.mark.parametrize(("protocol", "number"), ROUNDS)
def test_a_carrier_that_wrongs_any_message_gets_an_abort_that_blames_nobody(
    runs_of: RunsOf, protocol: Protocol, number: int
) -> None:
    """Each recipient is wronged in its own way, several in one run; each must notice for itself."""
    runs = runs_of(protocol)
    recorded = recorded_run(runs, protocol)
    is_costly = protocol.kind == "secp256k1" and protocol.name in ("generate", "refresh")
    names = FIRST_SIX if is_costly else list(CARRIER)
    edges = [(2, 1), (1, 2)] if len(protocol.among) == 2 else [(2, 1), (3, 2), (1, 3)]
    for start in range(0, len(names), len(edges)):
        wrongs = dict(zip(edges, names[start:], strict=False))
        deliver = {edge: CARRIER[name] for edge, name in wrongs.items()}
        finished, aborts = relay(runs.begin(protocol), wronged(number, deliver, recorded))
        runs.judge(protocol, finished)
        reasons = {party: reason for party, reason, _ in aborts}
        for (_, to), name in wrongs.items():
            # That a message is missing is what one sees as well when the other was wronged and has given up.
            assert ("one message from every peer" in reasons[to]) == (name == "dropped"), (name, reasons)
        assert {culprit for _, _, culprit in aborts} == {None}, wrongs


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=str)
def test_rounds_in_another_order_abort(runs_of: RunsOf, protocol: Protocol) -> None:
    late: dict[tuple[int, int], bytes] = {}

    def reorder(round_: int, sender: int, to: int, envelope: bytes) -> list[bytes]:
        before, late[sender, to] = late.get((sender, to)), envelope
        return [before] if before is not None and sender == 2 else [envelope] if sender != 2 else []

    finished, aborts = relay(runs_of(protocol).begin(protocol), reorder)
    assert {party for party, _, _ in aborts} >= set(protocol.among) - {2}
    assert len(finished) <= 1


@pytest.mark.parametrize("kind", ["secp256k1", "ed25519"])
def test_signers_who_were_shown_another_path_message_or_attempt_do_not_understand_each_other(
    runs_of: RunsOf, kind: str
) -> None:
    runs = runs_of(BY_NAME[f"{kind}-sign"])
    message, attempt = b"m" * 32, b"a" * 16
    others = [{"message": b"n" * 32, "attempt": attempt}, {"message": message, "attempt": b"b" * 16}]
    if kind == "secp256k1":
        others.append({"message": message, "attempt": attempt, "path": "m/1"})
    for other in others:
        mixed = {1: runs.sign(message=message, attempt=attempt)[1], 2: runs.sign(**other)[2]}
        finished, aborts = relay(mixed, honest)
        assert not finished
        assert {culprit for _, _, culprit in aborts} == {None}


LIES = {"secp256k1-sign": 60, "secp256k1-generate": 0, "secp256k1-refresh": 0}
"""Bits drawn for each round, 30 unless named. Where a run takes a second, one bit that matters has to do."""


@pytest.mark.parametrize(("protocol", "number"), ROUNDS)
def test_a_party_that_lies_in_any_message_makes_nothing_wrong_and_puts_the_blame_on_nobody_else(
    runs_of: RunsOf, protocol: Protocol, number: int
) -> None:
    """A bit flipped inside the sealed message of party 2 to party 1, anywhere (drawn from a printed seed)."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    runs = runs_of(protocol)
    liar = Liar(runs.homes[2])
    for at in [-3, *[None] * LIES.get(str(protocol), 30)]:

        def lie(envelope: bytes, _: bytes, at: int | None = at) -> list[bytes]:
            return [liar.change(envelope, draw.randrange(len(liar.open(envelope))) if at is None else at)]

        finished, aborts = relay(runs.begin(protocol), wronged(number, {(2, 1): lie}, {(number, 2, 1): b""}))
        runs.judge(protocol, finished)
        assert {culprit for party, _, culprit in aborts if party != 2} <= {None, 2}
        assert {culprit for party, _, culprit in aborts if party == 2} <= {None}
        if at is not None and protocol.name in ("generate", "refresh"):
            assert any(party == 1 for party, _, _ in aborts)  # a wrong term, proof or confirmation is always seen


@pytest.mark.parametrize(
    ("name", "number"), [("secp256k1-refresh", 2), ("ed25519-generate", 1), ("ed25519-refresh", 1)]
)
def test_a_broadcast_that_differs_by_recipient_is_found_out(runs_of: RunsOf, name: str, number: int) -> None:
    """Party 2 tells party 1 a commitment of its own that is sound, and is not the one it tells party 3."""
    protocol = BY_NAME[name]
    runs = runs_of(protocol)
    recorded = recorded_run(runs, protocol)
    liar = Liar(runs.homes[2])

    def equivocate(envelope: bytes, other: bytes) -> list[bytes]:
        here, there = liar.open(envelope), liar.open(other)
        # The echo of the round before belongs to this run; with refresh of ECDSA a secret term follows, which stays.
        told = there[32:] if protocol.kind == "ed25519" else there[32:65] + here[65:]
        return [liar.seal(envelope[:HEADER], here[:32] + told)]

    finished, aborts = relay(runs.begin(protocol), wronged(number, {(2, 1): equivocate}, recorded))
    assert not finished
    assert any("other broadcasts" in reason for _, reason, _ in aborts)


def test_a_wrong_signature_share_of_ed25519_names_its_sender(runs_of: RunsOf) -> None:
    runs = runs_of(BY_NAME["ed25519-sign"])
    liar = Liar(runs.homes[2])

    def double(envelope: bytes, _: bytes) -> list[bytes]:
        # The share is a scalar, little-endian, before the empty direct part: its lowest bit stays a scalar.
        return [liar.change(envelope, -33)]

    finished, aborts = relay(runs.sign(), wronged(2, {(2, 1): double}, {(2, 2, 1): b""}))
    assert len(finished) == 1
    assert [(party, culprit) for party, _, culprit in aborts] == [(1, 2)]
    runs.check_signature(finished[0].take_signature())


class Lying(LocalParty):
    """Party 2 with a wrong bit in what it sends from the second round of a signature on."""

    at = -3

    async def ask(self, method: str, fields: object = None) -> dict[str, object]:
        answer = await super().ask(method, fields)  # type: ignore[arg-type]
        if method == "step" and "outbound" in answer:
            liar = Liar(self.home)
            answer["outbound"] = [
                [to, base64.b64encode(liar.change(base64.b64decode(sealed), self.at)).decode()]
                for to, sealed in answer["outbound"]  # type: ignore[attr-defined]
            ]
        return answer


async def test_a_cheater_stays_banned_over_a_restart_and_others_sign_on(
    parties: list[LocalParty], signer: MpcSigner
) -> None:
    parties[1].stop()
    lying = Lying(parties[1]._root)
    crooked = await MpcSigner.connect(
        [parties[0], lying, parties[2]], parties[0].home.committee, wallet=WALLET, address=signer.address
    )
    signed = await crooked.sign_transaction(TX, network=Network.DEVNET)
    assert parties[0].store.banned() == {2}
    parties[0].stop()
    parties[0].start()
    assert parties[0].store.banned() == {2}
    parties[2].stop()
    with pytest.raises((Refused, VenueUnavailable)):
        await crooked.sign_transaction(replace(TX, nonce=1), network=Network.DEVNET)
    parties[2].start()
    lying.stop()
    assert await signer.sign_transaction(TX, network=Network.DEVNET) == signed


async def test_a_cheater_with_an_ed25519_key_is_banned_as_well(
    parties: list[LocalParty], voice: MpcStatementSigner
) -> None:
    parties[1].stop()
    lying = Lying(parties[1]._root)
    lying.at = -33
    crooked = await MpcStatementSigner.connect(
        [parties[0], lying, parties[2]], parties[0].home.committee, wallet="voice"
    )
    await crooked.sign_statement(StatementToSign("audit", b"1"), network=Network.DEVNET)
    assert [party.store.banned() for party in (parties[0], parties[2])] == [{2}, set()]
    lying.stop()
