"""JSON-RPC over HTTP to a remote signer: Web3Signer, Clef, or another `capstan signer serve`."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

import aiohttp

from domain import Address, InputError, InvariantError, OutcomeUnknown, Refused, VenueUnavailable
from wallets.external.signer import SigningRequest

_Result = TypeVar("_Result")
_ANSWER_BYTES_MAX: Final = 1024 * 1024
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True, slots=True)
class RemoteTls:
    """Files of mutual TLS: the authority of the server's certificate, and the certificate that we show."""

    authority: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Make the client's TLS settings; the server's name is checked.

        Raises:
            InputError: A file is missing or malformed.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_verify_locations(self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as exc:
            raise InputError(f"the TLS files for the remote signer cannot be used: {exc}") from exc
        return context


class HttpChannel:
    """One remote signer. Use it as an async context manager.

    Args:
        url: `https://…`, or `http://` on this machine. A name or password in it is refused: it would be logged.
        tls: Needed for https.
        timeout_s: For one request. A remote HSM behind a network may take its time.

    Raises:
        InputError: The URL is neither, or the TLS files cannot be used.
    """

    def __init__(self, url: str, *, tls: RemoteTls | None = None, timeout_s: float = 10.0) -> None:
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise InputError("the remote signer's URL holds a name or password", hint="use a client certificate")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InputError("the remote signer is given by its HTTP URL")
        if (parts.scheme == "https") != (tls is not None):
            raise InputError("https needs the TLS files, and http has none")
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise InputError("a remote signer on another machine is reached by https with a client certificate")
        self._url = url
        self._context = tls.context() if tls is not None else None
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, 3.0))
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # No proxy of the environment, no cookies, no redirect: nobody else is to see or answer a request.
        self._session = aiohttp.ClientSession(timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar())
        return self

    async def __aexit__(self, *_exc: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def check(self, address: Address) -> None:
        """Ask whether the signer is there and says that it holds a key. A hint to the operator, and no proof.

        Raises:
            InputError: It lists other keys.
            VenueUnavailable: It was not reached.
            OutcomeUnknown: Its answer was lost.
        """
        accounts = await self._call("eth_accounts", (), "check")
        if not isinstance(accounts, list) or address.lower() not in {str(account).lower() for account in accounts}:
            raise InputError(f"the remote signer does not list {address}")

    async def ask(self, request: SigningRequest[_Result]) -> _Result:
        """Have a request answered; see `Channel.ask`."""
        answer = await self._call(request.method, request.params, request.id)
        try:
            return request.accept(answer)
        except (InputError, Refused) as exc:
            raise InvariantError(f"the remote signer did not do what it was asked to: {exc}") from exc

    async def _call(self, method: str, params: tuple[Any, ...], request_id: str) -> Any:
        if self._session is None:
            raise InvariantError("the channel is not open")
        body = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": list(params)}
        ssl_option = self._context if self._context is not None else True
        try:
            async with self._session.post(self._url, json=body, ssl=ssl_option, allow_redirects=False) as response:
                # What refused us before the method was looked at has signed nothing.
                if response.status in (401, 403, 404):
                    raise Refused(f"the remote signer does not let us in: HTTP {response.status}", rule="remote-signer")
                answer = json.loads(await _read(response))
        except aiohttp.ClientConnectorError as exc:
            raise VenueUnavailable(f"the remote signer was not reached: {type(exc).__name__}") from exc
        except (aiohttp.ClientError, TimeoutError, ValueError, RecursionError) as exc:
            raise OutcomeUnknown(f"the remote signer's answer to {method} was lost", request_id=request_id) from exc
        if (
            not isinstance(answer, dict)
            or answer.get("id") != request_id
            or ("result" in answer) == ("error" in answer)
        ):
            raise OutcomeUnknown(f"the remote signer's answer to {method} is not JSON-RPC", request_id=request_id)
        if "error" in answer:
            raise _refusal(answer["error"], request_id)
        return answer["result"]


async def _read(response: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in response.content.iter_chunked(64 * 1024):
        content += chunk
        if len(content) > _ANSWER_BYTES_MAX:
            raise ValueError("too long")
    return bytes(content)


def _refusal(error: Any, request_id: str) -> Exception:
    """Sort a JSON-RPC error by what to do next; its text is the remote's, and shortened."""
    fields: Mapping[str, Any] = error if isinstance(error, Mapping) else {}
    code, data = fields.get("code"), fields.get("data")
    message = f"the remote signer: {str(fields.get('message', 'an error'))[:300]}"
    if code == -32003:
        rule = data.get("rule") if isinstance(data, Mapping) else None
        return Refused(message, rule=rule if isinstance(rule, str) else "remote-signer")
    if code in (-32600, -32601, -32602):
        return InputError(message)
    if isinstance(data, Mapping) and "asked" in data:
        return OutcomeUnknown(message, request_id=request_id)
    return VenueUnavailable(message)
