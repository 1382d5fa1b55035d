"""PagerDuty's Events API v2: one incident for each alert, by its id as the `dedup_key`.

https://developer.pagerduty.com/docs/events-api-v2-overview: `trigger`, `acknowledge` and `resolve` of one key are in
order by themselves, because what was not told yet gives way to what is newer (`Outbox.announce`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

import aiohttp
import msgspec
from sqlmodel import Session

from api.alerts.channels import Channels, options_of
from api.webhooks.delivery import Reply, Tell, Told
from api.webhooks.tables import EndpointRow

URLS: Final = MappingProxyType(
    {"us": "https://events.pagerduty.com/v2/enqueue", "eu": "https://events.eu.pagerduty.com/v2/enqueue"}
)
_ACTIONS: Final = MappingProxyType({"alert.acknowledged": "acknowledge", "alert.resolved": "resolve"})
_AGAIN: Final = (408, 429)
"""Of the 4xx, those that say "later"; all others would be refused again."""
_SUMMARY_MAX: Final = 1_024
_ANSWER_BYTES: Final = 1_024


class PagerDutyTeller:
    """Satisfies `Teller`.

    Args:
        channels: Their routing keys.
        source: What incidents are said to come from.
        url: In the place of the region's.
    """

    def __init__(self, channels: Channels, source: str, url: str = "") -> None:
        self._channels = channels
        self._source = source
        self._url = url

    def prepare(self, session: Session, endpoint: EndpointRow, now_ns: int) -> Tell:
        url = self._url or URLS[options_of(endpoint).region]
        routing_key = self._channels.secret(session, endpoint.id)

        async def tell(told: Told) -> Reply:
            return await _post(url, event(told, routing_key, self._source))

        return tell


def event(told: Told, routing_key: str, source: str) -> dict[str, Any]:
    """What is sent of an event."""
    body = msgspec.json.decode(told.body)
    data = body["data"]
    action = _ACTIONS.get(told.kind, "trigger")
    sent: dict[str, Any] = {
        "routing_key": routing_key, "event_action": action, "dedup_key": told.subject or told.event,
        "client": "Capstan",
    }  # fmt: skip
    if action == "trigger":
        sent["payload"] = {
            "summary": str(data.get("summary") or "a test of this channel")[:_SUMMARY_MAX],
            "source": source,
            "severity": data.get("severity", "info"),
            "timestamp": body["timestamp"],
            "component": "capstan",
            "class": data.get("kind", told.kind),
            "custom_details": data,
        }
    return sent


async def _post(url: str, sent: dict[str, Any]) -> Reply:
    headers = {"content-type": "application/json"}
    async with (
        aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False) as session,
        session.post(url, data=msgspec.json.encode(sent), headers=headers, allow_redirects=False) as response,
    ):
        status = response.status
        answer = (await response.content.read(_ANSWER_BYTES)).decode(errors="replace").replace("\0", "")
        return Reply(
            is_delivered=200 <= status < 300,
            status=status,
            answer=answer,
            is_final=300 <= status < 500 and status not in _AGAIN,
        )
