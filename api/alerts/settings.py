"""The section `[alerts]`: by which servers of the installation alerts reach people."""

from __future__ import annotations

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from runtime import SecretRef, SettingsPart


class AlertSettings(SettingsPart):
    """How e-mails go out, and where PagerDuty is."""

    smtp_host: str = ""
    """The mail server; empty: no e-mails. Its certificate is checked; there is no connection without TLS."""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls"] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretRef | None = None
    smtp_ca: str = ""
    """PEM file of the authority of the mail server's certificate, where it is not one that the system knows."""
    sender: str = ""
    """Whom the e-mails are from."""
    pagerduty_url: str = ""
    """Events API v2 in the place of PagerDuty's own, which a channel's region says."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if self.smtp_host and "@" not in self.sender:
            raise ValueError("smtp_host wants a sender: alerts@example.com")
        if bool(self.smtp_user) != (self.smtp_password is not None):
            raise ValueError("smtp_user and smtp_password belong together")
        if self.pagerduty_url and urlsplit(self.pagerduty_url).scheme not in ("https", "http"):
            raise ValueError("pagerduty_url is https://host/path")
        return self
