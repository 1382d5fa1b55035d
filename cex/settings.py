"""An exchange account in the settings: which venue, which instruments, and keys by reference."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, JsonValue, field_validator, model_validator

from domain import VenueId
from runtime import SecretRef, SettingsPart

_LITERAL = "literal-test:"


class RateLimit(SettingsPart):
    """At most `limit` of `kind` in each window."""

    kind: Literal["requests", "queries", "orders", "trading", "weight"]
    """Every request; all but orders and cancels; new orders; orders and cancels; Binance's weights."""
    limit: Annotated[int, Field(ge=1)]
    window_s: Annotated[int, Field(ge=1, le=86_400)]


class VenueSettings(SettingsPart):
    """One account at one exchange. The keys may trade and read; they need not, and should not, withdraw."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9]{1,16}$")]
    """Our own name of the venue; instruments become `<id>:<symbol>`."""
    exchange: Annotated[str, Field(pattern=r"^[a-z0-9]{1,32}$")]
    """The exchange's id in ccxt, `binance`."""
    testnet: bool = True
    """Use the exchange's test environment; refused where it has none. Ignored with `base_url`."""
    base_url: str | None = None
    """`http(s)://host:port` of a server that speaks the exchange's protocol: all REST and WebSocket calls go there."""
    instruments: Annotated[tuple[str, ...], Field(min_length=1)]
    """The venue's symbols, `ETHUSDC`."""
    api_key: SecretRef | None = None
    """The key's name; the account's address where the exchange knows accounts by addresses (Hyperliquid)."""
    secret: SecretRef | None = None
    """HMAC secret, a PEM private key where the exchange takes one, or the private key of a wallet that may trade."""
    passphrase: SecretRef | None = None
    """Third credential that some exchanges want (ccxt's `password`)."""
    account: str | None = None
    """The account's id, where the exchange wants one beside the keys (ccxt's `uid`, `login` or `accountId`)."""
    depth_levels: Annotated[int, Field(ge=1, le=500)] = 10
    """Levels a side that are reported with each change of a book."""
    feed: Literal["auto", "ccxt"] = "auto"
    """`auto` takes the native path where there is one (Binance protocol), for data, orders and queries alike, and reads
    spot books with checksums itself (Bitfinex, Kraken, OKX); `ccxt` goes through ccxt everywhere."""
    orders: Literal["auto", "rest"] = "auto"
    """`auto` sends orders by WebSocket where the venue takes them so; `rest` by HTTP only (of the native path)."""
    book_level: Literal[2, 3] = 2
    """3 follows single orders where the venue tells them (Bitfinex), besides the levels."""
    feeds: Annotated[int, Field(ge=1, le=4)] = 1
    """Connections per instrument for market data; the first valid message wins, and one that fails is not missed."""
    feed_urls: tuple[str, ...] = ()
    """`http(s)://host[:port]` of further servers of the same exchange: each is one more connection, or takes one of
    `feeds`."""
    feed_stall_ms: Annotated[int, Field(ge=100, le=60_000)] = 1_000
    """A connection that is silent for so long while another of its instrument speaks is opened anew."""
    asset_decimals: Annotated[int, Field(ge=0, le=18)] = 8
    """Decimals of the venue's finest unit, in which its assets are counted. Amounts that are finer are errors."""
    recv_window_ms: Annotated[int, Field(ge=100, le=60_000)] = 3_000
    """An order that reaches the venue later than this is refused by it; an unknown order is not found until then."""
    request_timeout_ms: Annotated[int, Field(ge=100, le=60_000)] = 5_000
    stale_after_ms: Annotated[int, Field(ge=100, le=600_000)] = 5_000
    """A feed that is silent for so long is checked against REST."""
    poll_ms: Annotated[int, Field(ge=100, le=600_000)] = 15_000
    """Trades and open orders are compared with REST this often, besides after every reconnect."""
    dead_man_s: Annotated[int, Field(ge=0, le=86_400)] | None = None
    """Seconds of our silence after which the venue cancels every open order of the account, also those of others; 0 is
    never. Left out: a minute where the venue's profile knows such a switch (`capstan venues show`), else never."""
    rate_limits: tuple[RateLimit, ...] = ()
    """The account's own limits, in place of those of the venue's profile."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Laid over ccxt's own options of the exchange, and over the profile's."""

    @field_validator("base_url")
    @classmethod
    def _is_base_url(cls, value: str | None) -> str | None:
        if value is not None:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
                raise ValueError("expected http(s)://host[:port] without user or query")
        return value

    @field_validator("feed_urls")
    @classmethod
    def _are_base_urls(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(value) > 3:
            raise ValueError("expected at most 3 further servers")
        for url in value:
            cls._is_base_url(url)
        return value

    @field_validator("instruments")
    @classmethod
    def _once_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("an instrument is named twice")
        return value

    @model_validator(mode="after")
    def _level_fits(self) -> Self:
        if self.book_level == 3 and self.feed != "auto":
            raise ValueError('book_level = 3 needs feed = "auto"')
        return self

    @model_validator(mode="after")
    def _keys_fit(self) -> Self:
        if (self.api_key is None) != (self.secret is None):
            raise ValueError("api_key and secret are given together or not at all")
        references = (self.api_key, self.secret, self.passphrase)
        if not self.is_loopback and any(ref is not None and ref.startswith(_LITERAL) for ref in references):
            raise ValueError("literal-test: keys are for a base_url on this machine only")
        return self

    @property
    def venue_id(self) -> VenueId:
        return VenueId(self.id)

    @property
    def lines(self) -> int:
        """Connections per instrument for market data."""
        return max(self.feeds, 1 + len(self.feed_urls))

    @property
    def further_lines(self) -> tuple[str | None, ...]:
        """The base URL of each connection beyond the first, `feed_urls` in turn; None for the first one's."""
        urls = self.feed_urls or (None,)
        return tuple(urls[number % len(urls)] for number in range(self.lines - 1))

    @property
    def is_loopback(self) -> bool:
        """Whether every call goes to a server on this machine."""
        host = urlsplit(self.base_url).hostname if self.base_url else None
        if host is None:
            return False
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"
