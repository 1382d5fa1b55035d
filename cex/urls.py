"""Points a ccxt client at another server: every URL it knows keeps its path and changes its scheme and host.

ccxt keeps URLs as nested dictionaries that differ from exchange to exchange; `hostname` alone cannot change the scheme.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

_WEBSOCKET = {"http": "ws", "https": "wss"}


def rewrite(urls: Any, base_url: str) -> Any:
    """Give ccxt's `urls["api"]` (dictionaries, lists, texts) with every http(s) and ws(s) URL moved to `base_url`."""
    if isinstance(urls, dict):
        return {key: rewrite(value, base_url) for key, value in urls.items()}
    if isinstance(urls, list):
        return [rewrite(value, base_url) for value in urls]
    if isinstance(urls, str):
        return _move(urls, base_url)
    return urls


def _move(url: str, base_url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("http", "https", "ws", "wss"):
        return url
    base = urlsplit(base_url)
    host, slash, path = rest.partition("/")
    moved = base.scheme if scheme.startswith("http") else _WEBSOCKET[base.scheme]
    prefix = base.path.rstrip("/")
    # ccxt tells Binance's spot streams from its futures streams by "/stream" in the URL, which the real host's name
    # (`wss://stream.binance.com`) provides; without it every depth message is dropped in silence.
    if scheme.startswith("ws") and host.startswith("stream.binance.") and "/stream" not in slash + path:
        prefix += "/stream"
    return f"{moved}://{base.netloc}{prefix}{slash}{path}"
