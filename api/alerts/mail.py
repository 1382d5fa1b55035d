"""Alerts as e-mails: over TLS or not at all, and one thread for each alert."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from sqlmodel import Session

from api.alerts.channels import VERIFICATION, Channels
from api.alerts.settings import AlertSettings
from api.webhooks.delivery import Reply, Tell, Told
from api.webhooks.tables import EndpointRow
from domain import PlatformError
from runtime.secrets import Secret, resolve_secret

log = structlog.get_logger(__name__)

STEP_S: Final = 4.0
"""Of each word with the server."""
_SHOWN: Final = ("id", "kind", "state", "level", "portfolio", "actor", "note")


class MailTeller:
    """Satisfies `Teller`. A message that was taken twice has one `Message-ID`.

    Args:
        channels: Knows the codes.
        settings: The mail server.
        name: What the product is called here.
        folder: Of the settings' files.
    """

    def __init__(self, channels: Channels, settings: AlertSettings, name: str, folder: Path) -> None:
        self._channels = channels
        self._settings = settings
        self._name = name
        self._folder = folder

    def prepare(self, session: Session, endpoint: EndpointRow, now_ns: int) -> Tell:
        address, code = endpoint.url, self._channels.code(endpoint)

        async def tell(told: Told) -> Reply:
            if not self._settings.smtp_host:
                return Reply(False, error="no mail server is configured: [alerts] smtp_host")
            message = self._message(told, address, code)
            return await asyncio.to_thread(self._send, message)

        return tell

    def _message(self, told: Told, address: str, code: str) -> EmailMessage:
        domain = self._settings.sender.rpartition("@")[2]
        message = EmailMessage()
        message["From"], message["To"] = self._settings.sender, address
        message["Message-ID"] = f"<{told.event}@{domain}>"
        if told.subject is not None:
            message["References"] = message["In-Reply-To"] = f"<{told.subject}@{domain}>"
        message["Auto-Submitted"] = "auto-generated"
        if told.kind == VERIFICATION:
            subject = f"{code} confirms this address"
            text = f"Alerts are to come to this address. If you want them, the code is {code}.\n"
        else:
            body = msgspec.json.decode(told.body)
            data = body["data"]
            subject = _line(told.kind, data)
            text = _text(body["timestamp"], subject, data)
        message["Subject"] = f"[{self._name}] {subject}"
        message.set_content(text)
        return message

    def _send(self, message: EmailMessage) -> Reply:
        settings = self._settings
        try:
            context, password = self._authorities(), self._password()
        except (PlatformError, OSError) as exc:
            # Of files of the installation: not for whoever reads how its channel is told.
            log.error("alerts.mail_unusable", error=str(exc))
            return Reply(False, error="this installation's mail settings cannot be used; its operator's log says why")
        try:
            with self._connect(context) as server:
                if settings.smtp_security == "starttls":
                    server.starttls(context=context)  # Raises where the server does not offer it.
                if password is not None:
                    server.login(settings.smtp_user, password.reveal())
                server.send_message(message)
        except smtplib.SMTPRecipientsRefused as exc:
            code, reason = next(iter(exc.recipients.values()))
            return Reply(False, status=code, error=f"refused: {_words(reason)}", is_final=code >= 500)
        except smtplib.SMTPResponseException as exc:
            return Reply(False, status=exc.smtp_code, error=_words(exc.smtp_error))
        except (smtplib.SMTPException, ssl.SSLError, OSError) as exc:
            return Reply(False, error=f"{type(exc).__name__}: {exc}")
        return Reply(True, status=250, answer="taken by the mail server")

    def _connect(self, context: ssl.SSLContext) -> smtplib.SMTP:
        settings = self._settings
        greeting = settings.sender.rpartition("@")[2]
        host, port = settings.smtp_host, settings.smtp_port
        if settings.smtp_security == "tls":
            return smtplib.SMTP_SSL(host, port, greeting, timeout=STEP_S, context=context)
        return smtplib.SMTP(host, port, greeting, timeout=STEP_S)

    def _authorities(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        if self._settings.smtp_ca:
            context.load_verify_locations(self._folder / self._settings.smtp_ca)
        return context

    def _password(self) -> Secret | None:
        reference = self._settings.smtp_password
        return None if reference is None else resolve_secret(reference, base_dir=self._folder)


def _line(kind: str, data: dict[str, Any]) -> str:
    """What an e-mail is about, in one line."""
    event = kind.partition(".")[2]
    if "summary" not in data:
        return "a test of this channel"
    words = "".join(sign if sign.isprintable() else " " for sign in data["summary"])
    return f"{data['severity']} {event}: {words}"


def _text(time: str, subject: str, data: dict[str, Any]) -> str:
    lines = [subject, "", f"at: {time}"]
    lines += [f"{name}: {data[name]}" for name in _SHOWN if data.get(name)]
    lines += [f"{name}: {value}" for name, value in data.get("detail", {}).items()]
    return "\n".join(lines) + "\n"


def _words(said: bytes | str) -> str:
    return said.decode(errors="replace") if isinstance(said, bytes) else said
