"""The sign-once journal: what each key has signed for each nonce, durable before a signature leaves the process.

One SQLite file of its own, owned by one signer process. For a (key, chain, nonce) the first digest wins. The same
digest again is allowed (signing is deterministic, the bytes are the same); another digest only when it replaces the
first with the same recipient, value and data at strictly higher fees, or (also at higher fees) only uses the nonce up
(`is_cancel_form`). Rows are never changed. An EIP-7702 authorization uses up a nonce of its account like a transaction,
shares its row, and is never made anew.

Devices and parties choose their own nonces and sign the same digest differently each time. Their first answer is kept,
and given again, so that whoever asks twice still gets one transaction hash.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Self

from capstan_native import keccak256 as keccak

from domain import Address, InputError, Refused
from wallets import freezing, restored, rlp
from wallets.freezing import Freezing, SignerFreeze, check_words
from wallets.group_commit import GroupCommitter, Run
from wallets.guard import Spent
from wallets.payloads import AuthorizationToSign, TransactionToSign
from wallets.transactions import is_cancel_form, parse, recover, signing_digest

_SCHEMA = """
CREATE TABLE signed (
    sequence INTEGER PRIMARY KEY,
    key TEXT NOT NULL, chain_id INTEGER NOT NULL, nonce TEXT NOT NULL,
    digest BLOB NOT NULL,
    effect BLOB NOT NULL,          -- hash over recipient, value and data: what a replacement must keep
    fee_ceiling TEXT NOT NULL, tip_ceiling TEXT NOT NULL,
    time_ns INTEGER NOT NULL,
    UNIQUE (key, chain_id, nonce, digest)
);
CREATE TABLE spent (
    key TEXT NOT NULL, chain_id INTEGER NOT NULL, nonce TEXT NOT NULL,
    asset TEXT NOT NULL, raw TEXT NOT NULL, time_ns INTEGER NOT NULL,
    PRIMARY KEY (key, chain_id, nonce, asset)
);
CREATE INDEX spent_by_time ON spent (key, asset, time_ns);
CREATE TRIGGER signed_no_update BEFORE UPDATE ON signed BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER signed_no_delete BEFORE DELETE ON signed BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER spent_no_update BEFORE UPDATE ON spent BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER spent_no_delete BEFORE DELETE ON spent BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
PRAGMA user_version = 1;
"""
_SECOND = """
CREATE TABLE answered (key TEXT NOT NULL, digest BLOB NOT NULL, raw BLOB NOT NULL, PRIMARY KEY (key, digest));
CREATE TRIGGER answered_no_update BEFORE UPDATE ON answered
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER answered_no_delete BEFORE DELETE ON answered
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
PRAGMA user_version = 2;
"""

_INSERT = (
    "INSERT INTO signed (key, chain_id, nonce, digest, effect, fee_ceiling, tip_ceiling, time_ns)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)

Journalled = TransactionToSign | AuthorizationToSign
"""What uses up a nonce."""
Judge = Callable[[Spent], Mapping[str, int]]
"""The guard, bound to one payload: told what was spent, returns what this one spends, or raises `Refused`."""


class SigningJournal:
    """Opens (and creates) the journal file. Thread-safe; close it, or use it as a context manager.

    Args:
        path: The file.
        now_ns: The time.
        operators: Whose signatures lift freezes; see `wallets.freezing`.

    Raises:
        InputError: The file is no journal, or of a newer release.
    """

    def __init__(self, path: Path, *, now_ns: Callable[[], int], operators: Mapping[str, str] | None = None) -> None:
        self._now_ns = now_ns
        self._freezing = Freezing(operators)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
            path.chmod(0o600)
            connection.execute("PRAGMA journal_mode=WAL")
            # FULL: a signature may leave the process right after the commit, so the row must survive a power cut.
            connection.execute("PRAGMA synchronous=FULL")
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, 1, 2, 3, 4):
                raise InputError(f"{path} is a journal of version {version}, this release reads up to version 4")
            for step in (_SCHEMA, _SECOND, restored.SCHEMA, freezing.SCHEMA)[version:]:
                connection.executescript("BEGIN IMMEDIATE;" + step + "COMMIT;")
        except sqlite3.Error as exc:
            raise InputError(f"{path} is not a signing journal: {exc}") from exc
        self._writer = GroupCommitter(connection)

    def record(self, key: Address, payload: Journalled, judge: Judge) -> None:
        """Allow a transaction or an authorization to be signed, and remember it for ever; waits until that is durable.

        Raises:
            Refused: Frozen (`signer-frozen`), the nonce is taken by another transaction (`sign-once`), a replacement
                does not pay more (`replacement-fee`), or the judge refused.
            VenueUnavailable: The journal cannot be written; nothing may be signed.
        """
        self.begin_record(key, payload, judge).result()

    def begin_record(self, key: Address, payload: Journalled, judge: Judge) -> Future[None]:
        """Do as `record`, telling through a future, so that many callers share one sync of the disk.

        The judge is called on the journal's own thread.
        """
        digest, effect, fee, tip = _digest(payload), _effect(payload), _fee(payload), _tip(payload)
        place = (key, payload.chain_id, str(payload.nonce))
        is_cancel = isinstance(payload, TransactionToSign) and is_cancel_form(key, payload)

        def work(run: Run) -> None:
            self._freezing.check(run)
            earlier = run(
                "SELECT digest, effect, fee_ceiling, tip_ceiling FROM signed"
                " WHERE key = ? AND chain_id = ? AND nonce = ?",
                place,
            ).fetchall()
            if any(row[0] == digest for row in earlier):
                return
            restored.check_floor(run, key, payload, is_nonce_known=bool(earlier))
            for _, effect_before, fee_before, tip_before in earlier:
                _check_replacement(
                    payload, is_cancel or effect == effect_before, fee > int(fee_before) and tip > int(tip_before)
                )
            now = self._now_ns()
            for asset, raw in judge(
                lambda asset, window_s: self._spent(run, place, asset, now - window_s * 10**9)
            ).items():
                # A replacement spends what was counted when its nonce was first signed.
                run("INSERT OR IGNORE INTO spent VALUES (?, ?, ?, ?, ?, ?)", (*place, asset, str(raw), now))
            run(
                _INSERT,
                (*place, digest, effect, str(fee), str(tip), now),
            )

        return self._writer.submit(work)

    def reconcile(
        self, key: Address, chain_id: int, *, chain_nonce: int, in_flight: Sequence[bytes], margin: int
    ) -> int:
        """Open a restored journal for a key on a chain; see `wallets.restored`. Gives the floor.

        Args:
            key: The account.
            chain_id: The chain that was asked.
            chain_nonce: The account's count there, transactions that wait in the pool included.
            in_flight: Raw transactions of the account, mined or waiting, that the journal may not know.
            margin: How many nonces beyond what the chain has seen are taken as signed, and have to be voided.

        Raises:
            InputError: A transaction is not this key's, or of another chain.
            Refused: Rule `sign-once`: the journal knows another transaction under its nonce: two were signed.
        """
        seen = [_signed_by(key, chain_id, raw) for raw in in_flight]

        def work(run: Run) -> int:
            for tx in seen:
                _take_over(run, key, tx, self._now_ns())
            return restored.set_floor(run, key, chain_id, chain_nonce=chain_nonce, margin=margin, now_ns=self._now_ns())

        return self._writer.submit(work).result()

    def keys(self) -> Sequence[tuple[Address, int]]:
        """Every key and chain something was signed for."""
        return self._writer.submit(restored.keys_of).result()

    def begin_answer_of(self, key: Address, payload: Journalled) -> Future[bytes | None]:
        """Find what was kept for a payload: a transaction's raw bytes, an authorization's signature."""
        place = (key, _digest(payload))

        def work(run: Run) -> bytes | None:
            row = run("SELECT raw FROM answered WHERE key = ? AND digest = ?", place).fetchone()
            return None if row is None else bytes(row[0])

        return self._writer.submit(work)

    def begin_keep(self, key: Address, payload: Journalled, raw: bytes) -> Future[bytes]:
        """Keep what a signature made of a payload; gives what was kept first, which is what to hand out."""
        place = (key, _digest(payload))

        def work(run: Run) -> bytes:
            run("INSERT OR IGNORE INTO answered VALUES (?, ?, ?)", (*place, raw))
            return bytes(run("SELECT raw FROM answered WHERE key = ? AND digest = ?", place).fetchone()[0])

        return self._writer.submit(work)

    def begin_check(self) -> Future[None]:
        """Let a signature that uses up no nonce pass, unless a freeze stands (`Refused`, `signer-frozen`)."""
        return self._writer.submit(self._freezing.check)

    def begin_freeze(self, source: str, reason: str) -> Future[SignerFreeze]:
        """Sign nothing from here on; the future ends when that is durable."""
        check_words(source, reason)
        return self._writer.submit(lambda run: self._freezing.impose(run, source, reason, self._now_ns()))

    def freezes(self) -> list[SignerFreeze]:
        """The freezes that stand, oldest first."""
        return self._writer.submit(self._freezing.standing).result()

    def lift(self, number: int, *, operator: str, reason: str, signature: bytes = b"") -> None:
        """End a freeze: an operator's word, given beside the signer; see `wallets.freezing`.

        Raises:
            InputError: No such freeze stands, or a name or the reason is missing.
            Refused: Operators have keys, and this is not signed by theirs (rule `operator`).
        """
        self._writer.submit(
            lambda run: self._freezing.lift(run, number, operator, reason, signature, self._now_ns())
        ).result()

    def count(self) -> int:
        """How many distinct transactions were ever allowed."""
        return self._writer.submit(lambda run: int(run("SELECT COUNT(*) FROM signed").fetchone()[0])).result()

    def close(self) -> None:
        """Write what was asked for, then close the file."""
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @staticmethod
    def _spent(run: Run, place: tuple[Address, int, str], asset: str, since_ns: int) -> int:
        rows = run(
            "SELECT raw FROM spent WHERE key = ? AND asset = ? AND time_ns > ? AND NOT (chain_id = ? AND nonce = ?)",
            (place[0], asset, max(since_ns, -1), place[1], place[2]),
        )
        return sum(int(raw) for (raw,) in rows)


def _signed_by(key: Address, chain_id: int, raw: bytes) -> TransactionToSign:
    tx, signature = parse(raw)
    if tx.chain_id != chain_id or recover(signing_digest(tx), signature) != key:
        raise InputError(f"a transaction under nonce {tx.nonce} is not one of {key} on chain {chain_id}")
    return tx


def _take_over(run: Run, key: Address, tx: TransactionToSign, now_ns: int) -> None:
    """Remember what was signed, as if it had been asked for here."""
    place, digest, effect = (key, tx.chain_id, str(tx.nonce)), signing_digest(tx), _effect(tx)
    earlier = run("SELECT digest, effect FROM signed WHERE key = ? AND chain_id = ? AND nonce = ?", place).fetchall()
    if any(row[0] == digest for row in earlier):
        return
    if any(row[1] != effect for row in earlier):
        raise Refused(
            f"nonce {tx.nonce} of {key} on chain {tx.chain_id}: the chain has another transaction than the journal",
            rule="sign-once",
            hint="two were signed: the key was used elsewhere; do not use it before that is understood",
        )
    run(_INSERT, (*place, digest, effect, str(_fee(tx)), str(_tip(tx)), now_ns))


def _digest(payload: Journalled) -> bytes:
    return payload.digest() if isinstance(payload, AuthorizationToSign) else signing_digest(payload)


def _effect(payload: Journalled) -> bytes:
    """Hash what the payload does, leaving out what it pays for being mined."""
    if isinstance(payload, AuthorizationToSign):
        return keccak(b"\x05" + payload.digest())
    effect = keccak(bytes.fromhex(payload.to[2:]) + payload.value_wei.to_bytes(32, "big") + payload.data)
    if not payload.authorizations:
        return effect
    # 65 bytes and the 33 above are hashed for nothing else: without lists it is 52 bytes that begin with an address.
    return keccak(b"\x04" + effect + keccak(rlp.encode([signed.items() for signed in payload.authorizations])))


def _fee(payload: Journalled) -> int:
    return 0 if isinstance(payload, AuthorizationToSign) else payload.fee_ceiling_per_gas_wei


def _tip(payload: Journalled) -> int:
    return 0 if isinstance(payload, AuthorizationToSign) else payload.tip_ceiling_per_gas_wei


def _check_replacement(payload: Journalled, is_allowed: bool, pays_more: bool) -> None:
    where = f"nonce {payload.nonce} on chain {payload.chain_id}"
    if not is_allowed:
        raise Refused(f"{where} was already signed with another recipient, value, data or delegation", rule="sign-once")
    if not pays_more:
        raise Refused(f"{where} was already signed; a replacement must raise both fees", rule="replacement-fee")
