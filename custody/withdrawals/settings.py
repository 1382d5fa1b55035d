"""`[custody.withdrawals]`: what withdrawals cost, and how new a destination may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from custody.policy.words import RawAmount
from runtime import SecretRef, SettingsPart


class HsmKek(SettingsPart):
    """A key of an HSM's token that seals exchanges' withdrawal keys."""

    module: str
    """The vendor's PKCS#11 library."""
    token: str
    pin: SecretRef
    label: str
    """Of the key."""


class WithdrawalSettings(SettingsPart):
    """Withdrawals of clients. The defaults charge nothing and leave destinations to the policy."""

    vault: str = "default"
    """The vault that pays on the chain, as the policy names it."""
    fees: Mapping[str, RawAmount] = Field(default_factory=dict)
    """What a user pays for a withdrawal, by asset id, in its smallest unit; the platform pays the network. Of an
    exchange's assets the exchange keeps it: give its own fee."""
    known_addresses_only: bool = False
    """Whether a destination must be in the user's address book."""
    cool_down_s: int = Field(default=0, ge=0)
    """How long it must have been there. More than 0 means known addresses only."""
    kek: str = ""
    """File of the key (64 hex digits, mode 0600) that seals exchanges' withdrawal keys; none: no exchange pays out."""
    hsm_kek: HsmKek | None = None
    """An HSM's key in its place."""

    @model_validator(mode="after")
    def _one_kek(self) -> Self:
        if self.kek and self.hsm_kek is not None:
            raise ValueError("either kek or hsm_kek seals, not both")
        return self
