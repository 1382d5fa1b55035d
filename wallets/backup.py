"""Backups in shares (SLIP-39): a secret split among groups, enough of whose members bring it back.

Two levels: of the groups, `group_threshold` are needed, and of each of those its own threshold of members. What is
split is a phrase's entropy (16 to 32 bytes) or a private key (32); a share does not tell which. The optional passphrase
encrypts the secret before it is split: with a wrong one another secret comes out, and no error, so compare the address.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from domain import InputError, InvariantError
from runtime import Secret

_GROUPS_MAX: Final = 16
_MEMBERS_MAX: Final = 16
_SHARE_LETTERS_MAX: Final = 600
_randomness = threading.Lock()


@dataclass(frozen=True, slots=True)
class ShareGroup:
    """How many members a group has, and how many of them are needed."""

    threshold: int
    members: int

    def __post_init__(self) -> None:
        if not 1 <= self.threshold <= self.members <= _MEMBERS_MAX:
            raise InputError(f"a group has 1 to {_MEMBERS_MAX} members, of whom 1 to all are needed")
        if self.threshold == 1 and self.members > 1:
            # SLIP-39: each of them would hold the same words. Make it several groups of one.
            raise InputError("a group of which one member is enough has one member")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `2of3`."""
        threshold, of, members = text.partition("of")
        if not of or not threshold.isdecimal() or not members.isdecimal():
            raise InputError(f"a group is written like 2of3, found {text[:20]!r}")
        return cls(int(threshold), int(members))

    def __str__(self) -> str:
        return f"{self.threshold}of{self.members}"


def split_secret(
    secret: bytes,
    groups: Sequence[ShareGroup],
    *,
    group_threshold: int,
    passphrase: Secret | None = None,
    random_bytes: Callable[[int], bytes] | None = None,
) -> list[list[Secret]]:
    """Split a secret; gives the shares of each group, after each of them has taken part in bringing the secret back.

    Args:
        secret: 16 to 32 bytes, an even number.
        random_bytes: For rehearsals that must give the same shares again; the operating system's otherwise.

    Raises:
        InputError: The groups do not fit, or the passphrase is not printable ASCII.
    """
    from shamir_mnemonic import generate_mnemonics

    if not 16 <= len(secret) <= 32 or len(secret) % 2:
        raise InputError(f"a secret of 16 to 32 bytes is split, an even number, found {len(secret)}")
    if not 1 <= len(groups) <= _GROUPS_MAX or not 1 <= group_threshold <= len(groups):
        raise InputError(f"there are 1 to {_GROUPS_MAX} groups, of which 1 to all are needed")
    shape = [(group.threshold, group.members) for group in groups]
    with _random(random_bytes):
        written = generate_mnemonics(group_threshold, shape, secret, _passphrase(passphrase))
    shares = [[Secret(share) for share in group] for group in written]
    if combine_shares([share for group in shares for share in group], passphrase) != secret:
        raise InvariantError("the shares do not bring the secret back")
    return shares


def combine_shares(shares: Sequence[Secret], passphrase: Secret | None = None) -> bytes:
    """Bring a secret back. More shares than needed are welcome: every one is tried, and all must agree.

    Raises:
        InputError: Too few, of different backups, or with a wrong word. No word of a share is in the message.
    """
    secrets = _combine([share.reveal() for share in shares], _passphrase(passphrase))
    if isinstance(secrets, str):
        # Raised here and not where it was caught: the library's frames hold the words.
        raise InputError(f"the shares do not fit together: {secrets}")
    if len(secrets) != 1:
        raise InputError("the shares do not fit together: two sets of them give different secrets")
    return secrets.pop()


def check_share(share: Secret, *, threshold: int) -> None:
    """Check that a text is a share whose checksum fits, of a backup of which so many members are needed.

    Raises:
        InputError: It is not. No word of it is in the message.
    """
    if _threshold(share.reveal()) != threshold:
        raise InputError(f"this is no share of a backup of which {threshold} members are needed")


def _threshold(share: str) -> int:
    from shamir_mnemonic import MnemonicError, Share

    try:
        return int(Share.from_mnemonic(share).member_threshold)
    except (MnemonicError, ValueError):
        return 0


def _combine(shares: list[str], passphrase: bytes) -> set[bytes] | str:
    """Recover by as many sets of shares as it takes for each to be in one; or say what is wrong, without its words."""
    from shamir_mnemonic import MnemonicError, decode_mnemonics, recover_ems

    if any(len(share) > _SHARE_LETTERS_MAX for share in shares):
        return "one is too long"
    try:
        groups = decode_mnemonics(shares)
        return {recover_ems(chosen).decrypt(passphrase) for chosen in _covering(groups)}
    except (MnemonicError, ValueError) as exc:
        return _reason(str(exc))


def _covering(groups: dict[int, Any]) -> Iterator[dict[int, Any]]:
    from shamir_mnemonic.shamir import ShareGroup as Members

    parameters = next(iter(groups.values())).common_parameters()
    complete = [index for index, group in groups.items() if group.is_complete()]
    if len(complete) != len(groups) and len(complete) >= parameters.group_threshold:
        raise ValueError("incomplete group")
    needed = min(parameters.group_threshold, len(groups))
    turns = max([len(group) for group in groups.values()])
    for first in range(len(groups)):
        for turn in range(turns):
            chosen = {}
            for place in range(needed):
                index = list(groups)[(first + place) % len(groups)]
                members = sorted(groups[index], key=lambda share: share.index)
                taken = Members()
                for step in range(min(groups[index].member_threshold(), len(members))):
                    taken.add(members[(turn + step) % len(members)])
                chosen[index] = taken
            yield chosen


def _reason(message: str) -> str:
    """Say what the library means; its own messages quote the words."""
    for sign, reason in (
        ("incomplete group", "a group has fewer members than it needs; leave it out or complete it"),
        ("Insufficient number", "groups are missing"),
        ("Wrong number of mnemonics", "a group has fewer members than it needs"),
        ("checksum", "a word is wrong (checksum)"),
        ("word", "a word is wrong"),
        ("length", "one has a wrong number of words"),
        ("digest", "they belong to different backups, or one was altered"),
        ("match", "they belong to different backups"),
        ("must begin", "they belong to different backups"),
        ("unique", "two of them have the same place in their group"),
        ("empty", "none was given"),
    ):
        if sign in message:
            return reason
    return "one is malformed"


def _passphrase(passphrase: Secret | None) -> bytes:
    text = passphrase.reveal() if passphrase is not None else ""
    if not all(" " <= letter <= "~" for letter in text):
        raise InputError("a SLIP-39 passphrase has printable ASCII letters only")
    return text.encode()


@contextmanager
def _random(source: Callable[[int], bytes] | None) -> Iterator[None]:
    from shamir_mnemonic import shamir

    # The library's own hook for repeatable shares is the module's: nobody may split by another's randomness.
    with _randomness:
        before = shamir.RANDOM_BYTES
        shamir.RANDOM_BYTES = source or before
        try:
            yield
        finally:
            shamir.RANDOM_BYTES = before
