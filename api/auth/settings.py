"""The section `[api]` of an installation: who the API is to the outside, and how long things are good."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from api.auth.networks import parse_networks
from api.auth.tls_settings import TlsSettings
from domain import InputError
from runtime import SettingsPart


class ApiSettings(SettingsPart):
    """How the API is known, and whom it believes."""

    name: str = Field(default="Capstan", min_length=1, max_length=60)
    """What people see in authenticator apps, passkey dialogs and login pages."""
    url: str = "http://localhost:8460"
    """The API as its callers reach it: issuer of access tokens, site of passkeys, domain of Sign-In with Ethereum."""
    origins: tuple[str, ...] = ()
    """Further origins of web pages that people log in on (`https://desk.example.com`)."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or blocks whose `X-Forwarded-For` is believed. None: the socket's other end is the caller."""
    redis: str = ""
    """URL of the Redis in which several API processes share nonces and rates. Empty: this process is the only one."""
    access_minutes: int = Field(default=10, ge=1, le=60)
    """How long an access token is good; what its holder may do is looked up again every second."""
    refresh_days: int = Field(default=14, ge=1, le=90)
    """A session that was not refreshed for so long is over."""
    session_days: int = Field(default=90, ge=1, le=365)
    """A session is over after so long, whatever was refreshed."""
    signing_key_days: int = Field(default=30, ge=2, le=365)
    """How long one key signs access tokens."""
    rate_limit: int = Field(default=1_200, ge=60, le=6_000_000)
    """Weight a minute of each caller of a new organisation."""
    password_memory_kib: int = Field(default=65_536, ge=64, le=1_048_576)
    """Memory of argon2id; the default is RFC 9106's second choice."""

    tls: TlsSettings | None = None
    """Certificate and key: the API speaks TLS 1.3 itself, and may listen beyond this machine. None: a proxy does."""
    drain_s: float = Field(default=0.0, ge=0, le=300)
    """After SIGTERM new requests are told 503 for so long before nobody listens: for balancers to notice."""
    connections_max: int = Field(default=8_192, ge=16, le=1_000_000)
    """Connections of a process; one more is closed."""
    connections_per_address_max: int = Field(default=256, ge=1, le=1_000_000)
    """Of them, from one address; this machine and trusted proxies are not counted."""
    webhook_networks: tuple[str, ...] = ()
    """Private blocks in which webhooks' receivers may stand, over plain http too. None: public addresses and https."""
    webhook_ca: str = ""
    """PEM file of an authority whose certificates webhooks' receivers may show besides those that the system knows."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        try:
            parse_networks((*self.trusted_proxies, *self.webhook_networks))
        except InputError as exc:
            raise ValueError(str(exc)) from exc
        if self.tls is not None and not self.url.startswith("https://"):
            raise ValueError("with [api.tls] the API's url begins with https://")
        for url in (self.url, *self.origins):
            parts = urlsplit(url)
            is_safe = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL)
            if not is_safe or not parts.hostname or parts.path or parts.query or parts.username:
                raise ValueError("an origin is https://host[:port]; http is for localhost only")
        return self

    @property
    def host(self) -> str:
        """The site of passkeys: the URL's host."""
        return urlsplit(self.url).hostname or ""

    @property
    def all_origins(self) -> tuple[str, ...]:
        return (self.url, *self.origins)


_LOCAL = ("localhost", "127.0.0.1", "::1")
