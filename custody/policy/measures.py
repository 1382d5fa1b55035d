"""What conditions and limits measure: amounts, dollars, shares, ages. An unknown measure is the name of a fact."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from custody.policy.action import Action
from custody.policy.facts import Facts, Price

USD: Final = "usd"
"""The counter of dollars, in millionths."""
TRANSACTIONS: Final = "transactions"
"""The counter of how often."""
_SKEW_S: Final = 30
"""How far in the future a price may be dated by somebody else's clock."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """A fact that is needed and not known."""

    fact: str


PRICE_UNKNOWN: Final = Unknown("usd-price")
BALANCES_UNKNOWN: Final = Unknown("balances")
INITIATOR_UNKNOWN: Final = Unknown("initiator")
AML_UNKNOWN: Final = Unknown("aml")
AGE_UNKNOWN: Final = Unknown("first-seen")
TIME_UNKNOWN: Final = Unknown("time")
SIMULATION_UNKNOWN: Final = Unknown("simulation")


def usd_micro_up(
    amounts: Mapping[str, int], facts: Facts, decimals: Mapping[str, int], max_age_s: int
) -> int | Unknown:
    """Value amounts in millionths of a dollar, each rounded up. Nothing needs no price."""
    total = 0
    for asset, raw in amounts.items():
        if raw:
            price = _price(asset, facts, decimals, max_age_s)
            if price is None:
                return PRICE_UNKNOWN
            total -= -raw * price.usd_micro // 10 ** decimals[asset]
    return total


def usd_micro_down(
    amounts: Mapping[str, int], facts: Facts, decimals: Mapping[str, int], max_age_s: int
) -> int | Unknown:
    """Do as `usd_micro_up`, rounding down."""
    total = 0
    for asset, raw in amounts.items():
        if raw:
            price = _price(asset, facts, decimals, max_age_s)
            if price is None:
                return PRICE_UNKNOWN
            total += raw * price.usd_micro // 10 ** decimals[asset]
    return total


def _price(asset: str, facts: Facts, decimals: Mapping[str, int], max_age_s: int) -> Price | None:
    price = facts.prices.get(asset)
    if price is None or facts.now_s is None or asset not in decimals:
        return None
    return price if -_SKEW_S <= facts.now_s - price.at_s <= max_age_s else None


def outgoing(action: Action) -> Mapping[str, int]:
    """By asset: what leaves, and what somebody may take from now on. An allowance is as good as the coins."""
    if not action.approves:
        return action.spends
    amounts = dict(action.spends)
    for asset, raw in action.approves.items():
        amounts[asset] = amounts.get(asset, 0) + raw
    return amounts


def payees(action: Action) -> tuple[str, ...]:
    """Who gets something: the recipients, or the contract where the bytes name none."""
    return action.recipients or ((action.contract,) if action.contract else ())


def counters(action: Action, facts: Facts, asset: str, per: str) -> Iterator[str]:
    """The names under which an amount of an asset is counted; none where nobody is known to count it for."""
    if per == "vault":
        yield asset
    elif per == "recipient":
        yield from (f"to:{payee}|{asset}" for payee in payees(action))
    elif facts.initiator is not None:
        yield f"by:{facts.initiator}|{asset}"
