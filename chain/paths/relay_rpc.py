"""JSON-RPC to a relay: one endpoint, one answer, each request signed.

A relay knows its users by a key that holds no funds: every body is hashed, and the hash (as 0x text) signed as a
personal message (EIP-191). Nothing is ever tried at another endpoint, let alone a public one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import aiohttp
import msgspec

from chain.errors import NodeRefused
from chain.keccak import checksum, keccak256
from domain.errors import InputError, OutcomeUnknown, VenueUnavailable

HEADER: Final = "X-Flashbots-Signature"

SignText: TypeAlias = Callable[[str], Awaitable[bytes]]
"""Signs a text as a personal message (EIP-191) and gives 65 bytes: r, s, v."""


class RelayRpc:
    """A relay's endpoint. Open as an async context manager; `address` is whose signature `sign` makes."""

    def __init__(
        self,
        url: str,
        address: str,
        sign: SignText,
        *,
        request_timeout_s: float = 10.0,
        connect_timeout_s: float = 2.0,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError("a relay's URL begins with http:// or https://")
        self._url = url
        self._address = checksum(address)
        self._sign = sign
        self._timeout = aiohttp.ClientTimeout(total=request_timeout_s, sock_connect=connect_timeout_s)
        self._session: aiohttp.ClientSession | None = None
        self._number = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def request(self, method: str, *params: Any, request_id: str = "") -> Any:
        """Ask once. `request_id` is what to ask about later when no answer comes: a transaction's hash.

        Raises:
            NodeRefused: The relay said no.
            VenueUnavailable: It was not reached: nothing was taken.
            OutcomeUnknown: It may have taken what it was sent, and did not say.
        """
        if self._session is None:
            raise VenueUnavailable("the relay's client is not open", hint="Use it as an async context manager.")
        self._number += 1
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": self._number, "method": method, "params": list(params)})
        signature = await self._sign("0x" + keccak256(body).hex())
        headers = {"content-type": "application/json", HEADER: f"{self._address}:0x{signature.hex()}"}
        try:
            async with self._session.post(self._url, data=body, headers=headers) as response:
                answer = msgspec.json.decode(await response.read())
        except aiohttp.ClientConnectorError as exc:
            raise VenueUnavailable(f"the relay cannot be reached: {exc.strerror or type(exc).__name__}") from exc
        except (TimeoutError, aiohttp.ClientError, OSError, msgspec.DecodeError) as exc:
            raise OutcomeUnknown(
                f"the relay gave no usable answer to {method}: {type(exc).__name__}", request_id=request_id
            ) from exc
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise OutcomeUnknown(f"the relay's answer to {method} is no JSON-RPC", request_id=request_id)
        error = answer.get("error")
        if error:
            code, text = (error.get("code", 0), error.get("message", "")) if isinstance(error, dict) else (0, error)
            raise NodeRefused(f"the relay refused {method}: {text}", code=int(code), data=error)
        return answer["result"]
