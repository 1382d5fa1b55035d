"""What of reconciliation is configured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from custody.policy.settings import RawLimit
from runtime import SettingsPart


class ReconciliationSettings(SettingsPart):
    """How books are compared with chain and exchanges."""

    addresses: tuple[str, ...] = ()
    """Addresses of ours on the chain besides the account and deposit addresses: a vault contract, a gas tank."""
    surplus_raw: Mapping[str, RawLimit] = Field(default_factory=dict)
    """By asset id, how much more than booked may be there without freezing anything; anybody may send something."""
    lookback_s: int = Field(default=24 * 3600, ge=60)
    """How old a booking may be whose transaction is still not final."""
    finality_depth: int = Field(default=0, ge=0)
    """Depth that counts as final on a chain without a finalized tag; 0 asks for the tag."""
    groups: Mapping[str, Mapping[str, Annotated[int, Field(ge=0, le=36)]]] = Field(default_factory=dict)
    """For solvency: assets that stand for one another, by a name of yours, each with its decimals."""
