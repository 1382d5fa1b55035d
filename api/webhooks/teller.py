"""A webhook's request: signed, to addresses that were checked, and to nobody else."""

from __future__ import annotations

import ssl
from typing import Final

import aiohttp
from sqlmodel import Session

from api.webhooks.delivery import Reply, Tell, Told
from api.webhooks.guard import CheckedResolver, Guard
from api.webhooks.secrets import Secrets, headers
from api.webhooks.tables import EndpointRow

_ANSWER_BYTES: Final = 1_024
_GONE: Final = 410


class WebhookTeller:
    """Satisfies `Teller`.

    Args:
        secrets: What requests are signed with.
        guard: Where they may go.
        authorities: Whose certificates receivers may show; None is the system's.
    """

    def __init__(self, secrets: Secrets, guard: Guard, authorities: ssl.SSLContext | None = None) -> None:
        self._secrets = secrets
        self._guard = guard
        self._authorities = authorities or True

    def prepare(self, session: Session, endpoint: EndpointRow, now_ns: int) -> Tell:
        url, live = endpoint.url, self._secrets.live(session, endpoint.id, now_ns)

        async def tell(told: Told) -> Reply:
            signed = headers(told.event, told.now_ns // 10**9, told.body, live)
            return await self._post(url, told.body, signed)

        return tell

    async def _post(self, url: str, body: bytes, signed: dict[str, str]) -> Reply:
        scheme = self._guard.parse(url).scheme
        connector = aiohttp.TCPConnector(
            resolver=CheckedResolver(self._guard, scheme),
            use_dns_cache=False,
            force_close=True,
            ssl=self._authorities,
        )
        sent = {"content-type": "application/json", "user-agent": "capstan-webhooks/1", **signed}
        async with (
            # Cookies are kept for nobody, netrc and proxies are the server's own affair.
            aiohttp.ClientSession(
                connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, auto_decompress=False
            ) as session,
            session.post(url, data=body, headers=sent, allow_redirects=False) as response,
        ):
            status = response.status
            answer = (await response.content.read(_ANSWER_BYTES)).decode(errors="replace").replace("\0", "")
            return Reply(
                is_delivered=200 <= status < 300,
                status=status,
                error="redirects are not followed" if 300 <= status < 400 else "",
                answer=answer,
                gone="the receiver answered 410 Gone" if status == _GONE else "",
            )
