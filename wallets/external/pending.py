"""Requests that wait for a person: shown somewhere, signed in the person's own wallet, brought back.

Whoever shows them (an API, a WalletConnect session) lists what waits, and hands in an answer or a refusal. A wrong
answer is told to whoever brought it, and the request goes on waiting; a right one reaches the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from domain import Address, InputError, OutcomeUnknown, Refused, VenueUnavailable
from wallets.external.signer import SigningRequest

_Result = TypeVar("_Result")
_WAITING_MAX: Final = 1000


@dataclass(slots=True)
class _Waiting:
    request: SigningRequest[Any]
    answer: asyncio.Future[Any]


class PendingRequests:
    """A `Channel` to people. Belongs to one event loop.

    Args:
        patience_s: How long a request waits. The person may have signed by then and kept the bytes: the outcome of one
            that was not answered is unknown.
    """

    def __init__(self, *, patience_s: float = 600.0) -> None:
        self._patience_s = patience_s
        self._waiting: dict[str, _Waiting] = {}
        self._told: Callable[[SigningRequest[Any]], None] | None = None

    def on_request(self, tell: Callable[[SigningRequest[Any]], None]) -> None:
        """Call `tell` for each new request, besides listing it."""
        self._told = tell

    def waiting(self, address: Address | None = None) -> list[SigningRequest[Any]]:
        """List what waits, oldest first; of one account only, when it is given."""
        found = [waiting.request for waiting in self._waiting.values()]
        return [request for request in found if address is None or request.address == address]

    def answer(self, request_id: str, result: Any) -> None:
        """Hand in what the person's wallet returned.

        Raises:
            InputError: No such request waits, or the answer is not what was asked for; then it goes on waiting.
        """
        waiting = self._find(request_id)
        accepted = waiting.request.accept(result)
        waiting.answer.set_result(accepted)
        del self._waiting[request_id]

    def decline(self, request_id: str, reason: str = "") -> None:
        """Say that the person does not sign.

        Raises:
            InputError: No such request waits.
        """
        waiting = self._find(request_id)
        del self._waiting[request_id]
        waiting.answer.set_exception(
            Refused(
                f"{waiting.request.address} declined to sign{f': {reason[:200]}' if reason else ''}", rule="declined"
            )
        )

    async def ask(self, request: SigningRequest[_Result]) -> _Result:
        """Wait until the person has answered; see `Channel.ask`."""
        if len(self._waiting) >= _WAITING_MAX:
            raise VenueUnavailable(f"{_WAITING_MAX} requests wait for people already")
        answer: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._waiting[request.id] = _Waiting(request, answer)
        try:
            if self._told is not None:
                self._told(request)
            async with asyncio.timeout(self._patience_s):
                return await answer
        except TimeoutError as exc:
            raise OutcomeUnknown(
                f"{request.address} did not answer, and may have signed", request_id=request.id
            ) from exc
        finally:
            self._waiting.pop(request.id, None)

    def _find(self, request_id: str) -> _Waiting:
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.answer.done():
            raise InputError("no such request waits for a signature")
        return waiting
