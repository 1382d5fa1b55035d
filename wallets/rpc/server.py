"""Listeners of the JSON-RPC: Unix socket, mutual TLS, and loopback HTTP for development.

Over mutual TLS (1.3 only) a client must show a certificate of the given authority *and* be on the list of clients.
The development listener is bound to 127.0.0.1 and refuses what a browser could have been tricked into sending: requests
with an `Origin`, with a `Host` that is not loopback (DNS rebinding), or with another content type than JSON.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import structlog
from aiohttp import web

from domain import InputError
from wallets.rpc.access import EVERYTHING, Access, ClientList
from wallets.rpc.methods import RpcMethods
from wallets.service import clear_stale_socket

log = structlog.get_logger(__name__)

_BODY_BYTES_MAX: Final = 1024 * 1024
_REQUESTS_MAX: Final = 128
"""Requests worked on at once; more wait."""
_LOOPBACK_NAMES: Final = frozenset({"127.0.0.1", "localhost"})
_Admit = Callable[[web.Request], Access | None]


@dataclass(frozen=True, slots=True)
class MutualTls:
    """Where to listen with TLS, as whom, and to whom. Files are PEM."""

    host: str
    port: int
    certificate: Path
    key: Path
    client_authority: Path
    clients: ClientList

    def context(self) -> ssl.SSLContext:
        """Make the server's TLS settings.

        Raises:
            InputError: A file is missing or malformed.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_cert_chain(self.certificate, self.key)
            context.load_verify_locations(self.client_authority)
        except (OSError, ssl.SSLError) as exc:
            raise InputError(f"the signer's TLS files cannot be used: {exc}") from exc
        return context


class RpcServer:
    """Serves `RpcMethods` on any number of listeners while its context is open."""

    def __init__(self, methods: RpcMethods) -> None:
        self._methods = methods
        self._working = asyncio.Semaphore(_REQUESTS_MAX)
        self._opened = AsyncExitStack()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._opened.aclose()

    async def listen_unix(self, path: Path) -> None:
        """Listen for HTTP on a socket that only this user's processes can open (mode 0600).

        Raises:
            InputError: Another signer listens there, or the path is not a socket.
        """
        await clear_stale_socket(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = os.umask(0o177)
        try:
            await self._open(lambda runner: web.UnixSite(runner, path), lambda _request: EVERYTHING)
        finally:
            os.umask(before)
        self._opened.callback(path.unlink, missing_ok=True)
        log.info("signer.rpc.listening", socket=str(path))

    async def listen_tls(self, tls: MutualTls) -> None:
        """Listen with mutual TLS."""

        def admit(request: web.Request) -> Access | None:
            connection = request.transport.get_extra_info("ssl_object") if request.transport is not None else None
            certificate = connection.getpeercert(binary_form=True) if connection is not None else None
            return tls.clients.find(certificate) if certificate else None

        context = tls.context()
        await self._open(lambda runner: web.TCPSite(runner, tls.host, tls.port, ssl_context=context), admit)
        log.info("signer.rpc.listening", host=tls.host, port=tls.port, clients=[one.name for one in tls.clients.client])

    async def listen_dev_http(self, port: int) -> None:
        """Listen for plain HTTP on loopback: for development, where every process of the machine is trusted."""

        def admit(request: web.Request) -> Access | None:
            is_local = request.host.rpartition(":")[0] in _LOOPBACK_NAMES or request.host in _LOOPBACK_NAMES
            return EVERYTHING if is_local and "Origin" not in request.headers else None

        await self._open(lambda runner: web.TCPSite(runner, "127.0.0.1", port), admit)
        log.warning("signer.rpc.listening_for_development", port=port)

    async def _open(self, make_site: Callable[[web.AppRunner], web.BaseSite], admit: _Admit) -> None:
        application = web.Application(client_max_size=_BODY_BYTES_MAX)
        application.router.add_get("/upcheck", self._upcheck)
        application.router.add_post("/", self._handler(admit))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=2.0)
        await runner.setup()
        self._opened.push_async_callback(runner.cleanup)
        try:
            await make_site(runner).start()
        except OSError as exc:
            raise InputError(f"cannot listen: {exc.strerror or exc}", hint="choose another port or socket") from exc

    def _handler(self, admit: _Admit) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            access = admit(request)
            if access is None:
                log.warning("signer.rpc.not_admitted", peer=str(request.remote))
                return web.json_response({"error": "this client is not on the signer's list"}, status=403)
            if request.content_type != "application/json":
                return web.json_response({"error": "application/json is expected"}, status=415)
            body = await request.read()
            async with self._working:
                return web.json_response(await self._methods.answer(body, access))

        return handle

    async def _upcheck(self, _request: web.Request) -> web.Response:
        return web.Response(text="OK")
