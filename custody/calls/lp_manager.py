"""The liquidity managers of contracts/src/liquidity: moving, collecting, taking everything out.

None of these calls takes anything from the sender. What a manager pays goes to its owner, whoever asks; so the manager
stands for that owner, and a policy decides which managers may be called.
"""

from __future__ import annotations

from typing import Final

from custody.calls.canonical import Method, Place, Values, unsafe
from custody.calls.model import NOTHING, DecodedCall, Kind, Shown

_MOVE: Final = "(int24,int24,bool,uint256,uint160,uint128,uint256)"


def _move(values: Values, place: Place) -> DecodedCall:
    lower, upper, zero_for_one, swap_in, limit, least, deadline = values[0]
    if lower > upper:
        raise unsafe("a range has its lower tick first")
    swap = (
        Shown("Swap first, smallest units", Kind.NUMBER, swap_in),
        Shown("Of its", Kind.WORDS, "token 0 for token 1" if zero_for_one else "token 1 for token 0"),
        Shown("Price limit (sqrt, X96)", Kind.NUMBER, limit),
    )
    return DecodedCall(
        "move",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=place.sender,
        deadline_s=deadline,
        action="Move a manager's liquidity, within its loss bound" if lower < upper else "Take a manager's position in",
        shown=(
            *(swap if swap_in else ()),
            Shown("From tick", Kind.NUMBER, lower),
            Shown("To tick", Kind.NUMBER, upper),
            Shown("Liquidity at least", Kind.NUMBER, least),
            Shown("Valid until", Kind.DATE, deadline),
        ),
    )


def _collect(_values: Values, place: Place) -> DecodedCall:
    return DecodedCall(
        "collectToOwner",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=place.to,
        action="Pay a liquidity manager's fees to its owner",
    )


def _exit(values: Values, place: Place) -> DecodedCall:
    return DecodedCall(
        "exit",
        NOTHING,
        NOTHING,
        NOTHING,
        recipient=place.to,
        action="Take everything out of a liquidity manager, to its owner",
        shown=(
            Shown("At least, smallest units of its token 0", Kind.NUMBER, values[0]),
            Shown("At least, smallest units of its token 1", Kind.NUMBER, values[1]),
        ),
    )


METHODS: Final = (
    Method("move", (_MOVE,), _move),
    Method("collectToOwner", (), _collect),
    Method("exit", ("uint256", "uint256"), _exit),
)
