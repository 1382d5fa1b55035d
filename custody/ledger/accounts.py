"""Accounts: their names, and what their balance may be.

chain/<chain id>/<address>   what an address of ours holds                         counts up
venue/<venue>                what we hold at an exchange                           counts up
inflight/<id>                left one place, not yet at the next                   counts up, never below zero
user/<user>/pending          deposited, not yet to be disposed of                  counts down, never above zero
user/<user>/available        owed and free to be withdrawn                         counts down, never above zero
user/<user>/held             owed, and set aside for a withdrawal under way        counts down, never above zero
suspense/<topic>             nobody's yet: unattributed, short after a reorganisation
liquidity/<strategy>         in the pools' positions, as it was paid in; below zero: more came back than went in
fees/… gas/… trading/…       where a profit came from (negative) or a cost went
equity/opening               what was there before the books began
"""

from __future__ import annotations

import re
from typing import Final, Literal

from domain import Address, ChainId

OPENING_ACCOUNT: Final = "equity/opening"
PLACES: Final = ("chain", "venue")
"""The kinds of account that stand for value somebody else can be asked about."""

_ACCOUNT: Final = re.compile(
    r"user/[A-Za-z0-9:._\-]{1,80}/(available|pending|held)|(?!user/)[a-z]+(/[A-Za-z0-9:._\-]{1,80}){1,3}"
)

UserPart = Literal["available", "pending", "held"]


def venue_account(venue: str) -> str:
    """What we hold at an exchange."""
    return f"venue/{venue}"


def vault_account(chain_id: ChainId, address: Address) -> str:
    """What an address of ours holds on a chain."""
    return f"chain/{chain_id}/{address}"


def user_account(user: str, part: UserPart = "available") -> str:
    """What we owe a user. Debts count down: an owed amount stands there as a negative number."""
    return f"user/{user}/{part}"


def inflight_account(movement: str) -> str:
    """Value on its way, by the id of the withdrawal or sweep that moves it."""
    return f"inflight/{movement}"


def suspense_account(topic: str) -> str:
    """Value or a shortage that belongs to nobody yet."""
    return f"suspense/{topic}"


def is_account(name: str) -> bool:
    """Whether it is an account's name."""
    return _ACCOUNT.fullmatch(name) is not None


def may_hold(account: str, raw: int) -> bool:
    """Whether an account may come to a balance: nobody is owed less than nothing, nor is less on its way."""
    if account.startswith("user/"):
        return raw <= 0
    return raw >= 0 or not account.startswith("inflight/")
