"""One party: its share, its judgement, its journal. What it is asked, it checks for itself from the payload's bytes.

Before the first message of a signature leaves, the payload was parsed here, this party's guard allowed it and the
sign-once journal holds it. The session's id is a hash over wallet, epoch, path, digest, signers and attempt, computed
by each party from what *it* was shown: a coordinator that shows two parties different things has them speak in
different sessions, and nothing opens. A finished signature is stored before it is told, so that asking again gives
the same bytes.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from capstan_native import MpcAbort, MpcSession, MpcShare

from domain import Address, InputError, InvariantError, PlatformError, Refused, VenueUnavailable
from wallets.guard import Guard, Spent
from wallets.journal import SigningJournal
from wallets.mpc import keys, requests
from wallets.mpc.committee import PartyHome
from wallets.mpc.presignatures import Bound, Presignatures
from wallets.mpc.requests import SignRequest, read_envelopes, write_envelopes
from wallets.mpc.store import PartyStore, StoredShare
from wallets.payloads import AuthorizationToSign, MessageToSign, StatementToSign, TransactionToSign
from wallets.signer import check_network
from wallets.wire import error_message

log = structlog.get_logger(__name__)

_SESSIONS_MAX: Final = 64
_SESSION_NS: Final = 60 * 10**9


@dataclass(slots=True)
class _Run:
    """A session under way, and what to do with its result."""

    session: MpcSession
    peers: frozenset[int]
    finish: Callable[[], dict[str, Any]]
    subject: tuple[Address, bytes] | None = None
    began_ns: int = field(default_factory=time.monotonic_ns)


class Cosigner:
    """Answers the coordinator for one party.

    Args:
        home: The party's folder, opened.
        store: Shares, sessions, signatures and bans; owned by this party alone.
        journal: What this party ever helped to sign; owned by this party alone.
        guard: Judges every payload; see `wallets.guard`.
    """

    def __init__(self, home: PartyHome, *, store: PartyStore, journal: SigningJournal, guard: Guard) -> None:
        self._home = home
        self._store = store
        self._journal = journal
        self._guard = guard
        self._turn = threading.Lock()
        self._runs: dict[bytes, _Run] = {}
        self._shares: dict[tuple[str, int], MpcShare] = {}
        self._presignatures = Presignatures()

    async def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out one request; errors of the tree become an `error` answer."""
        method = str(request.get("method"))[:40]
        try:
            handler = _METHODS.get(method)
            if handler is None:
                raise InputError(f"unknown method {method!r}")
            # On a thread: the journal syncs to the disk, and the mathematics releases the interpreter lock.
            return {"result": await asyncio.to_thread(handler, self, request)}
        except PlatformError as exc:
            rule = exc.rule if isinstance(exc, Refused) else ""
            log.warning(
                "cosigner.declined",
                party=self._home.party,
                method=method,
                kind=type(exc).__name__,
                rule=rule,
                reason=str(exc),
            )
            return error_message(exc)

    def status(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """List wallets with their epochs, and who is banned here."""
        shares = [
            {
                "wallet": share.wallet,
                "key_kind": share.kind,
                "epoch": share.epoch,
                "address": share.address,
                "is_active": share.is_active,
            }
            for share in self._store.shares()
        ]
        return {"party": self._home.party, "shares": shares, "banned": sorted(self._store.banned())}

    def generate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Begin the generation of a new wallet's key; all parties take part."""
        wallet = requests.text(request, "wallet")
        if any(share.wallet == wallet and share.is_active for share in self._store.shares()):
            raise Refused(f"wallet {wallet} exists", rule="wallet-exists")
        committee, party = self._home.committee, self._home.party
        peers = committee.peers(party)
        self._refuse_banned(peers)
        session = _made(
            lambda: MpcSession.generate(
                self._home.identity,
                party,
                peers,
                wallet,
                committee.threshold,
                requests.attempt(request),
                requests.kind(request),
            )
        )
        return self._begin(session, peers, lambda: self._keep(session.take_share()))

    def refresh(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Begin the step to the next epoch; all parties take part."""
        share = self._share(requests.text(request, "wallet"), requests.number(request, "epoch"))
        peers = self._home.committee.peers(self._home.party)
        self._refuse_banned(peers)
        session = _made(lambda: MpcSession.refresh(self._home.identity, share, peers, requests.attempt(request)))
        return self._begin(session, peers, lambda: self._keep(session.take_share()))

    def recover(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Begin to rebuild the share of a party that has lost it; t others help.

        Helpers seal their terms to the envelope key pinned for the target: nobody else can take the share.
        """
        wallet, epoch = requests.text(request, "wallet"), requests.number(request, "epoch")
        target, helpers, home = requests.number(request, "target"), requests.signers(request, "helpers"), self._home
        if target in helpers or home.party not in (*helpers, target):
            raise InputError("a recovery has helpers, and a target that is none of them")
        share = None
        if home.party != target:
            share = self._share(wallet, epoch)
        elif any(stored.wallet == wallet and stored.is_active for stored in self._store.shares()):
            raise Refused(f"party {target} has its share of wallet {wallet}", rule="wallet-exists")
        peers = home.committee.peers(home.party, (*helpers, target))
        self._refuse_banned(peers)
        attempt, kind = requests.attempt(request), requests.kind(request)
        session = _made(
            lambda: MpcSession.repair(home.identity, home.party, share, peers, wallet, epoch, target, attempt, kind)
        )
        return self._begin(session, peers, lambda: self._keep(session.take_share()) if share is None else {})

    def activate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Begin to prove an epoch with t - 1 others, and destroy all epochs before it.

        The proof is a signature over a sentence that moves nothing. Before this party has seen that t shares of the
        new epoch fit together, it destroys none of the old: a coordinator that mixes runs cannot lose the key.
        """
        wallet, epoch = requests.text(request, "wallet"), requests.number(request, "epoch")
        share = self._share(wallet, epoch)
        sentence = keys.epoch_sentence(share.kind, wallet, epoch)
        address, peers, attempt = keys.name_of(share, "m"), self._peers(request), requests.attempt(request)
        session = _made(lambda: keys.begin_signature(self._home.identity, share, peers, "m", sentence, attempt))

        def finish() -> dict[str, Any]:
            keys.check_signature(address, sentence, session.take_signature())
            self._store.activate(wallet, epoch)
            self._presignatures.purge(wallet, epoch)
            for place in [place for place in self._shares if place[0] == wallet and place[1] < epoch]:
                del self._shares[place]
            return {}

        return self._begin(session, peers, finish)

    def sign(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a signature, or give the one that this payload has already."""
        wanted = SignRequest.from_wire(request)
        home = self._home
        share, address = self._admit(wanted)
        peers, payload = self._peers(request), wanted.payload
        digest = keys.digest_of(payload)
        if known := self._store.signature(address, digest):
            return {"signature": known.hex()}
        if wanted.presignature is not None:
            session = self._use_up(wanted.presignature, wanted, peers, digest)
        else:
            session = _made(
                lambda: keys.begin_signature(home.identity, share, peers, wanted.path, payload, wanted.attempt)
            )
        return self._begin(
            session,
            peers,
            lambda: self._release(address, payload, session.take_signature()),
            (address, digest),
            # Its session is named by a presignature that is gone from this memory, and was never anywhere else.
            is_unrepeatable=wanted.presignature is not None,
        )

    def presign(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Begin a presignature: all of a signature but its last exchange, for a payload that nobody knows yet.

        Nothing is signed, so nothing is judged. The answer names it; every signer has it under the same name.
        """
        share = self._share(requests.text(request, "wallet"), requests.number(request, "epoch"))
        path, peers, home = requests.text(request, "path"), self._peers(request), self._home
        keys.name_of(share, path)
        bound = Bound(share.wallet, share.epoch, path, requests.signers(request))
        attempt = requests.attempt(request)
        session = _made(lambda: MpcSession.presign(home.identity, share, peers, path, attempt))
        return self._begin(
            session,
            peers,
            lambda: {"presignature": self._presignatures.add(bound, session.take_presignature()).hex()},
        )

    def adopt(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Take over a signature that other parties have made, so that any t parties know of it.

        Judged like a request to sign: what this party would not have signed, it does not keep.
        """
        wanted = SignRequest.from_wire(request)
        _, address = self._admit(wanted)
        try:
            signature = bytes.fromhex(requests.text(request, "signature"))
        except ValueError as exc:
            raise InputError("signature must be hex") from exc
        return self._release(address, wanted.payload, signature)

    def step(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Take a round's envelopes."""
        try:
            session_id = bytes.fromhex(requests.text(request, "session"))
        except ValueError as exc:
            raise InputError("session must be hex") from exc
        run = self._runs.get(session_id)
        if run is None:
            raise VenueUnavailable("no such session here: it ended, or the party was restarted")
        envelopes = [envelope for _, envelope in read_envelopes(request.get("inbound"))]
        return self._advance(session_id, run, envelopes)

    def _use_up(
        self, presignature_id: bytes, wanted: SignRequest, peers: dict[int, bytes], digest: bytes
    ) -> MpcSession:
        """Sign with a presignature; it is gone whatever comes of it. The payload was admitted before."""
        home, bound = self._home, Bound(wanted.wallet, wanted.epoch, wanted.path, wanted.signers)
        made = self._presignatures.take(presignature_id, bound)
        return _made(lambda: MpcSession.sign_presigned(home.identity, made, home.party, peers, digest, wanted.attempt))

    def _admit(self, wanted: SignRequest) -> tuple[MpcShare, Address]:
        """Judge a payload, and journal it: after this the party may help to sign it, and nothing that conflicts."""
        share = self._share(wanted.wallet, wanted.epoch)
        address, payload, network = keys.name_of(share, wanted.path), wanted.payload, wanted.network
        keys.check_kind(share.kind, payload)
        evidence = wanted.evidence
        check_network(address, is_test_key=self._home.committee.is_test, network=network)
        if isinstance(payload, TransactionToSign):
            self._journal.record(
                address,
                payload,
                lambda spent: self._guard.check_transaction(
                    address, payload, network=network, spent=spent, evidence=evidence
                ),
            )
        elif isinstance(payload, AuthorizationToSign):

            def judge(_spent: Spent) -> Mapping[str, int]:
                self._guard.check_authorization(address, payload, network=network, evidence=evidence)
                return {}

            self._journal.record(address, payload, judge)
        elif isinstance(payload, StatementToSign):
            self._guard.check_statement(address, payload, network=network, evidence=evidence)
        elif isinstance(payload, MessageToSign):
            self._guard.check_message(address, payload, network=network, evidence=evidence)
        else:
            self._guard.check_typed_data(address, payload, network=network, evidence=evidence)
        return share, address

    def _begin(
        self,
        session: MpcSession,
        peers: Mapping[int, bytes],
        finish: Callable[[], dict[str, Any]],
        subject: tuple[Address, bytes] | None = None,
        *,
        is_unrepeatable: bool = False,
    ) -> dict[str, Any]:
        if not is_unrepeatable:
            self._store.begin_session(session.session_id)
        run = _Run(session, frozenset(peers), finish, subject)
        with self._turn:
            now = time.monotonic_ns()
            for key, other in list(self._runs.items()):
                # Of two attempts at one payload the later lives: they must not both end in a signature.
                if now - other.began_ns > _SESSION_NS or (subject is not None and other.subject == subject):
                    del self._runs[key]
            if len(self._runs) >= _SESSIONS_MAX:
                raise VenueUnavailable(f"{_SESSIONS_MAX} sessions are under way")
            self._runs[session.session_id] = run
        return self._advance(session.session_id, run, [])

    def _advance(self, session_id: bytes, run: _Run, inbound: list[bytes]) -> dict[str, Any]:
        try:
            # A peer may have been banned since the session began.
            self._refuse_banned(run.peers)
            outbound = run.session.step(inbound)
        except MpcAbort as exc:
            self._end(session_id)
            reason, culprit = exc.args
            if culprit is not None:
                self._store.ban(culprit, reason)
                log.error("cosigner.banned", party=self._home.party, culprit=culprit, reason=reason)
            raise VenueUnavailable(f"party {self._home.party} aborted: {reason}") from exc
        except PlatformError:
            self._end(session_id)
            raise
        if not run.session.is_done:
            return {"session": session_id.hex(), "outbound": write_envelopes(outbound)}
        if not self._end(session_id):
            raise VenueUnavailable("a later attempt has taken this one's place")
        return run.finish()

    def _end(self, session_id: bytes) -> bool:
        """Forget a session; tells whether it was still under way."""
        with self._turn:
            return self._runs.pop(session_id, None) is not None

    def _keep(self, share: MpcShare) -> dict[str, Any]:
        committee = self._home.committee
        if (share.threshold, share.parties) != (committee.threshold, len(committee.cards)):
            raise VenueUnavailable(f"the new share of wallet {share.wallet!r} is of another committee")
        address = keys.name_of(share, "m")
        blob = share.seal(self._home.kek)
        self._store.add_pending(StoredShare(share.wallet, share.epoch, address, False, blob, share.kind))
        # A pending share of an earlier try may be in memory under the same name.
        self._shares[share.wallet, share.epoch] = share
        return {"address": address, "epoch": share.epoch}

    def _release(self, address: Address, payload: requests.Payload, signature: bytes) -> dict[str, Any]:
        keys.check_signature(address, payload, signature)
        return {"signature": self._store.add_signature(address, keys.digest_of(payload), signature).hex()}

    def _share(self, wallet: str, epoch: int) -> MpcShare:
        # What is in memory is in the file: nobody else writes it, and `activate` forgets here what it deletes there.
        if (wallet, epoch) not in self._shares:
            stored = next((s for s in self._store.shares() if (s.wallet, s.epoch) == (wallet, epoch)), None)
            if stored is None:
                raise InputError(f"no share of wallet {wallet!r} in epoch {epoch} here")
            home = self._home
            try:
                self._shares[wallet, epoch] = MpcShare.open(
                    stored.blob, home.kek, wallet, home.party, epoch, stored.kind
                )
            except ValueError as exc:
                raise InvariantError(f"the share of wallet {wallet!r} in epoch {epoch} does not open: {exc}") from exc
        return self._shares[wallet, epoch]

    def _peers(self, request: Mapping[str, Any]) -> dict[int, bytes]:
        """Read the signers of a request; gives the envelope keys of the others."""
        home, signers = self._home, requests.signers(request)
        if home.party not in signers or len(signers) != home.committee.threshold:
            raise InputError(f"exactly {home.committee.threshold} parties sign, this one among them")
        peers = home.committee.peers(home.party, signers)
        self._refuse_banned(peers)
        return peers

    def _refuse_banned(self, peers: Mapping[int, bytes] | frozenset[int]) -> None:
        if cheats := self._store.banned() & set(peers):
            raise Refused(f"party {self._home.party} has banned party {min(cheats)}", rule="banned")


def _made(make: Callable[[], MpcSession]) -> MpcSession:
    try:
        return make()
    except ValueError as exc:
        raise InputError(str(exc)) from exc


_METHODS: Final[Mapping[str, Callable[[Cosigner, Mapping[str, Any]], dict[str, Any]]]] = {
    "status": Cosigner.status,
    "generate": Cosigner.generate,
    "refresh": Cosigner.refresh,
    "recover": Cosigner.recover,
    "activate": Cosigner.activate,
    "presign": Cosigner.presign,
    "sign": Cosigner.sign,
    "adopt": Cosigner.adopt,
    "step": Cosigner.step,
}
