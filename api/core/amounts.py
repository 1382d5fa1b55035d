"""Numbers on the wire are text: a JSON number is a float to most who read it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

DecimalText = Annotated[
    str,
    Field(
        pattern=r"^-?(0|[1-9][0-9]{0,37})(\.[0-9]{1,38})?$",
        max_length=80,
        examples=["1250.75"],
        description="A decimal number as text, without exponent.",
    ),
]
PositiveText = Annotated[
    str,
    Field(
        pattern=r"^(0|[1-9][0-9]{0,37})(\.[0-9]{1,38})?$",
        max_length=80,
        examples=["0.25"],
        description="A decimal number as text, without sign or exponent.",
    ),
]
RawText = Annotated[
    str,
    Field(
        pattern=r"^-?(0|[1-9][0-9]{0,77})$",
        examples=["1500000000000000000"],
        description="An integer of the asset's smallest unit, as text.",
    ),
]
