"""A frozen signer signs nothing: not a transaction, not a message, not what it signed before.

Freezes are rows of the signing journal, so a restart, a crash or a power cut keeps them, and they are looked at in the
transaction that allows a signature. Any process that may speak to the signer may freeze it. None may lift a freeze by
speaking to it: there is no such request. An operator does it on the signer's side, with the journal's file at hand, and
with a signature where the signer knows operators' keys; a lift that does not verify counts for nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from domain import InputError, Refused
from wallets.group_commit import Run

SCHEMA: Final = """
CREATE TABLE freezes (
    sequence INTEGER PRIMARY KEY, source TEXT NOT NULL, reason TEXT NOT NULL, time_ns INTEGER NOT NULL
);
CREATE TABLE lifts (
    freeze_sequence INTEGER NOT NULL REFERENCES freezes (sequence), operator TEXT NOT NULL, reason TEXT NOT NULL,
    signature BLOB NOT NULL, time_ns INTEGER NOT NULL,
    PRIMARY KEY (freeze_sequence, operator, signature)
);
CREATE TRIGGER freezes_no_update BEFORE UPDATE ON freezes
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER freezes_no_delete BEFORE DELETE ON freezes
    BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER lifts_no_update BEFORE UPDATE ON lifts BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER lifts_no_delete BEFORE DELETE ON lifts BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
PRAGMA user_version = 4;
"""

RULE: Final = "signer-frozen"
_NAME: Final = re.compile(r"[A-Za-z0-9:._@\-]{1,80}")
_REASON_MAX: Final = 400


@dataclass(frozen=True, slots=True)
class SignerFreeze:
    """A freeze that stands."""

    number: int
    source: str
    reason: str
    time_ns: int


class Freezing:
    """Reads and writes the freezes of one journal, inside its transactions.

    Args:
        operators: Ed25519 public keys in hex, by name. When there are any, only these people lift, by signature.
    """

    def __init__(self, operators: Mapping[str, str] | None = None) -> None:
        self._operators = dict(operators or {})
        # Lifts are never taken back: what was found lifted once needs no second look.
        self._lifted: set[int] = set()

    def standing(self, run: Run) -> list[SignerFreeze]:
        """Give the freezes that stand, oldest first."""
        rows = run("SELECT sequence, source, reason, time_ns FROM freezes ORDER BY sequence").fetchall()
        found = [SignerFreeze(*row) for row in rows if row[0] not in self._lifted]
        return [freeze for freeze in found if not self._is_lifted(run, freeze)]

    def check(self, run: Run) -> None:
        """Let a signature pass.

        Raises:
            Refused: Rule `signer-frozen`.
        """
        if found := self.standing(run):
            raise frozen(found[0])

    def impose(self, run: Run, source: str, reason: str, now_ns: int) -> SignerFreeze:
        """Freeze. One freeze of a source stands at a time."""
        for freeze in self.standing(run):
            if freeze.source == source:
                return freeze
        inserted = run("INSERT INTO freezes (source, reason, time_ns) VALUES (?, ?, ?)", (source, reason, now_ns))
        return SignerFreeze(int(inserted.lastrowid or 0), source, reason, now_ns)

    def lift(self, run: Run, number: int, operator: str, reason: str, signature: bytes, now_ns: int) -> None:
        """End a freeze.

        Raises:
            InputError: No such freeze stands, or a name or the reason is missing.
            Refused: Operators have keys, and this is not signed by theirs (rule `operator`).
        """
        check_words(operator, reason)
        freeze = next((freeze for freeze in self.standing(run) if freeze.number == number), None)
        if freeze is None:
            raise InputError(f"no freeze {number} of the signer stands")
        if not self._verifies(freeze, operator, reason, signature):
            raise Refused(f"{operator} did not sign for freeze {number} of the signer to end", rule="operator")
        run("INSERT INTO lifts VALUES (?, ?, ?, ?, ?)", (number, operator, reason, signature, now_ns))

    def _is_lifted(self, run: Run, freeze: SignerFreeze) -> bool:
        rows = run("SELECT operator, reason, signature FROM lifts WHERE freeze_sequence = ?", (freeze.number,))
        if any(self._verifies(freeze, *row) for row in rows.fetchall()):
            self._lifted.add(freeze.number)
            return True
        return False

    def _verifies(self, freeze: SignerFreeze, operator: str, reason: str, signature: bytes) -> bool:
        if not self._operators:
            return True
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self._operators[operator]))
            public.verify(signature, _statement(freeze, operator, reason))
        except (KeyError, ValueError, InvalidSignature):
            return False
        return True


def check_words(source: str, reason: str) -> None:
    """Raise `InputError` unless these are a name and a reason."""
    if not _NAME.fullmatch(source) or not reason.strip() or len(reason) > _REASON_MAX:
        raise InputError(f"a freeze needs a name and a reason of at most {_REASON_MAX} characters")


def frozen(freeze: SignerFreeze) -> Refused:
    """Say that a freeze stands."""
    return Refused(
        f"the signer is frozen by {freeze.source}: {freeze.reason} (freeze {freeze.number})",
        rule=RULE,
        hint="an operator lifts it beside the signer: `capstan signer unfreeze`",
    )


def sign_lift(private_key: bytes, freeze: SignerFreeze, operator: str, reason: str) -> bytes:
    """Sign one's word that a freeze ends, with an Ed25519 key of 32 bytes.

    Raises:
        InputError: It is no such key.
    """
    try:
        return Ed25519PrivateKey.from_private_bytes(private_key).sign(_statement(freeze, operator, reason))
    except ValueError as exc:
        raise InputError("an operator's key is 32 bytes in hex") from exc


def _statement(freeze: SignerFreeze, operator: str, reason: str) -> bytes:
    # The time makes it this freeze's, not that of another journal with the same number.
    return f"capstan/signer-unfreeze/v1\n{freeze.number}\n{freeze.time_ns}\n{operator}\n{reason}".encode()
