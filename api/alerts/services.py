"""What the routes of alerts work with, and what a worker tells them by."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

from api.alerts.book import AlertBook
from api.alerts.channels import Channels
from api.alerts.mail import MailTeller
from api.alerts.pagerduty import PagerDutyTeller
from api.alerts.push import LocalPushes, PushTeller
from api.alerts.settings import AlertSettings
from api.auth.settings import ApiSettings
from api.core.keys import ServerKey
from api.webhooks import Webhooks, WebhookTeller
from api.webhooks.delivery import Teller
from runtime.database import Database


class Alerts:
    """One process's."""

    def __init__(self, database: Database, key: ServerKey, now_ns: Callable[[], int], settings: AlertSettings) -> None:
        self.book = AlertBook(database, now_ns)
        self.channels = Channels(key)
        self.settings = settings


def make_tellers(
    key: ServerKey, settings: ApiSettings, alerts: AlertSettings, folder: Path, now_ns: Callable[[], int]
) -> dict[str, Teller]:
    """A teller for each kind of receiver there is.

    Args:
        key: The server's own.
        settings: Networks and names.
        alerts: The mail server, PagerDuty.
        folder: Of the installation.
        now_ns: The clock.
    """
    webhooks, channels = Webhooks(key, now_ns, settings.webhook_networks), Channels(key)
    authorities = None
    if settings.webhook_ca:
        authorities = ssl.create_default_context()
        authorities.load_verify_locations(folder / settings.webhook_ca)
    return {
        "webhook": WebhookTeller(webhooks.secrets, webhooks.guard, authorities),
        "pagerduty": PagerDutyTeller(channels, settings.host, alerts.pagerduty_url),
        "email": MailTeller(channels, alerts, settings.name, folder),
        "push": PushTeller(channels, LocalPushes(folder / "pushes.jsonl")),
    }
