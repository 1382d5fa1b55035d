"""Fresh sessions of the parties' own keys and shares, for every protocol of both kinds of keys."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from capstan_native import MpcPresignature, MpcSession, MpcShare
from coincurve import PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.wallets.mpc.adversary import relay
from tests.wallets.mpc.conftest import VOICE, WALLET, LocalParty

SIGNERS: Final = (1, 2)
EVERYONE: Final = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Protocol:
    """One protocol of one kind of key; `rounds` in which messages travel, `among` whom."""

    kind: str
    name: str
    rounds: int
    among: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.kind}-{self.name}"


PROTOCOLS: Final = (
    Protocol("secp256k1", "sign", 3, SIGNERS),
    Protocol("secp256k1", "generate", 4, EVERYONE),
    Protocol("secp256k1", "refresh", 4, EVERYONE),
    Protocol("secp256k1", "repair", 1, EVERYONE),
    Protocol("secp256k1", "presign", 3, SIGNERS),
    Protocol("secp256k1", "presigned", 1, SIGNERS),
    Protocol("ed25519", "sign", 2, SIGNERS),
    Protocol("ed25519", "generate", 3, EVERYONE),
    Protocol("ed25519", "refresh", 3, EVERYONE),
    Protocol("ed25519", "repair", 2, EVERYONE),
)
PRESIGN: Final = next(protocol for protocol in PROTOCOLS if protocol.name == "presign")
TARGET: Final = 1
"""Whose share a repair rebuilds."""


class Runs:
    """Begins runs of one kind of key."""

    def __init__(self, parties: list[LocalParty], kind: str) -> None:
        self.kind = kind
        self.homes = {party.party: party.home for party in parties}
        wallet = VOICE if kind == "ed25519" else WALLET
        self.shares = {
            party.party: MpcShare.open(stored.blob, party.home.kek, wallet, party.party, 1, kind)
            for party in parties
            for stored in party.store.shares()
            if stored.wallet == wallet
        }
        self._wallet = wallet
        self.public_key = self.shares[1].public_key("m")
        self.message = b""

    def begin(self, protocol: Protocol) -> dict[int, MpcSession]:
        """Make a session for everyone who takes part."""
        if protocol.name == "sign":
            return self.sign()
        if protocol.name == "presigned":
            return self.sign_with(self.presign())
        attempt = os.urandom(16)
        return {party: self._session(protocol, party, attempt) for party in protocol.among}

    def sign(
        self, *, path: str = "m", message: bytes | None = None, attempt: bytes | None = None
    ) -> dict[int, MpcSession]:
        """Make the sessions of a signature."""
        self.message, attempt = message or os.urandom(32), attempt or os.urandom(16)
        sessions = {}
        for party in SIGNERS:
            home, share = self.homes[party], self.shares[party]
            peers = home.committee.peers(party, SIGNERS)
            if self.kind == "ed25519":
                sessions[party] = MpcSession.sign_ed25519(home.identity, share, peers, self.message, attempt)
            else:
                sessions[party] = MpcSession.sign(home.identity, share, peers, path, self.message, attempt)
        return sessions

    def presign(self) -> dict[int, MpcPresignature]:
        """Make a presignature, honestly."""
        attempt = os.urandom(16)
        sessions = {party: self._session(PRESIGN, party, attempt) for party in SIGNERS}
        finished, _ = relay(sessions, lambda _round, _sender, _to, envelope: [envelope])
        assert len(finished) == len(SIGNERS)
        return {party: session.take_presignature() for party, session in sessions.items()}

    def sign_with(self, made: dict[int, MpcPresignature]) -> dict[int, MpcSession]:
        """Make the sessions of the signature that a presignature becomes."""
        self.message, attempt = os.urandom(32), os.urandom(16)
        return {
            party: MpcSession.sign_presigned(
                self.homes[party].identity,
                one,
                party,
                self.homes[party].committee.peers(party, SIGNERS),
                self.message,
                attempt,
            )
            for party, one in made.items()
        }

    def _session(self, protocol: Protocol, party: int, attempt: bytes) -> MpcSession:
        home, share = self.homes[party], self.shares[party]
        peers = home.committee.peers(party, protocol.among)
        if protocol.name == "generate":
            return MpcSession.generate(home.identity, party, peers, "new", 2, attempt, self.kind)
        if protocol.name == "refresh":
            return MpcSession.refresh(home.identity, share, peers, attempt)
        if protocol.name == "presign":
            return MpcSession.presign(home.identity, share, peers, "m", attempt)
        mine = None if party == TARGET else share
        return MpcSession.repair(home.identity, party, mine, peers, self._wallet, 1, TARGET, attempt, self.kind)

    def judge(self, protocol: Protocol, finished: Iterable[MpcSession]) -> None:
        """Whoever finished has the right result, and all the same."""
        if protocol.name == "presign":
            made = {party: session.take_presignature() for party, session in zip(SIGNERS, finished, strict=False)}
            assert len({one.presignature_id for one in made.values()}) <= 1
            if len(made) == len(SIGNERS):
                ended, _ = relay(self.sign_with(made), lambda _round, _sender, _to, envelope: [envelope])
                assert len(ended) == len(SIGNERS)
                self.check_signature(ended[0].take_signature())
            return
        if protocol.name in ("sign", "presigned"):
            signatures = {session.take_signature() for session in finished}
            assert len(signatures) <= 1
            for signature in signatures:
                self.check_signature(signature)
            return
        shares = [share for session in finished if (share := _share_of(session)) is not None]
        assert len({share.public_key("m") for share in shares}) <= 1
        if protocol.name != "generate":
            assert {share.public_key("m") for share in shares} <= {self.public_key}

    def check_signature(self, signature: bytes) -> None:
        if self.kind == "ed25519":
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, self.message)
            return
        public = PublicKey.from_signature_and_message(signature, self.message, hasher=None)
        assert public.format(compressed=False)[1:] == self.public_key
        assert int.from_bytes(signature[32:64], "big") < 1 << 255


def _share_of(session: MpcSession) -> MpcShare | None:
    try:
        return session.take_share()
    except ValueError:  # a helper of a repair has nothing to take
        return None
