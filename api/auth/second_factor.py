"""The second proof after a password: a code of an authenticator app, or one of ten written down for its loss.

Who guesses is locked out for longer each time: five wrong codes in a row cost a minute, each further one twice as much,
up to a day. Only somebody who already has the password (or a session) gets so far as to lock a person out.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import Any, Final

import structlog
from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.auth.sealing import Seal
from api.auth.tables import PasskeyRow, RecoveryCodeRow, TotpRow, UserRow
from api.auth.totp import SEED_BYTES, step_of

log = structlog.get_logger(__name__)

RECOVERY_CODES: Final = 10
SEED_NS: Final = 15 * 60 * 10**9
"""So long may the first code of a seed take."""
_FREE_FAILURES: Final = 5
_MINUTE_NS: Final = 60 * 10**9
_LOCK_NS_MAX: Final = 24 * 3_600 * 10**9
_RECOVERY: Final = re.compile(r"[a-z2-7]{4}(-[a-z2-7]{4}){3}")


@dataclass(frozen=True, slots=True)
class Factors:
    """What a person has besides a password."""

    has_totp: bool
    passkeys: int

    @property
    def any(self) -> bool:
        return self.has_totp or self.passkeys > 0


def factors_of(session: Session, user: str) -> Factors:
    totp = session.get(TotpRow, user)
    passkeys = len(session.exec(select(PasskeyRow.id).where(PasskeyRow.user == user)).all())
    return Factors(totp is not None and totp.confirmed_ns is not None, passkeys)


def is_locked(user: UserRow, now_ns: int) -> bool:
    return user.locked_until_ns > now_ns


def take_code(session: Session, seal: Seal, user: UserRow, code: str, now_ns: int) -> str | None:
    """Use a code in a transaction of the caller's, which must commit whatever comes of it.

    Returns:
        How it proved the person (RFC 8176: `otp`, or `recovery`), or None: wrong, used before, or locked out.
    """
    if is_locked(user, now_ns):
        return None
    method = _take_recovery(session, user.id, code) if _RECOVERY.fullmatch(code) else None
    if method is None:
        method = _take_totp(session, seal, user.id, code, now_ns)
    if method is not None:
        user.failures = user.locked_until_ns = 0
        return method
    user.failures += 1
    over = user.failures - _FREE_FAILURES
    if over >= 0:
        user.locked_until_ns = now_ns + min(_MINUTE_NS << min(over, 20), _LOCK_NS_MAX)
        log.warning("auth.locked", user=user.id, failures=user.failures)
    return None


def new_seed(session: Session, seal: Seal, user: str, now_ns: int, *, is_in_force: bool = False) -> bytes:
    """Make a seed. Unless it is handed to the person at a console, it is not in force before a code of it was shown."""
    seed = secrets.token_bytes(SEED_BYTES)
    row = session.get(TotpRow, user) or TotpRow(user=user, seed="", last_step=0, created_ns=now_ns)
    row.seed, row.last_step, row.created_ns = seal.seal(seed, f"totp/{user}"), 0, now_ns
    row.confirmed_ns = now_ns if is_in_force else None
    session.add(row)
    return seed


def confirm_seed(session: Session, seal: Seal, user: str, code: str, now_ns: int) -> bool:
    """Put a new seed in force with the first code of it, while it is new: nobody guesses codes of a forgotten one."""
    row = session.get(TotpRow, user)
    if row is None or row.confirmed_ns is not None or now_ns - row.created_ns > SEED_NS:
        return False
    step = step_of(code, seal.open(row.seed, f"totp/{user}"), now_ns // 10**9, row.last_step)
    if step is None:
        return False
    row.last_step, row.confirmed_ns = step, now_ns
    return True


def new_recovery_codes(session: Session, user: str) -> list[str]:
    """Make ten codes in the place of those before; only their hashes are kept."""
    session.execute(delete(RecoveryCodeRow).where(col(RecoveryCodeRow.user) == user))
    codes = []
    for _ in range(RECOVERY_CODES):
        text = base64.b32encode(secrets.token_bytes(10)).decode().lower()
        codes.append("-".join(text[at : at + 4] for at in range(0, 16, 4)))
    session.add_all([RecoveryCodeRow(user=user, digest=_digest(user, code)) for code in codes])
    return codes


def _take_totp(session: Session, seal: Seal, user: str, code: str, now_ns: int) -> str | None:
    row = session.get(TotpRow, user, with_for_update=True)
    if row is None or row.confirmed_ns is None:
        return None
    step = step_of(code, seal.open(row.seed, f"totp/{user}"), now_ns // 10**9, row.last_step)
    if step is None:
        return None
    row.last_step = step
    return "otp"


def _take_recovery(session: Session, user: str, code: str) -> str | None:
    gone: Any = session.execute(
        delete(RecoveryCodeRow).where(
            col(RecoveryCodeRow.user) == user, col(RecoveryCodeRow.digest) == _digest(user, code)
        )
    )
    return "recovery" if gone.rowcount == 1 else None


def _digest(user: str, code: str) -> str:
    return hashlib.sha256(f"{user}\n{code}".encode()).hexdigest()
