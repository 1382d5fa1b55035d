"""PagerDuty's Events API v2 as its public documentation has it: what it refuses, and what becomes of incidents."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from aiohttp import web

SEVERITIES = ("critical", "error", "warning", "info")


class PagerDuty:
    """One service on loopback. `answers` are statuses it gives before it works again."""

    def __init__(self, routing_key: str) -> None:
        self.routing_key = routing_key
        self.incidents: dict[str, str] = {}
        self.got: list[dict[str, Any]] = []
        self.answers: list[int] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        if self.answers and (status := self.answers.pop(0)):
            return web.Response(status=status, text="later")
        try:
            sent = json.loads(await request.read())
        except ValueError:
            return _refused("Event object is invalid")
        if errors := self._wrong(sent):
            return _refused(*errors)
        self.got.append(sent)
        key, action = sent["dedup_key"], sent["event_action"]
        if action == "trigger":
            self.incidents[key] = "acknowledged" if self.incidents.get(key) == "acknowledged" else "triggered"
        elif self.incidents.get(key, "resolved") != "resolved":  # Of keys that are not open nothing becomes.
            self.incidents[key] = f"{action.removesuffix('e')}ed"
        said = {"status": "success", "message": "Event processed", "dedup_key": key}
        return web.json_response(said, status=202)

    def _wrong(self, sent: dict[str, Any]) -> list[str]:
        errors = []
        if sent.get("routing_key") != self.routing_key:
            errors.append("'routing_key' is invalid")
        if sent.get("event_action") not in ("trigger", "acknowledge", "resolve"):
            errors.append(
                "'event_action' is invalid (must be one of the following: 'trigger', 'acknowledge', 'resolve')"
            )
        if not 0 < len(sent.get("dedup_key", "")) <= 255:
            errors.append("'dedup_key' is invalid (must be a string with length <= 255)")
        if sent.get("event_action") == "trigger":
            payload = sent.get("payload", {})
            if not 0 < len(payload.get("summary", "")) <= 1_024:
                errors.append("'payload.summary' is missing or blank")
            if not payload.get("source"):
                errors.append("'payload.source' is missing or blank")
            if payload.get("severity") not in SEVERITIES:
                errors.append("'payload.severity' is invalid")
            datetime.fromisoformat(payload["timestamp"])
        return errors


def _refused(*errors: str) -> web.Response:
    said = {"status": "invalid event", "message": "Event object is invalid", "errors": list(errors)}
    return web.json_response(said, status=400)
