"""The record of a ceremony: canonical JSON lines, each with the hash of the one before, signed by everyone at the end.

    opened → entropy… → key-made → split → delivered… → proved → closed → signed…

What is not in the table is an error. `signed` lines come after `closed`, in any order, one from each custodian and one
from the witness; each signs the hash of the `closed` line, and so everything before it. Nothing in a line is secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Self

from domain import InputError
from wallets.ceremony.canonical import canonical
from wallets.ceremony.people import Card, Person
from wallets.keystore import write_private_file

_DOMAIN: Final = b"capstan/ceremony/transcript/1\x00"
_FILE_BYTES_MAX: Final = 1 << 20


class Step(StrEnum):
    """What a line records."""

    OPENED = "opened"
    ENTROPY = "entropy"
    KEY_MADE = "key-made"
    SPLIT = "split"
    DELIVERED = "delivered"
    PROVED = "proved"
    CLOSED = "closed"
    SIGNED = "signed"


FOLLOWS: Final = MappingProxyType(
    {
        None: (Step.OPENED,),
        Step.OPENED: (Step.ENTROPY,),
        Step.ENTROPY: (Step.ENTROPY, Step.KEY_MADE),
        Step.KEY_MADE: (Step.SPLIT,),
        Step.SPLIT: (Step.DELIVERED,),
        Step.DELIVERED: (Step.DELIVERED, Step.PROVED),
        Step.PROVED: (Step.CLOSED,),
        Step.CLOSED: (Step.SIGNED,),
        Step.SIGNED: (Step.SIGNED,),
    }
)
# Every line has these details and no other: what is not listed cannot slip in, and no secret out.
DETAILS: Final = MappingProxyType(
    {
        Step.OPENED: {
            **{"version": int, "ceremony": str, "name": str, "rehearsal": bool},
            **{"threshold": int, "custodians": list, "witness": dict},
        },
        Step.ENTROPY: {"source": str, "by": str, "bytes": int},
        Step.KEY_MADE: {"words": int, "path": str, "address": str, "account_key": str, "test_key": bool},
        Step.SPLIT: {"scheme": str, "threshold": int, "members": int},
        Step.DELIVERED: {"custodian": str, "form": str, "file": str, "sha256": str},
        Step.PROVED: {"shares": int, "address": str},
        Step.CLOSED: {"keystore": bool},
        Step.SIGNED: {"by": str, "role": str, "opened": bool, "signature": str},
    }
)


class Transcript:
    """A transcript that grows by lines. Reading one checks its chain and its steps, not its signatures."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self.lines: list[dict[str, Any]] = []
        self._head = "0" * 64

    def add(self, step: Step, **detail: Any) -> None:
        """Append a line.

        Raises:
            InputError: The step does not follow, or its details are others.
        """
        line = {
            "sequence": len(self.lines),
            "time_ns": str(self._now_ns()),
            "step": step.value,
            "detail": detail,
            "previous": self._head,
        }
        self._take(line)

    @classmethod
    def read(cls, text: str, *, now_ns: Callable[[], int] = lambda: 0) -> Self:
        """Read a transcript's lines.

        Raises:
            InputError: A line is missing, altered, in another place, or not in its one spelling.
        """
        transcript = cls(now_ns)
        for number, row in enumerate(text.split("\n")[:-1], 1):
            try:
                line = json.loads(row)
                if not isinstance(line, dict) or canonical(line).decode() != row:
                    raise ValueError
            except (ValueError, TypeError, RecursionError) as exc:
                raise InputError(f"line {number} of the transcript is not canonical JSON") from exc
            transcript._take(line)
        if not text.endswith("\n"):
            raise InputError("the transcript is truncated")
        return transcript

    @classmethod
    def load(cls, path: Path, *, now_ns: Callable[[], int] = lambda: 0) -> Self:
        """Read a transcript's file; errors as `read`."""
        try:
            if path.stat().st_size > _FILE_BYTES_MAX:
                raise InputError(f"{path} is too large for a transcript")
            return cls.read(path.read_text(encoding="ascii"), now_ns=now_ns)
        except (OSError, UnicodeDecodeError) as exc:
            raise InputError(f"cannot read the transcript {path}") from exc

    def text(self) -> str:
        """Give all lines."""
        return "".join([canonical(line).decode() + "\n" for line in self.lines])

    def write(self, path: Path) -> None:
        """Write a new file."""
        write_private_file(path, self.text())

    def details(self, step: Step) -> list[Mapping[str, Any]]:
        """Give the details of all lines of a step, in order."""
        return [line["detail"] for line in self.lines if line["step"] == step]

    def sign(self, person: Person, *, role: str, opened: bool) -> None:
        """Append a person's signature over all up to `closed`; `opened` says that the person has opened a share."""
        message = self.message(role=role, opened=opened)
        self.add(Step.SIGNED, by=person.card.name, role=role, opened=opened, signature=person.sign(message).hex())

    def message(self, *, role: str, opened: bool) -> bytes:
        """Give what is signed.

        Raises:
            InputError: The ceremony has not closed.
        """
        closed = [line for line in self.lines if line["step"] == Step.CLOSED]
        if not closed:
            raise InputError("the ceremony has not closed: there is nothing to sign yet")
        claim = {"head": _hash(closed[0]), "role": role, "opened": opened}
        return _DOMAIN + canonical(claim)

    def _take(self, line: dict[str, Any]) -> None:
        where = f"line {len(self.lines) + 1} of the transcript"
        if set(line) != {"sequence", "time_ns", "step", "detail", "previous"}:
            raise InputError(f"{where} has other fields than a line has")
        if line["sequence"] != len(self.lines) or line["previous"] != self._head:
            raise InputError(f"{where} does not follow the one before: lines were changed, removed or reordered")
        before = Step(self.lines[-1]["step"]) if self.lines else None
        if line["step"] not in FOLLOWS[before]:
            raise InputError(f"{where}: {str(line['step'])[:20]!r} does not follow {before}")
        detail, expected = line["detail"], DETAILS[Step(line["step"])]
        found = {name: type(value) for name, value in detail.items()} if isinstance(detail, dict) else {}
        if found != expected:
            raise InputError(f"{where} has other details than its step")
        self.lines.append(line)
        self._head = _hash(line)


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified transcript says."""

    ceremony: str
    name: str
    address: str
    account_key: str
    threshold: int
    custodians: tuple[Card, ...]
    witness: Card
    is_rehearsal: bool
    head: str
    """Hash of the `closed` line: what everybody signed."""


def verify_transcript(transcript: Transcript, *, cards: Sequence[Card] = (), folder: Path | None = None) -> Verified:
    """Check that everybody signed, that they are who is expected, and that the sealed shares are those delivered.

    Args:
        cards: People known from elsewhere; each must take part with just these keys. Without any, a transcript proves
            only that its own people signed it.
        folder: Where the sealed shares are; those that are there are compared.

    Raises:
        InputError: Anything is missing or does not fit.
    """
    opened, made = _only(transcript, Step.OPENED), _only(transcript, Step.KEY_MADE)
    custodians, witness = [Card.from_json(one) for one in opened["custodians"]], Card.from_json(opened["witness"])
    for card in cards:
        if card not in (*custodians, witness):
            raise InputError(f"{card.name} with key {card.signing_key.hex()[:16]}… is not in this ceremony")
    split, proved = _only(transcript, Step.SPLIT), _only(transcript, Step.PROVED)
    if (split["threshold"], split["members"], proved["shares"]) != (
        opened["threshold"],
        len(custodians),
        len(custodians),
    ):
        raise InputError("the shares are not those the ceremony was opened for")
    if proved["address"] != made["address"] or made["test_key"] is not opened["rehearsal"]:
        raise InputError("the shares were not proved to bring back the key that was made")
    delivered = {one["custodian"]: one for one in transcript.details(Step.DELIVERED)}
    if sorted(delivered) != sorted(card.name for card in custodians) or len(delivered) != len(
        transcript.details(Step.DELIVERED)
    ):
        raise InputError("not every custodian got one share")
    _check_signatures(transcript, custodians, witness, delivered)
    if folder is not None:
        _check_files(folder, delivered)
    closed = next(line for line in transcript.lines if line["step"] == Step.CLOSED)
    return Verified(
        ceremony=opened["ceremony"],
        name=opened["name"],
        address=made["address"],
        account_key=made["account_key"],
        threshold=opened["threshold"],
        custodians=tuple(custodians),
        witness=witness,
        is_rehearsal=opened["rehearsal"],
        head=_hash(closed),
    )


def _check_signatures(
    transcript: Transcript, custodians: Sequence[Card], witness: Card, delivered: Mapping[str, Mapping[str, Any]]
) -> None:
    awaited = {(card.name, "custodian"): card for card in custodians} | {(witness.name, "witness"): witness}
    for line in transcript.details(Step.SIGNED):
        card = awaited.pop((line["by"], line["role"]), None)
        if card is None:
            raise InputError(f"{line['by'][:40]!r} has no part in this ceremony, or signed twice")
        if line["role"] == "custodian" and delivered[card.name]["form"] == "sealed" and line["opened"] is not True:
            raise InputError(f"{card.name} has not opened the share that was sealed")
        try:
            signature = bytes.fromhex(line["signature"])
        except ValueError:
            signature = b""
        if not card.check(signature, transcript.message(role=line["role"], opened=line["opened"])):
            raise InputError(f"the signature of {card.name} is not over this transcript")
    if awaited:
        raise InputError(f"not signed yet by {', '.join(sorted(name for name, _ in awaited))}")


def _check_files(folder: Path, delivered: Mapping[str, Mapping[str, Any]]) -> None:
    for one in delivered.values():
        path = folder / Path(one["file"]).name
        if one["form"] != "sealed" or not path.is_file():
            continue
        if hashlib.sha256(path.read_bytes()).hexdigest() != one["sha256"]:
            raise InputError(f"{path} is not the share that was delivered to {one['custodian']}")


def _only(transcript: Transcript, step: Step) -> Mapping[str, Any]:
    found = transcript.details(step)
    if len(found) != 1:
        raise InputError(f"the transcript has {len(found)} lines of {step.value!r}, one is expected")
    return found[0]


def _hash(line: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical(line)).hexdigest()
