"""Passwords: argon2id, on threads of which only a few run at once, and no answer tells whether a person exists."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from typing import Final, TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher

from api.core.errors import TooManyRequests
from domain import InputError

T = TypeVar("T")

LENGTH_MIN: Final = 12
LENGTH_MAX: Final = 128
_AT_ONCE: Final = 2
_WAITING_MAX: Final = 32
_DIFFERENT_MIN: Final = 5


class Passwords:
    """Hashes and checks. One call takes a quarter of a second of a core and 64 MiB: at most two run, few wait."""

    def __init__(self, memory_kib: int) -> None:
        self._hasher = PasswordHash([Argon2Hasher(time_cost=3, memory_cost=memory_kib, parallelism=1)])
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._nobody: str | None = None

    def hash_now(self, password: str) -> str:
        """Hash on this thread: for commands, not for a server."""
        return self._hasher.hash(_normal(password))

    async def hash(self, password: str) -> str:
        return await self._in_turn(self.hash_now, password)

    async def check(self, password: str, stored: str | None) -> bool:
        """Whether it is the one whose hash is stored; without one the answer is no, and takes as long."""
        if self._nobody is None:
            self._nobody = await self.hash(secrets.token_urlsafe(16))
        is_right = await self._in_turn(self._verify, password, stored or self._nobody)
        return is_right and stored is not None

    def _verify(self, password: str, stored: str) -> bool:
        if len(password) > LENGTH_MAX:
            return False
        try:
            return self._hasher.verify(_normal(password), stored)
        except PwdlibError:
            return False

    async def _in_turn(self, work: Callable[..., T], *arguments: str) -> T:
        if self._waiting >= _WAITING_MAX:
            raise TooManyRequests("too many logins at once", headers={"retry-after": "5"})
        self._waiting += 1
        try:
            async with self._turns:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1


def check_new(password: str, *, email: str) -> None:
    """Refuse a password that is guessed first.

    Raises:
        InputError: Too short, too long, of few different characters, or the person's own address.
    """
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise InputError(f"a password has {LENGTH_MIN} to {LENGTH_MAX} characters")
    if len(set(password)) < _DIFFERENT_MIN or email.partition("@")[0].lower() in password.lower():
        raise InputError("this password is guessed first", hint="a few random words do well")


def _normal(password: str) -> str:
    # The same characters from two keyboards are the same password (RFC 8265, §4).
    return unicodedata.normalize("NFC", password)
