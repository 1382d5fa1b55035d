"""The node behind the signer: everything that needs no key is handed to it as it came."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import aiohttp

from domain import InputError, InvariantError, OutcomeUnknown, VenueUnavailable
from wallets.rpc.wire import RpcRefusal

_ANSWER_BYTES_MAX = 32 * 1024 * 1024


class Upstream:
    """One JSON-RPC node over HTTP. Use it as an async context manager."""

    def __init__(self, url: str, *, timeout_s: float = 20.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise InputError("an upstream node is given by its HTTP URL")
        self._url = url
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=3)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=self._timeout)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def ask(self, method: str, params: Sequence[Any]) -> Any:
        """Ask one question; gives its result.

        Raises:
            RpcRefusal: The node answered an error, which is handed on as it is.
            VenueUnavailable: It was not reached.
            OutcomeUnknown: It was asked, and its answer was lost.
        """
        if self._session is None:
            raise InvariantError("the upstream is not open")
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        try:
            async with self._session.post(self._url, json=request) as response:
                if (response.content_length or 0) > _ANSWER_BYTES_MAX:
                    raise OutcomeUnknown(f"the node's answer to {method} is too long", request_id=method)
                answer = await response.json(content_type=None)
        except aiohttp.ClientConnectorError as exc:
            raise VenueUnavailable("the upstream node was not reached") from exc
        except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
            raise OutcomeUnknown(f"the node's answer to {method} was lost", request_id=method) from exc
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise OutcomeUnknown(f"the node's answer to {method} is not JSON-RPC", request_id=method)
        if (error := answer.get("error")) is not None:
            raise RpcRefusal(error if isinstance(error, dict) else {"code": -32603, "message": str(error)})
        return answer["result"]
