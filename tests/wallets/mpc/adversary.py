"""Who may be wrong: a carrier that holds no key, and a party that holds its own and lies.

The liar seals what it likes with the envelope format written afresh here (Python's own X25519 and XChaCha20), which
makes these tests the second implementation of that format.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping

from capstan_native import MpcAbort, MpcSession
from Crypto.Cipher import ChaCha20_Poly1305
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wallets.mpc import PartyHome

HEADER, NONCE = 35, 24
Tamper = Callable[[int, int, int, bytes], list[bytes]]
"""Given round, sender, recipient and envelope: what the recipient gets instead."""


Aborts = list[tuple[int, str, int | None]]
"""Party, reason and culprit of each session that gave up."""


def relay(sessions: Mapping[int, MpcSession], tamper: Tamper) -> tuple[list[MpcSession], Aborts]:
    """Run sessions to their end; returns those that finished, and the aborts."""
    inboxes: dict[int, list[bytes]] = {party: [] for party in sessions}
    live, aborts, finished = dict(sessions), [], []
    for number in range(8):
        outboxes: dict[int, list[bytes]] = {party: [] for party in sessions}
        for party, session in list(live.items()):
            try:
                sent = session.step(inboxes[party])
            except MpcAbort as exc:
                aborts.append((party, *exc.args))
                del live[party]
                continue
            for to, envelope in sent:
                outboxes[to] += tamper(number + 1, party, to, envelope)
            if session.is_done:
                finished.append(session)
                del live[party]
        inboxes = outboxes
    return finished, aborts


class Liar:
    """A party that opens what it was about to send, changes it, and seals it again as itself."""

    def __init__(self, home: PartyHome) -> None:
        blob = bytes.fromhex(json.loads((home.root / "identity.json").read_text())["identity"])
        context = b"capstan-mpc/identity/1" + bytes([home.party])
        self._key = X25519PrivateKey.from_private_bytes(AESGCM(home.kek).decrypt(blob[:12], blob[12:], context))
        self._peers = home.committee.peers(home.party)
        self.party = home.party

    def open(self, envelope: bytes) -> bytes:
        cipher = self._cipher(envelope[:HEADER], envelope[HEADER : HEADER + NONCE])
        return cipher.decrypt_and_verify(envelope[HEADER + NONCE : -16], envelope[-16:])

    def seal(self, header: bytes, plain: bytes) -> bytes:
        nonce = os.urandom(NONCE)
        sealed, tag = self._cipher(header, nonce).encrypt_and_digest(plain)
        return header + nonce + sealed + tag

    def change(self, envelope: bytes, at: int) -> bytes:
        """Flip one bit of a message, `at` counted from its end when negative."""
        plain = bytearray(self.open(envelope))
        plain[at] ^= 1
        return self.seal(envelope[:HEADER], bytes(plain))

    def _cipher(self, header: bytes, nonce: bytes) -> ChaCha20_Poly1305.ChaCha20Poly1305Cipher:
        shared = self._key.exchange(X25519PublicKey.from_public_bytes(self._peers[header[34]]))
        tag = b"capstan-mpc/envelope/1"
        hasher = hashlib.sha256(bytes([len(tag)]) + tag)
        for field in (shared, header[:32], header[33:35]):
            hasher.update(len(field).to_bytes(8, "big") + field)
        cipher = ChaCha20_Poly1305.new(key=hasher.digest(), nonce=nonce)
        cipher.update(header)
        return cipher
