"""Whether everything a document refers to exists."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from chain import parse_address
from domain import InputError

if TYPE_CHECKING:
    from custody.policy.schema import Conditions, PolicyDocument

_INSTANT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
SELECTOR: Final = re.compile(r"0x[0-9a-f]{8}")
_WORD: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,63}")


def instant_s(text: str) -> int:
    """Read an instant as documents write it, in Unix seconds; 0 for none.

    Raises:
        ValueError: Another form.
    """
    if not text:
        return 0
    if not _INSTANT.fullmatch(text):
        raise ValueError(f"an instant is written 2026-11-26T09:00:00Z, found {text!r}")
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp())


def problems(document: PolicyDocument) -> Iterator[str]:
    """Say what is referred to and does not exist, and what exists twice."""
    try:
        instant_s(document.activates_at)
    except ValueError as exc:
        yield f"activates_at: {exc}"
    yield from _twice("rule", [rule.id for rule in document.rules])
    yield from _twice("asset", [asset.id for asset in document.assets.values()])
    yield from _twice("vault address", [a for addresses in document.vaults.values() for a in addresses])
    yield from _twice("key", [key for person in document.people.values() for key in person.keys])
    for group, members in document.groups.items():
        yield from _twice(f"member of group {group}", list(members))
        yield from (f"group {group}: no person {name!r}" for name in members if name not in document.people)
    roles = {role for person in document.people.values() for role in person.roles}
    for rule in document.rules:
        if rule.group is not None and rule.group not in document.groups:
            yield f"rule {rule.id}: no group {rule.group!r}"
        for conditions in (rule.when, rule.unless):
            if conditions is not None:
                yield from (f"rule {rule.id}: {text}" for text in _conditions(document, conditions, roles))


def _conditions(document: PolicyDocument, conditions: Conditions, roles: set[str]) -> Iterator[str]:
    for what, words in (
        ("contract", ("none",)),
        ("recipient", ("self", "internal")),
        ("spender", ()),
    ):
        for text in getattr(conditions, what) or ():
            if text.startswith("@"):
                if text[1:] not in document.lists:
                    yield f"{what}: no list {text!r}"
            elif text not in words and not _is_place(text, what == "recipient" and bool(conditions.venue)):
                yield f"{what}: {text!r} is no checksummed address"
    for text in conditions.method or ():
        if not SELECTOR.fullmatch(text) and not _WORD.fullmatch(text):
            yield f"method: {text!r} is neither a name nor a selector like 0xa9059cbb"
    for vault in conditions.vault or ():
        if document.vaults and vault not in document.vaults:
            yield f"vault: no vault {vault!r}"
    if conditions.initiator is not None:
        yield from (f"initiator: no group {g!r}" for g in conditions.initiator.groups if g not in document.groups)
        yield from (f"initiator: nobody has the role {r!r}" for r in conditions.initiator.roles if r not in roles)


def _is_place(text: str, may_be_foreign: bool) -> bool:
    try:
        return parse_address(text) == text
    except InputError:
        # A venue also pays out to chains of other kinds; their addresses are compared as text.
        return may_be_foreign and 0 < len(text) <= 128 and text.isascii() and text.isprintable() and " " not in text


def _twice(what: str, values: list[str]) -> Iterator[str]:
    yield from (f"{what} {value!r} is there twice" for value, count in Counter(values).items() if count > 1)
