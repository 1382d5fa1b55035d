"""The section `[swaps]` of an installation: from which account the API swaps, and what needs a person."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from runtime import SettingsPart

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
RawText = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]{0,77})$")]


class SwapSettings(SettingsPart):
    """Swaps over the API. They are the house's, and judged by custody's policy like everything that is signed."""

    account: str = Field(default="", pattern=r"^(0x[0-9a-fA-F]{40})?$")
    """The account that swaps leave, an account of their own: the engine trades with `custody.account`. Empty: the API
    quotes, and swaps nothing."""
    signer_socket: str = ""
    """Of the signer that holds its key; empty for custody's."""
    without_step_up: dict[Address, RawText] = Field(default_factory=dict)
    """By token (the zero address for the chain's own coin) the most, in its smallest unit, that is swapped without a
    person's confirmation. What is not named always needs one."""
    slippage_bps_max: int = Field(default=500, ge=0, le=9_999)
    """The most that a request may tolerate."""

    def needs_step_up(self, token: str, amount: int) -> bool:
        """Whether a person has to confirm that so much of a token is given."""
        free = {address.lower(): int(most) for address, most in self.without_step_up.items()}
        return amount > free.get(token.lower(), -1)
