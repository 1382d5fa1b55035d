"""Every message of every round, wronged: the outcome is an abort or a valid result, never a wrong one."""

from __future__ import annotations

import base64
import os
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from capstan_native import MpcSession, MpcShare
from coincurve import PublicKey

from domain import Refused, VenueUnavailable
from tests.wallets.mpc.adversary import Liar, Tamper, relay
from tests.wallets.mpc.conftest import TX, WALLET, LocalParty
from wallets import Network
from wallets.mpc import MpcSigner

SIGNERS = (1, 2)


class Bench:
    """Makes fresh sessions of the parties' own keys and shares, and judges what comes of them."""

    def __init__(self, parties: list[LocalParty]) -> None:
        self.homes = {party.party: party.home for party in parties}
        self._shares = {
            party.party: MpcShare.open(party.store.shares()[0].blob, party.home.kek, WALLET, party.party, 1)
            for party in parties
        }
        self.digest = b""

    def sign(self, *, path: str = "m", attempt: bytes | None = None) -> dict[int, MpcSession]:
        self.digest, attempt = os.urandom(32), attempt or os.urandom(16)
        return {
            party: MpcSession.sign(
                self.homes[party].identity,
                self._shares[party],
                self.homes[party].committee.peers(party, SIGNERS),
                path,
                self.digest,
                attempt,
            )
            for party in SIGNERS
        }

    def refresh(self) -> dict[int, MpcSession]:
        attempt = os.urandom(16)
        return {
            party: MpcSession.refresh(home.identity, self._shares[party], home.committee.peers(party), attempt)
            for party, home in self.homes.items()
        }

    def generate(self, among: tuple[int, ...] = (1, 2, 3)) -> dict[int, MpcSession]:
        attempt = os.urandom(16)
        return {
            party: MpcSession.generate(
                self.homes[party].identity, party, self.homes[party].committee.peers(party, among), "new", 2, attempt
            )
            for party in among
        }

    def judge(self, finished: list[MpcSession], aborts: list[object], kind: str) -> None:
        """All that finished have the right result, and the same; whoever did not finish has said so or waits."""
        results = set()
        for session in finished:
            if kind == "sign":
                signature = session.take_signature()
                public = PublicKey.from_signature_and_message(signature, self.digest, hasher=None)
                assert public.format(compressed=False)[1:] == self._shares[1].public_key("m")
                assert int.from_bytes(signature[32:64], "big") < 1 << 255
                results.add(signature)
            else:
                share = session.take_share()
                results.add(share.public_key("m"))
                if kind == "refresh":
                    assert share.public_key("m") == self._shares[1].public_key("m")
        assert len(results) <= 1
        assert finished or aborts


@pytest.fixture
def bench(parties: list[LocalParty]) -> Bench:
    return Bench(parties)


def honest(_round: int, _sender: int, _to: int, envelope: bytes) -> list[bytes]:
    return [envelope]


def once(number: int, change: Callable[[bytes], list[bytes]]) -> Tamper:
    """Wrong the messages of party 2 to party 1 in one round."""

    def tamper(round_: int, sender: int, to: int, envelope: bytes) -> list[bytes]:
        return change(envelope) if (round_, sender, to) == (number, 2, 1) else [envelope]

    return tamper


CARRIER: dict[str, Callable[[bytes], list[bytes]]] = {
    "dropped": lambda _: [],
    "doubled": lambda envelope: [envelope, envelope],
    "truncated": lambda envelope: [envelope[:-1]],
    "emptied": lambda _: [b""],
    "flipped": lambda envelope: [envelope[:80] + bytes([envelope[80] ^ 1]) + envelope[81:]],
    "other session": lambda envelope: [os.urandom(32) + envelope[32:]],
    "other round": lambda envelope: [envelope[:32] + bytes([envelope[32] + 1]) + envelope[33:]],
    "other sender": lambda envelope: [envelope[:33] + b"\x03" + envelope[34:]],
    "own sender": lambda envelope: [envelope[:33] + b"\x01" + envelope[34:]],
    "other recipient": lambda envelope: [envelope[:34] + b"\x03" + envelope[35:]],
    "reflected": lambda envelope: [envelope[:33] + b"\x01\x02" + envelope[35:]],
}


