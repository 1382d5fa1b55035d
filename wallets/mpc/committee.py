"""Who the parties are: a public file that all agree on, and each party's private folder.

`init_committee` is the ceremony in small: it makes a private CA, gives every party a TLS key, an envelope key and a key
that encrypts its shares, writes one folder for each, and forgets the CA's key. Move each folder to its own machine.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from capstan_native import MpcIdentity

from domain import InputError
from wallets.keystore import write_private_file
from wallets.mpc.tls import Authority, TlsFiles

_PARTIES_MAX: Final = 16


@dataclass(frozen=True, slots=True)
class PartyCard:
    """What everyone knows of a party: where it listens, and the two keys it is pinned by."""

    party: int
    host: str
    port: int
    envelope_key: bytes
    tls_pin: str


@dataclass(frozen=True, slots=True)
class Committee:
    """The parties of a set of wallets. Every party has its own copy and believes no other.

    `is_test` marks all its keys for devnets only.
    """

    threshold: int
    is_test: bool
    cards: tuple[PartyCard, ...]
    coordinator_pins: frozenset[str]

    def __post_init__(self) -> None:
        if [card.party for card in self.cards] != list(range(1, len(self.cards) + 1)):
            raise InputError("the parties of a committee are numbered from 1 without gaps")
        if not 2 <= self.threshold <= len(self.cards) <= _PARTIES_MAX:
            raise InputError(f"a threshold of {self.threshold} does not fit {len(self.cards)} parties")

    def peers(self, party: int, among: tuple[int, ...] | None = None) -> dict[int, bytes]:
        """Give the envelope keys of the others, by party."""
        return {
            card.party: card.envelope_key
            for card in self.cards
            if card.party != party and (among is None or card.party in among)
        }

    def to_json(self) -> str:
        document = {
            "version": 1,
            "threshold": self.threshold,
            "is_test": self.is_test,
            "coordinator_pins": sorted(self.coordinator_pins),
            "parties": [
                {
                    "party": card.party,
                    "host": card.host,
                    "port": card.port,
                    "envelope_key": card.envelope_key.hex(),
                    "tls_pin": card.tls_pin,
                }
                for card in self.cards
            ],
        }
        return json.dumps(document, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Committee:
        """Read what `to_json` wrote.

        Raises:
            InputError: Not such a document.
        """
        try:
            document: Any = json.loads(text)
            if document["version"] != 1:
                raise InputError(f"a committee of version {document['version']!r} cannot be read, 1 is expected")
            cards = tuple(
                PartyCard(
                    int(entry["party"]),
                    str(entry["host"]),
                    int(entry["port"]),
                    bytes.fromhex(entry["envelope_key"]),
                    str(entry["tls_pin"]),
                )
                for entry in document["parties"]
            )
            pins = frozenset(map(str, document["coordinator_pins"]))
            return cls(int(document["threshold"]), document["is_test"] is True, cards, pins)
        except (KeyError, TypeError, ValueError) as exc:
            raise InputError(f"not a committee: {type(exc).__name__}") from exc


@dataclass(frozen=True, slots=True)
class PartyHome:
    """One party's private folder, opened."""

    root: Path
    party: int
    committee: Committee
    identity: MpcIdentity
    kek: bytes
    tls: TlsFiles

    @property
    def card(self) -> PartyCard:
        return self.committee.cards[self.party - 1]

    def __repr__(self) -> str:
        return f"PartyHome({self.root}, party={self.party})"


def init_committee(root: Path, *, threshold: int, endpoints: list[tuple[str, int]], is_test: bool) -> Committee:
    """Make the folders `party-1` … `party-n` and `coordinator` below `root`. Existing files are never overwritten.

    Raises:
        InputError: The folder exists, or the numbers do not fit.
    """
    if root.exists():
        raise InputError(f"{root} exists and is not overwritten", hint="choose a new folder")
    authority = Authority()
    identities = [MpcIdentity.generate() for _ in endpoints]
    issued = [authority.issue(f"party-{number}") for number in range(1, len(endpoints) + 1)]
    coordinator = authority.issue("coordinator")
    committee = Committee(
        threshold,
        is_test,
        tuple(
            PartyCard(number, host, port, identity.public_key, leaf.pin)
            for number, ((host, port), identity, leaf) in enumerate(
                zip(endpoints, identities, issued, strict=True), start=1
            )
        ),
        frozenset({coordinator.pin}),
    )
    for number, (identity, leaf) in enumerate(zip(identities, issued, strict=True), start=1):
        home = root / f"party-{number}"
        kek = secrets.token_bytes(32)
        leaf.write(home)
        write_private_file(home / "kek", kek.hex() + "\n")
        blob = {"party": number, "identity": identity.seal(kek, number).hex()}
        write_private_file(home / "identity.json", json.dumps(blob) + "\n")
        write_private_file(home / "committee.json", committee.to_json())
    coordinator.write(root / "coordinator")
    write_private_file(root / "coordinator" / "committee.json", committee.to_json())
    return committee


def open_home(root: Path) -> PartyHome:
    """Open a party's folder.

    Raises:
        InputError: Something is missing, malformed, or belongs to another party.
    """
    committee = Committee.from_json(_read(root / "committee.json"))
    try:
        document = json.loads(_read(root / "identity.json"))
        party, blob = int(document["party"]), bytes.fromhex(document["identity"])
        kek = bytes.fromhex(_read(root / "kek").strip())
        identity = MpcIdentity.open(blob, kek, party)
        card = committee.cards[party - 1]
    except (KeyError, TypeError, ValueError, IndexError) as exc:
        raise InputError(f"{root} is not a party's folder, or its key does not fit") from exc
    tls = TlsFiles(root)
    if card.envelope_key != identity.public_key or card.tls_pin != tls.pin():
        raise InputError(f"{root} holds other keys than its committee names for party {party}")
    return PartyHome(root, party, committee, identity, kek, tls)


def read_coordinator(root: Path) -> tuple[Committee, TlsFiles]:
    """Open the coordinator's folder.

    Raises:
        InputError: Something is missing or malformed.
    """
    committee, tls = Committee.from_json(_read(root / "committee.json")), TlsFiles(root)
    if tls.pin() not in committee.coordinator_pins:
        raise InputError(f"{root} holds a key that its committee does not name")
    return committee, tls


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read {path}") from exc
