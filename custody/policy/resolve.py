"""Short names become ids, and `1.5 WETH` an integer, before a document is checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

_AMOUNT: Final = re.compile(r"(-?)([0-9][0-9_]{0,77})(?:\.([0-9]{1,36}))? ([A-Za-z][A-Za-z0-9._\-]{0,63})")
_AMOUNT_KEYS: Final = frozenset({"amount", "per_transaction", "approval", "lifetime", "lowest", "highest"})


def resolve(document: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the document's own asset names and amounts in whole units within its rules.

    Raises:
        ValueError: An amount names another asset than the entry it stands in, or has more decimals than the asset.
    """
    assets = document.get("assets")
    if not isinstance(assets, Mapping) or not isinstance(document.get("rules"), list | tuple):
        return dict(document)
    known = {
        name: (spec["id"], spec["decimals"])
        for name, spec in assets.items()
        if isinstance(spec, Mapping) and isinstance(spec.get("id"), str) and type(spec.get("decimals")) is int
    }
    return {**document, "rules": [_walk(rule, known, None) for rule in document["rules"]]}


def _walk(value: Any, known: Mapping[str, tuple[str, int]], asset: str | None) -> Any:
    if isinstance(value, Mapping):
        if isinstance(value.get("asset"), str):
            asset = known.get(value["asset"], (value["asset"], 0))[0]
        return {key: _field(key, inner, known, asset) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(inner, known, asset) for inner in value]
    return value


def _field(key: Any, value: Any, known: Mapping[str, tuple[str, int]], asset: str | None) -> Any:
    if key == "asset":
        if isinstance(value, list | tuple):
            return [known[name][0] if isinstance(name, str) and name in known else name for name in value]
        return known[value][0] if isinstance(value, str) and value in known else value
    if key in _AMOUNT_KEYS and isinstance(value, str) and (found := _AMOUNT.fullmatch(value)):
        sign, whole, fraction, name = found.groups()
        if name not in known:
            raise ValueError(f"{value!r}: no asset {name!r}")
        asset_id, decimals = known[name]
        if asset_id != asset:
            raise ValueError(f"{value!r} stands in an entry for {asset or 'no asset in particular'}")
        if len(fraction or "") > decimals:
            raise ValueError(f"{value!r}: {name} has {decimals} decimals")
        raw = int(whole.replace("_", "") + (fraction or "").ljust(decimals, "0"))
        return -raw if sign else raw
    return _walk(value, known, asset)
