"""TLS for the API's server."""

from __future__ import annotations

import ssl
from pathlib import Path

from api.auth.tls_settings import TlsSettings
from domain import InputError


def server_context(settings: TlsSettings, root: Path) -> ssl.SSLContext:
    """Make the context: TLS 1.3 at least, and a client's certificate where authorities are named.

    Raises:
        InputError: A file cannot be read, is no PEM, or key and certificate do not belong together.
    """
    key = root / settings.key
    if key.exists() and key.stat().st_mode & 0o077:
        raise InputError(f"{key} can be read by others", hint=f"chmod 600 {key}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Never asks for a password on the terminal: a key that has one is refused.
        context.load_cert_chain(root / settings.certificate, key, password=lambda: b"")
        if settings.client_authorities:
            context.load_verify_locations(root / settings.client_authorities)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ValueError) as exc:  # ssl's errors are OSErrors.
        raise InputError(
            f"[api.tls]: {settings.certificate} and {settings.key} cannot be used: {exc}",
            hint="PEM files: certificate chain, unencrypted key that belongs to it, authorities of clients",
        ) from exc
    return context