@pytest.mark.parametrize("wrong", CARRIER)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_carrier_that_wrongs_a_signature_gets_an_abort_that_blames_nobody(
    bench: Bench, number: int, wrong: str
) -> None:
    finished, aborts = relay(bench.sign(), once(number, CARRIER[wrong]))
    bench.judge(finished, list(aborts), "sign")
    assert [culprit for _, _, culprit in aborts] == [None] * len(aborts)
    assert any(party == 1 for party, _, _ in aborts)


@pytest.mark.parametrize(
    ("number", "wrong"),
    # The later rounds cost seconds: one wrong each.
    [(1, "dropped"), (1, "other round"), (1, "reflected"), (2, "dropped"), *((n, "flipped") for n in (1, 2, 3, 4))],
)
def test_a_carrier_that_wrongs_generation_leaves_no_key_half_made(bench: Bench, number: int, wrong: str) -> None:
    finished, aborts = relay(bench.generate(SIGNERS), once(number, CARRIER[wrong]))
    bench.judge(finished, list(aborts), "generate")
    assert any(party == 1 for party, _, _ in aborts)


def test_envelopes_of_another_attempt_or_path_do_not_open(bench: Bench) -> None:
    recorded: dict[tuple[int, int, int], bytes] = {}

    def record(round_: int, sender: int, to: int, envelope: bytes) -> list[bytes]:
        recorded[round_, sender, to] = envelope
        return [envelope]

    def replay(round_: int, sender: int, to: int, envelope: bytes) -> list[bytes]:
        return [recorded[round_, sender, to]] if sender == 2 else [envelope]

    finished, _ = relay(bench.sign(), record)
    assert len(finished) == 2
    finished, aborts = relay(bench.sign(), replay)
    assert not finished
    assert aborts[0][2] is None
    mixed = {1: bench.sign(attempt=b"a" * 16)[1], 2: bench.sign(attempt=b"a" * 16, path="m/1")[2]}
    assert not relay(mixed, honest)[0]


def test_rounds_in_another_order_abort(bench: Bench) -> None:
    late: list[bytes] = []

    def reorder(round_: int, sender: int, to: int, envelope: bytes) -> list[bytes]:
        if sender == 2 and round_ < 3:
            late.append(envelope)
            return late[:1] if round_ == 2 else []
        return [envelope]

    assert not relay(bench.sign(), reorder)[0]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_lying_signer_never_makes_a_wrong_signature_nor_blames_the_honest(bench: Bench, number: int) -> None:
    """Bits flipped all over each message: 60 a round, drawn from a printed seed."""
    seed = random.randrange(1 << 32)
    print("seed", seed)
    draw = random.Random(seed)
    liar = Liar(bench.homes[2])
    for _ in range(60):

        def change(envelope: bytes) -> list[bytes]:
            return [liar.change(envelope, draw.randrange(len(liar.open(envelope))))]

        finished, aborts = relay(bench.sign(), once(number, change))
        bench.judge(finished, list(aborts), "sign")
        assert {culprit for party, _, culprit in aborts if party == 1} <= {None, 2}
        assert {culprit for party, _, culprit in aborts if party == 2} <= {None}


@pytest.mark.parametrize("kind", ["generate", "refresh"])
@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_lying_dealer_never_makes_shares_that_disagree(bench: Bench, kind: str, number: int) -> None:
    liar = Liar(bench.homes[2])
    finished, aborts = relay(getattr(bench, kind)(), once(number, lambda envelope: [liar.change(envelope, -3)]))
    bench.judge(finished, list(aborts), kind)
    assert any(party == 1 for party, _, _ in aborts)


def test_a_broadcast_that_differs_by_recipient_is_found_out(bench: Bench) -> None:
    """Party 2 tells party 1 another commitment than party 3: their echoes differ in the next round."""
    liar = Liar(bench.homes[2])
    finished, aborts = relay(bench.refresh(), once(2, lambda envelope: [liar.change(envelope, 40)]))
    assert not finished
    assert any("other broadcasts" in reason for _, reason, _ in aborts)


class Lying(LocalParty):
    """Party 2 with a wrong bit in what it sends in the second round of a signature."""

    at = -3

    async def ask(self, method: str, fields: object = None) -> dict[str, object]:
        answer = await super().ask(method, fields)  # type: ignore[arg-type]
        if method == "step" and "outbound" in answer:
            liar = Liar(self.home)
            answer["outbound"] = [
                [to, base64.b64encode(liar.change(base64.b64decode(sealed), self.at)).decode()]
                for to, sealed in answer["outbound"]
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
