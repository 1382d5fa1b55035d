"""The script of a ceremony: who takes part, how many are needed, where entropy comes from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from domain import InputError
from runtime import SettingsPart
from wallets.ceremony.people import Card

_CUSTODIANS_MAX: Final = 16


class OsSource(SettingsPart):
    """The operating system's randomness; it is mixed in whether the plan names it or not."""

    source: Literal["os"]


class HsmSource(SettingsPart):
    """The random generator of a PKCS#11 token."""

    source: Literal["hsm"]
    module: str
    token: str
    pin: str
    """Where the user's PIN is: file:PATH or env:NAME."""


class DiceSource(SettingsPart):
    """What a person has thrown: at least 50 digits from 1 to 6 (129 bits)."""

    source: Literal["dice"]
    by: str
    """Who threw."""
    text: str
    """Where the digits are: file:PATH or env:NAME."""


class Seat(SettingsPart):
    """One taker of a share, or the witness."""

    card: Path
    """The person's `card.json`, relative to the plan."""
    print: bool = False
    """Write the share in the clear, to be printed, instead of sealing it."""


class CeremonyPlan(SettingsPart):
    """A plan's file (TOML)."""

    name: str = Field(min_length=1, max_length=80)
    threshold: int = Field(ge=2)
    words: Literal[12, 15, 18, 21, 24] = 24
    """Length of the phrase that is made, split and forgotten."""
    custodian: tuple[Seat, ...] = Field(min_length=2, max_length=_CUSTODIANS_MAX)
    witness: Seat
    entropy: tuple[Annotated[OsSource | HsmSource | DiceSource, Field(discriminator="source")], ...] = ()
    folder: Path = Path()
    """Where the plan lies; set when it is loaded."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.threshold > len(self.custodian):
            raise ValueError(f"{self.threshold} custodians are needed, and {len(self.custodian)} take part")
        return self

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a plan.

        Raises:
            InputError: Unreadable or malformed.
        """
        try:
            fields = tomllib.loads(path.read_text(encoding="utf-8"))
            return cls.model_validate({**fields, "folder": path.parent})
        except (OSError, ValueError) as exc:
            reason = exc.errors()[0]["msg"] if isinstance(exc, ValidationError) else str(exc)
            raise InputError(f"{path} is not a ceremony's plan: {reason}") from exc

    def cards(self) -> tuple[list[Card], Card]:
        """Read the cards of the custodians and of the witness.

        Raises:
            InputError: Two seats of one person, or of one key.
        """
        custodians = [Card.load(self.folder / seat.card) for seat in self.custodian]
        witness = Card.load(self.folder / self.witness.card)
        everyone = [*custodians, witness]
        for what in ("name", "signing_key"):
            if len({getattr(card, what) for card in everyone}) != len(everyone):
                raise InputError("two seats of the ceremony are one person's")
        return custodians, witness
