"""Times in microseconds for clients that ask for them: `X-MBX-TIME-UNIT` and `timeUnit`.

The exchange's clock counts milliseconds, so what is added is three zeros; which fields are times is the venue's list.
Source: https://developers.binance.com/docs/binance-spot-api-docs/rest-api/general-api-information
"""

from __future__ import annotations

from typing import Any, Final

from cex.sandbox import errors

_TIMES: Final = frozenset(
    {
        *(
            "time",
            "updateTime",
            "workingTime",
            "transactTime",
            "transactionTime",
            "serverTime",
            "openTime",
            "closeTime",
        ),
        *("authorizedSince", "connectedSince", "timestamp", "retryAfter"),
    }
)
_STREAM_TIMES: Final = frozenset({"E", "T", "W", "O"})
"""Of events that have an `e`. `t` is a time in candles only, `C` in tickers only; `u` of an account's position."""


def in_microseconds(text: str | None) -> bool:
    """Read a time unit; None is the default, milliseconds.

    Raises:
        ApiError: -1194.
    """
    unit = (text or "MILLISECOND").upper()
    if unit not in ("MICROSECOND", "MILLISECOND"):
        raise errors.invalid_time_unit()
    return unit == "MICROSECOND"


def scaled(view: Any) -> Any:
    """Give an answer with its times in microseconds."""
    if isinstance(view, dict):
        if isinstance(view.get("e"), str):
            return _event(view)
        # Aggregated trades are told by single letters in answers too.
        is_trade = "T" in view and "a" in view
        return {
            key: value * 1_000 if (key in _TIMES or (is_trade and key == "T")) and type(value) is int else scaled(value)
            for key, value in view.items()
        }
    if isinstance(view, list):
        if len(view) == 12 and isinstance(view[0], int):  # A candle.
            return [view[0] * 1_000, *view[1:6], view[6] * 1_000, *view[7:]]
        return [scaled(item) for item in view]
    return view


def _event(event: dict[str, Any]) -> dict[str, Any]:
    name = event["e"]
    times = set(_STREAM_TIMES)
    if name.endswith("Ticker"):
        times.add("C")
    elif name == "outboundAccountPosition":
        times.add("u")
    view = {key: value * 1_000 if key in times and type(value) is int else value for key, value in event.items()}
    candle = event.get("k")
    if isinstance(candle, dict):
        view["k"] = candle | {"t": candle["t"] * 1_000, "T": candle["T"] * 1_000}
    return view
