"""One error tree, sorted by what the caller should do next.

    PlatformError
    ├── InputError            the caller can fix it                        HTTP 422
    ├── Refused               policy, limit or sanctions said no           HTTP 403, never retried
    ├── VenueError            a venue, node or signer did not do it
    │   ├── VenueUnavailable  nothing was accepted: retrying is safe
    │   ├── OutcomeUnknown    it may have been accepted: ask, never resend
    │   └── OrderRejected     the venue answered no, with its reason
    └── InvariantError        our bug: stop the component, page someone

Adapters translate foreign exceptions at their edge; nothing of ccxt, web3 or SQLAlchemy escapes its package.
Messages say what was expected and what was found, with ids, never with secrets.
"""

from __future__ import annotations


class PlatformError(Exception):
    """Any failure the platform knows by name.

    `hint` is one sentence that tells a person what to do about it, or empty.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class InputError(PlatformError):
    """The request is malformed or impossible; the caller can fix it. Nothing was changed."""


class Refused(PlatformError):
    """Policy, a limit or screening said no. Never retried; `rule` names what refused."""

    def __init__(self, message: str, *, rule: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.rule = rule


class VenueError(PlatformError):
    """A venue, a node or a signer process did not do what was asked."""


class VenueUnavailable(VenueError):
    """Nothing was accepted: retrying is safe."""


class OutcomeUnknown(VenueError):
    """It may have been accepted: ask by `request_id`, never resend."""

    def __init__(self, message: str, *, request_id: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.request_id = request_id


class OrderRejected(VenueError):
    """The venue answered no. `code` is the venue's own, `reason` its text."""

    def __init__(self, message: str, *, code: str = "", reason: str = "", hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.reason = reason


class InvariantError(PlatformError):
    """Our bug: something that must hold does not. Stop the component and page someone."""
