"""Takes out of ccxt what it does for its own benefit: broker ids, referrals, builder fees.

ccxt names itself in headers, parameters and client order ids, so that venues pay it a share; at some venues it even
signs an approval of a fee or a referral with the account's key. Nothing of that leaves here. `tests/support/
venue_harness` looks for it in every request of every venue. Options alone do not do it: ccxt takes an empty text for
a missing one and goes back to its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

USER_AGENT = "capstan"

_HEADERS = frozenset(
    {
        "apca-partner-id",
        "broker-id",
        "broker_sign",
        "hibachi-client",
        "input-source",
        "kc-api-partner",
        "kc-api-partner-sign",
        "kc-broker-name",
        "open-api-partner",
        "paradex-partner",
        "partner-id",
        "referer",
        "referrer",
        "source",
        "x-bb-api-platform",
        "x-bitopro-api",
        "x-broker-id",
        "x-channel-api-code",
        "x-fb-client",
        "x-gate-channel-id",
        "x-source-key",
    }
)
_PARAMETERS = frozenset(
    {"brokerId", "broker_id", "channel_code", "order_tag", "media", "clientMedia", "orderRouterAddress", "builderName"}
)
# Serialisers of venues whose `sign` adds a mark itself, after it was given the parameters.
_ADDED_BY_SIGN = frozenset({"woo", "xt", "modetrade", "woofipro"})
_SHUT = ("handle_builder_fee_approval", "approve_builder_fee", "approve_builder_code", "set_ref")


def is_mark(name: str, value: object) -> bool:
    """Whether a parameter speaks of ccxt instead of us."""
    return name in _PARAMETERS or (isinstance(value, str) and value.lower().startswith("ccxt"))


def without_marks(message: Any) -> Any:
    """Give parameters or a WebSocket message without marks, however deep they are."""
    if isinstance(message, Mapping):
        return {
            name: without_marks(value)
            for name, value in message.items()
            if not is_mark(str(name), value) and str(name).lower() not in _HEADERS - {"source"}
        }
    if isinstance(message, list):
        return [without_marks(value) for value in message]
    return message


def headers_without_marks(headers: Mapping[str, Any] | None) -> dict[str, Any]:
    kept = {name: value for name, value in (headers or {}).items() if name.lower() not in _HEADERS}
    return {
        name: USER_AGENT if name.lower() == "user-agent" and "ccxt" in str(value).lower() else value
        for name, value in kept.items()
    }


def remove_marks(exchange: Any) -> None:
    """Make a ccxt client speak for nobody but its account. Once, after it was made."""
    exchange.options |= {"broker": {}, "brokerId": "", "partner": {}, "refSet": True, "approvedBuilderFee": False}
    if "builderFee" in exchange.options:
        exchange.options["builderFee"] = False
    for name in _SHUT:
        if hasattr(exchange, name):
            setattr(exchange, name, _nothing)
    exchange.headers = headers_without_marks(exchange.headers)
    fetch, sign = exchange.fetch, exchange.sign

    async def fetch_unmarked(url: Any, method: Any = "GET", headers: Any = None, body: Any = None) -> Any:
        return await fetch(url, method, headers_without_marks(headers), body)

    def sign_unmarked(path: Any, api: Any = "public", method: Any = "GET", params: Any = None, *rest: Any) -> Any:
        signed = sign(path, api, method, without_marks(params or {}), *rest)
        # ccxt's own fetch adds these headers after ours were cleaned.
        signed["headers"] = headers_without_marks(signed.get("headers"))
        return signed

    exchange.fetch, exchange.sign = fetch_unmarked, sign_unmarked
    if exchange.id in _ADDED_BY_SIGN:
        for name in ("json", "urlencode", "rawencode"):
            setattr(exchange, name, _cleaning(getattr(exchange, name)))
    if hasattr(exchange, "sign_dydx_tx"):
        sign_transaction = exchange.sign_dydx_tx
        exchange.sign_dydx_tx = lambda key, message, *rest: sign_transaction(key, without_marks(message), *rest)


async def _nothing(*_arguments: Any, **_named: Any) -> None:
    """Stands where ccxt would sign something nobody asked for."""


def _cleaning(serialise: Any) -> Any:
    def cleaned(data: Any, *rest: Any, **named: Any) -> Any:
        return serialise(without_marks(data), *rest, **named)

    return cleaned
