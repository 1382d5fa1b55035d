"""Sign-In with Ethereum: the message of EIP-4361, read letter by letter, and what it must say to be good here.

A wallet shows the message to its owner, who signs it. It names the site, so a signature made for another site is of no
use here; it carries a nonce that we gave out and take back once; and it is over soon. Nothing here does I/O.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from chain.keccak import keccak256, parse_address
from domain import InputError
from domain.ids import Address

_AHEAD_S: Final = 60
_AGE_S_MAX: Final = 600
_CHARS_MAX: Final = 4_096

# RFC 3986's characters; a statement may hold spaces besides (EIP-4361, ABNF).
_URI_CHARS: Final = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]"
_STATEMENT_CHARS: Final = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=% ]"
_TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
_MESSAGE: Final = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,20})://)?"
    r"(?P<domain>[A-Za-z0-9\-._~:\[\]@!$&'()*+,;=%]{1,255}) wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9a-fA-F]{40})\n"
    r"\n"
    rf"(?:(?P<statement>{_STATEMENT_CHARS}+)\n)?"
    r"\n"
    rf"URI: (?P<uri>{_URI_CHARS}+)\n"
    r"Version: (?P<version>1)\n"
    r"Chain ID: (?P<chain_id>[1-9][0-9]{0,18})\n"
    r"Nonce: (?P<nonce>[A-Za-z0-9]{8,128})\n"
    rf"Issued At: (?P<issued_at>{_TIME})"
    rf"(?:\nExpiration Time: (?P<expiration_time>{_TIME}))?"
    rf"(?:\nNot Before: (?P<not_before>{_TIME}))?"
    rf"(?:\nRequest ID: (?P<request_id>{_URI_CHARS}*))?"
    rf"(?P<resources>\nResources:(?:\n- {_URI_CHARS}+)*)?"
)


@dataclass(frozen=True, slots=True)
class SignInMessage:
    """A message as EIP-4361 has it. Times are kept as they were written; `format` gives back the same text."""

    domain: str
    address: Address
    uri: str
    chain_id: int
    nonce: str
    issued_at: str
    scheme: str | None = None
    statement: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None

    @classmethod
    def parse(cls, text: str) -> SignInMessage:
        """Read a message.

        Raises:
            InputError: It is not one to the letter, or its address is not in EIP-55 form.
        """
        found = _MESSAGE.fullmatch(text) if len(text) <= _CHARS_MAX else None
        if found is None:
            raise InputError("this is no sign-in message of EIP-4361", hint="every line and every space counts")
        address = parse_address(found["address"])
        if address != found["address"]:
            raise InputError("the address is not in EIP-55 form", hint=address)
        for name in ("issued_at", "expiration_time", "not_before"):
            if found[name] is not None:
                instant_of(found[name])
        resources = found["resources"]
        return cls(
            domain=found["domain"],
            address=address,
            uri=found["uri"],
            chain_id=int(found["chain_id"]),
            nonce=found["nonce"],
            issued_at=found["issued_at"],
            scheme=found["scheme"],
            statement=found["statement"],
            expiration_time=found["expiration_time"],
            not_before=found["not_before"],
            request_id=found["request_id"],
            resources=None if resources is None else tuple(line[2:] for line in resources.split("\n")[2:]),
        )

    def format(self) -> str:
        """Write the message, as it is signed."""
        site = f"{self.scheme}://{self.domain}" if self.scheme is not None else self.domain
        lines = [f"{site} wants you to sign in with your Ethereum account:", self.address, ""]
        if self.statement is not None:
            lines.append(self.statement)
        lines += ["", f"URI: {self.uri}", "Version: 1", f"Chain ID: {self.chain_id}", f"Nonce: {self.nonce}"]
        lines.append(f"Issued At: {self.issued_at}")
        for label, value in (
            ("Expiration Time", self.expiration_time),
            ("Not Before", self.not_before),
            ("Request ID", self.request_id),
        ):
            if value is not None:
                lines.append(f"{label}: {value}")
        if self.resources is not None:
            lines += ["Resources:", *(f"- {resource}" for resource in self.resources)]
        return "\n".join(lines)

    def digest(self) -> bytes:
        """What the wallet signs: the hash of EIP-191, version 0x45."""
        content = self.format().encode()
        return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(content)).encode() + content)

    def check(self, *, origins: Sequence[str], now: datetime) -> None:
        """Check that it was made for one of our sites, and is good now.

        Raises:
            InputError: For another site, too old, over, or not yet.
        """
        own = {urlsplit(origin).netloc: urlsplit(origin).scheme for origin in origins}
        if self.domain not in own:
            raise InputError(f"the message is for {self.domain}, not for this site")
        if self.scheme not in (None, own[self.domain]):
            raise InputError(f"the message is for {self.scheme}://{self.domain}, not for this site")
        target = urlsplit(self.uri)
        if f"{target.scheme}://{target.netloc}" != f"{own[self.domain]}://{self.domain}":
            raise InputError("the message's URI is of another site than its domain")
        age_s = (now - instant_of(self.issued_at)).total_seconds()
        if not -_AHEAD_S <= age_s <= _AGE_S_MAX:
            raise InputError("the message was not issued within the last ten minutes")
        if self.expiration_time is not None and instant_of(self.expiration_time) <= now:
            raise InputError("the message is over")
        if self.not_before is not None and instant_of(self.not_before) > now:
            raise InputError("the message is not good yet")


def instant_of(text: str) -> datetime:
    """Read a time of RFC 3339, to the microsecond.

    Raises:
        InputError: There is no such time.
    """
    try:
        head, dot, rest = text.partition(".")
        if dot:
            digits = re.match(r"[0-9]+", rest)
            fraction = digits[0] if digits else ""
            text = f"{head}.{fraction[:6].ljust(6, '0')}{rest[len(fraction) :]}"
        return datetime.fromisoformat(text)
    except ValueError as exc:
        raise InputError(f"there is no time {text[:40]}") from exc
