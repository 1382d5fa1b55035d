"""Where the venue's three doors are: REST, streams, WebSocket API; for trading, for testing, or at a server named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from cex.settings import VenueSettings


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Base URLs without a slash at the end."""

    rest: str
    streams: str
    ws_api: str

    @classmethod
    def of(cls, settings: VenueSettings) -> Self:
        if settings.base_url is not None:
            base = settings.base_url.rstrip("/")
            socket = "ws" + base.removeprefix("http")
            return cls(f"{base}/api/v3", f"{socket}/ws", f"{socket}/ws-api/v3")
        if settings.testnet:
            return cls(
                "https://testnet.binance.vision/api/v3",
                "wss://stream.testnet.binance.vision/ws",
                "wss://ws-api.testnet.binance.vision/ws-api/v3",
            )
        return cls(
            "https://api.binance.com/api/v3",
            "wss://stream.binance.com:9443/ws",
            "wss://ws-api.binance.com:443/ws-api/v3",
        )
