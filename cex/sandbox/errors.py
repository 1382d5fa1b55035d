"""What the exchange answers when it says no: Binance's codes, texts and HTTP statuses.

`ApiError` never leaves this package: the servers turn it into the JSON a client expects.
Source: https://developers.binance.com/docs/binance-spot-api-docs/errors
"""

from __future__ import annotations

import re
from typing import Any


class ApiError(Exception):
    """A refusal with Binance's code and text. Nothing was changed, unless `data` says which half was."""

    def __init__(
        self,
        code: int,
        message: str,
        *,
        http_status: int = 400,
        retry_after_s: int | None = None,
        data: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.http_status = http_status
        self.retry_after_s = retry_after_s
        self.data = data

    def view(self) -> dict[str, Any]:
        body: dict[str, Any] = {"code": self.code, "msg": self.message}
        if self.data is not None:
            body["data"] = self.data
        return body


def internal_error() -> ApiError:
    return ApiError(-1000, "An unknown error occurred while processing the request.", http_status=500)


def too_many_requests(limit: int, retry_after_s: int) -> ApiError:
    message = (
        f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
        "Please use WebSocket Streams for live updates to avoid polling the API."
    )
    return ApiError(-1003, message, http_status=429, retry_after_s=retry_after_s)


def too_many_raw_requests(limit: int, retry_after_s: int) -> ApiError:
    message = f"Too many requests; current limit is {limit} raw requests per 5 MINUTE."
    return ApiError(-1003, message, http_status=429, retry_after_s=retry_after_s)


def banned(until_ms: int, retry_after_s: int) -> ApiError:
    message = (
        f"Way too much request weight used; IP banned until {until_ms}. "
        "Please use WebSocket Streams for live updates to avoid bans."
    )
    return ApiError(-1003, message, http_status=418, retry_after_s=retry_after_s)


def too_many_orders(limit: int, interval: str) -> ApiError:
    """Without Retry-After, as the venue documents it."""
    message = f"Too many new orders; current limit is {limit} orders per {interval}."
    return ApiError(-1015, message, http_status=429)


def status_unknown() -> ApiError:
    """The answer to an order that may have been accepted: a fault a client must survive."""
    message = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    return ApiError(-1007, message, http_status=504)


def unavailable() -> ApiError:
    return ApiError(-1001, "Internal error; unable to process your request. Please try again.", http_status=503)


def outside_recv_window(*, ahead: bool) -> ApiError:
    if ahead:
        return ApiError(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    return ApiError(-1021, "Timestamp for this request is outside of the recvWindow.")


def invalid_signature() -> ApiError:
    return ApiError(-1022, "Signature for this request is not valid.")


def bad_api_key_format() -> ApiError:
    return ApiError(-2014, "API-key format invalid.", http_status=401)


def unknown_api_key() -> ApiError:
    return ApiError(-2015, "Invalid API-key, IP, or permissions for action.", http_status=401)


def illegal_characters(name: str, legal: str) -> ApiError:
    return ApiError(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")


def too_many_parameters() -> ApiError:
    return ApiError(-1101, "Too many parameters sent for this endpoint: one was sent twice.")


def missing_parameter(name: str) -> ApiError:
    return ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def empty_parameter(name: str) -> ApiError:
    return ApiError(-1105, f"Parameter '{name}' was empty.")


def parameter_not_required(name: str) -> ApiError:
    return ApiError(-1106, f"Parameter '{name}' sent when not required.")


def too_precise(name: str) -> ApiError:
    return ApiError(-1111, f"Parameter '{name}' has too much precision.")


def invalid_time_in_force() -> ApiError:
    return ApiError(-1115, "Invalid timeInForce.")


def invalid_order_type() -> ApiError:
    return ApiError(-1116, "Invalid orderType.")


def invalid_side() -> ApiError:
    return ApiError(-1117, "Invalid side.")


def invalid_interval() -> ApiError:
    return ApiError(-1120, "Invalid interval.")


def invalid_symbol() -> ApiError:
    return ApiError(-1121, "Invalid symbol.")


def invalid_symbol_status() -> ApiError:
    return ApiError(-1122, "Invalid symbolStatus.")


def symbol_status_differs() -> ApiError:
    return ApiError(-1220, "The symbol's status does not match the requested symbolStatus.")


def invalid_ticker_type() -> ApiError:
    return ApiError(-1139, "Invalid ticker type.")


def no_reference_price() -> ApiError:
    return ApiError(-2043, "This symbol doesn't have a reference price.")


def invalid_listen_key() -> ApiError:
    return ApiError(-1125, "This listenKey does not exist.")


def iceberg_must_rest() -> ApiError:
    message = "Combination of optional parameters invalid. Recommendation: 'icebergQty' requires 'timeInForce' GTC."
    return ApiError(-1128, message)


def iceberg_exceeds_quantity() -> ApiError:
    return ApiError(-2010, "IcebergQty exceeds QTY.")


def invalid_parameter(name: str) -> ApiError:
    return ApiError(-1130, f"Data sent for parameter '{name}' is not valid.")


def filter_failure(name: str) -> ApiError:
    return ApiError(-1013, f"Filter failure: {name}")


def duplicate_order() -> ApiError:
    return ApiError(-2010, "Duplicate order sent.")


def insufficient_balance() -> ApiError:
    return ApiError(-2010, "Account has insufficient balance for requested action.")


def would_take() -> ApiError:
    return ApiError(-2010, "Order would immediately match and take.")


def would_trigger() -> ApiError:
    return ApiError(-2010, "Stop price would trigger immediately.")


def bad_price_relationship() -> ApiError:
    return ApiError(-2010, "The relationship of the prices for the orders is not correct.")


def unsupported_combination() -> ApiError:
    return ApiError(-1014, "Unsupported order combination.")


def prevention_not_allowed() -> ApiError:
    return ApiError(-1013, "This symbol does not allow the specified self-trade prevention mode.")


def unknown_order_list() -> ApiError:
    return ApiError(-2018, "Order list does not exist.")


def unknown_order_sent() -> ApiError:
    return ApiError(-2011, "Unknown order sent.")


def order_does_not_exist() -> ApiError:
    return ApiError(-2013, "Order does not exist.")


def sbe_refused(header: str) -> ApiError:
    """SBE is not spoken here: a client that asks for it must not get JSON."""
    if not re.fullmatch(r"[0-9]{1,5}:[0-9]{1,5}", header):
        return ApiError(-1152, "Invalid `X-MBX-SBE` header; expected `<SCHEMA_ID>:<VERSION>`.")
    return ApiError(-1155, "SBE is not enabled.")


def invalid_time_unit() -> ApiError:
    return ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")


def logon_needs_ed25519(kind: str) -> ApiError:
    return ApiError(-4056, f"{kind} API key is not supported.")


def bad_combination() -> ApiError:
    return ApiError(-1128, "Combination of optional parameters invalid.")


def duplicate_symbols() -> ApiError:
    return ApiError(-1151, "Symbol is present multiple times in the list.")


def amend_rejected(reason: str) -> ApiError:
    return ApiError(-2038, f"Order amend rejected: {reason}")
