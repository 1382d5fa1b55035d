"""The section `[api.tls]` of an installation: the API speaks TLS itself, 1.3 and nothing older."""

from __future__ import annotations

from runtime import SettingsPart


class TlsSettings(SettingsPart):
    """Paths are relative to the settings file."""

    certificate: str
    """PEM file of the server's certificate, those that vouch for it after it."""
    key: str
    """PEM file of its private key, without a password; mode 0600."""
    client_authorities: str = ""
    """PEM file of authorities: whoever connects shows a certificate of one of them. Empty: none is asked for."""
