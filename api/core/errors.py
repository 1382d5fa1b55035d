"""Errors that only an HTTP front has, each with a status and a code that never changes; others are `domain.errors`."""

from __future__ import annotations

from collections.abc import Mapping

from domain import PlatformError


class ApiError(PlatformError):
    """What a request was answered with, and nothing was changed."""

    status = 400
    code = "bad_request"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "",
        headers: Mapping[str, str] | None = None,
        claimed: str = "",
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code or type(self).code
        self.headers = dict(headers or {})
        self.claimed = claimed
        """For the log: who a caller that was not admitted has named, as `key:key_…`, `session:ses_…`, `wallet:0x…`."""


class BadRequest(ApiError):
    """A header, a query or a cursor that cannot be read."""


class Unauthenticated(ApiError):
    """Nobody, or not who they say they are."""

    status = 401
    code = "unauthenticated"


class Forbidden(ApiError):
    """Known, and not allowed to."""

    status = 403
    code = "forbidden"


class NotFound(ApiError):
    """There is none, or none that the caller may know of: the answer is the same."""

    status = 404
    code = "not_found"


class Conflict(ApiError):
    """It contradicts what is there."""

    status = 409
    code = "conflict"


class TooManyRequests(ApiError):
    """Beyond what the caller may ask in a window; `Retry-After` says when again."""

    status = 429
    code = "too_many_requests"
