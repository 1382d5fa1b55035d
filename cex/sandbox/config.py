"""What a sandbox exchange is made of: symbols, accounts, fees, limits, flow."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Final

from domain import InputError, parse_units

UNIT_DECIMALS: Final = 8
UNIT: Final = 10**UNIT_DECIMALS
"""Every asset is counted in integers of 1e-8, Binance's finest precision."""
ENGINE_MAX: Final = 1 << 39
"""Greatest price in ticks and size in lots that the matching engine takes."""


@dataclass(frozen=True)
class SymbolSpec:
    """A spot pair. One tick times one lot must be a whole number of 1e-8 quote units, so that no trade rounds."""

    base: str
    quote: str
    tick_size: str
    lot_size: str
    min_notional: str
    qty_max: str = "9000"
    market_qty_max: str = "500"
    position_max: str | None = None
    """The most of the base asset that an account may have, open buys included (MAX_POSITION)."""

    def __post_init__(self) -> None:
        if self.tick_raw <= 0 or self.lot_raw <= 0:
            raise InputError(f"{self.name}: tick and lot size must be positive")
        if self.qty_max_raw > self.lot_raw * ENGINE_MAX:
            raise InputError(f"{self.name}: the greatest size has more than {ENGINE_MAX} lots")
        if self.tick_raw * self.lot_raw % UNIT:
            raise InputError(
                f"{self.name}: tick {self.tick_size} x lot {self.lot_size} is finer than 1e-8 {self.quote}"
            )

    @cached_property
    def name(self) -> str:
        return self.base + self.quote

    @cached_property
    def tick_raw(self) -> int:
        return parse_units(self.tick_size, UNIT_DECIMALS)

    @cached_property
    def lot_raw(self) -> int:
        return parse_units(self.lot_size, UNIT_DECIMALS)

    @cached_property
    def notional_unit(self) -> int:
        """Quote units (1e-8) in one tick times one lot."""
        return self.tick_raw * self.lot_raw // UNIT

    @cached_property
    def min_notional_raw(self) -> int:
        return parse_units(self.min_notional, UNIT_DECIMALS)

    @cached_property
    def price_max_raw(self) -> int:
        return min(10_000_000 * UNIT, self.tick_raw * ENGINE_MAX)

    @cached_property
    def qty_max_raw(self) -> int:
        return parse_units(self.qty_max, UNIT_DECIMALS)

    @cached_property
    def position_max_raw(self) -> int | None:
        return None if self.position_max is None else parse_units(self.position_max, UNIT_DECIMALS)

    @cached_property
    def market_qty_max_raw(self) -> int:
        return parse_units(self.market_qty_max, UNIT_DECIMALS)


# ETHBTC's lot is coarser than the real venue's (0.0001), whose trades there need rounding.
KNOWN_SYMBOLS: Final[Mapping[str, SymbolSpec]] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            SymbolSpec("BTC", "USDT", "0.01", "0.00001", "5"),
            SymbolSpec("ETH", "USDT", "0.01", "0.0001", "5"),
            SymbolSpec("ETH", "USDC", "0.01", "0.0001", "5"),
            SymbolSpec("BTC", "USDC", "0.01", "0.00001", "5"),
            SymbolSpec("ETH", "BTC", "0.00001", "0.001", "0.0001"),
        )
    }
)


@dataclass(frozen=True, slots=True)
class FeeTier:
    """What an account pays that traded so much in thirty days; a negative maker fee is a rebate (see `fees.py`)."""

    volume_from: str
    """In the common unit of `FlowConfig.start_prices`."""
    maker_bps: Decimal
    taker_bps: Decimal


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """A client: how it signs, and what it starts with. `balances` are decimal texts by asset."""

    name: str
    api_key: str
    secret: str | None = field(default=None, repr=False)
    """For HMAC-SHA256. Exactly one of `secret`, `ed25519_public_key` and `rsa_public_key` is given."""
    ed25519_public_key: str | None = None
    """PEM."""
    balances: Mapping[str, str] = field(default_factory=dict)
    withdraw_api_key: str | None = None
    """A second key of the account, which may withdraw and nothing else; HMAC with `withdraw_secret`."""
    withdraw_secret: str | None = field(default=None, repr=False)
    fee_tier: int | None = None
    """The position of the tier that the account has whatever it trades; the last one if there are fewer."""
    rsa_public_key: str | None = None
    """PEM; 2,048 to 4,096 bits."""


TEST_ACCOUNT: Final = AccountSpec(
    name="test",
    api_key="sandbox-test-key",
    secret="sandbox-test-secret",
    balances=MappingProxyType({"BTC": "100", "ETH": "2000", "USDT": "10000000", "USDC": "10000000"}),
)
"""Used when no accounts are given. A test key: worth nothing anywhere else."""


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """The seeded order flow. Rates are per second of simulated time, sizes relative."""

    start_prices: Mapping[str, str] = field(
        default_factory=lambda: {"BTC": "60000", "ETH": "3000", "USDT": "1", "USDC": "1"}
    )
    """Value of each asset in one common unit; a pair's price is the ratio."""
    volatility: float = 0.0003
    """Standard deviation of the log price over one second (0.0003 is 3 bps)."""
    jump_rate: float = 0.02
    jump_size: float = 0.002
    """Standard deviation of a jump's log size."""
    arrival_rate: float = 8.0
    """Base rate of orders per symbol; excitation comes on top."""
    excitation: float = 0.4
    """Orders that one order causes on average (the Hawkes branching ratio, below 1)."""
    excitation_decay: float = 2.0
    levels: int = 24
    """Levels a side that the maker of the flow keeps."""
    level_spacing_bps: float = 1.0
    half_spread_bps: float = 1.0
    level_notional: float = 20_000.0
    """Mean value of one level in the common unit."""
    taker_notional: float = 4_000.0
    step_ms: int = 50

    def __post_init__(self) -> None:
        for asset, price in self.start_prices.items():
            if parse_units(price, UNIT_DECIMALS) <= 0:
                raise InputError(f"flow: the start price of {asset} must be positive")
        if not 0 <= self.excitation < 1:
            raise InputError(f"flow: excitation {self.excitation} is not in 0..1: arrivals would explode")
        if min(self.volatility, self.jump_rate, self.jump_size, self.arrival_rate) < 0:
            raise InputError("flow: volatility, jumps and arrivals cannot be negative")
        positive = (self.excitation_decay, self.levels, self.level_spacing_bps, self.half_spread_bps, self.step_ms)
        if min(*positive, self.level_notional, self.taker_notional) <= 0:
            raise InputError("flow: levels, spacing, spread, sizes, decay and step must be positive")


@dataclass(frozen=True, slots=True)
class ReplayConfig:
    """A recorded file that serves as background liquidity for one symbol."""

    path: Path
    symbol: str
    speed: float = 1.0
    """`math.inf` is as fast as it goes."""


@dataclass(frozen=True, slots=True)
class ForwardConfig:
    """Another Binance-protocol venue whose live market is background liquidity."""

    url: str
    """Of its REST door: `https://api.binance.com`."""
    stream_url: str = ""
    """Of its stream door; empty when it is the same host and port."""

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise InputError(f"forward: {self.url!r} is no address", hint="give one like https://api.binance.com")
        if self.stream_url and not self.stream_url.startswith(("ws://", "wss://")):
            raise InputError(
                f"forward: {self.stream_url!r} is no stream address", hint="it begins with wss:// or ws://"
            )

    @property
    def streams(self) -> str:
        return (self.stream_url or "ws" + self.url.removeprefix("http")).rstrip("/")


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """Rate limits, generous by default (the real venue: 6,000 weight a minute, 100 orders per 10 s)."""

    weight_per_minute: int = 1_200_000
    requests_per_5_minutes: int = 10_000_000
    orders_per_10_seconds: int = 200_000
    orders_per_day: int = 200_000_000
    refusals_before_ban: int = 20
    """Requests that an address may send in a minute after its first 429; one more and it is banned."""
    open_orders_per_symbol: int = 1_000
    iceberg_parts: int = 100
    """Parts an iceberg may have; and how many icebergs an account may have open on a symbol."""
    iceberg_orders_per_symbol: int = 100
    stop_orders_per_symbol: int = 100
    """The real venue's MAX_NUM_ALGO_ORDERS is 5."""
    order_lists_per_symbol: int = 100
    body_bytes_max: int = 64 * 1024
    frame_bytes_max: int = 64 * 1024
    stream_queue_max: int = 4_096
    """Messages that wait for one slow client; one more and it is disconnected."""
    streams_per_connection: int = 1_024
    stream_messages_per_second: int = 100
    """Requests that one connection to the streams may send (the real venue: 5); one more and it is disconnected."""
    connections_max: int = 1_024
    connection_seconds_max: float = 86_400.0


@dataclass(frozen=True, slots=True)
class TlsConfig:
    """A certificate with its chain, and its key; PEM files."""

    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """Read both.

        Raises:
            InputError: They cannot be read, or do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self.certificate, self.key, password="")
        except OSError as exc:
            files = f"{self.certificate} and {self.key}"
            raise InputError(
                f"TLS certificate and key {files}: {exc.strerror or exc}", hint="PEM, unencrypted"
            ) from exc
        return context


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """One exchange. `port` 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0
    tls: TlsConfig | None = None
    """For clients that insist on https and wss."""
    symbols: tuple[SymbolSpec, ...] = tuple(KNOWN_SYMBOLS.values())
    accounts: tuple[AccountSpec, ...] = (TEST_ACCOUNT,)
    seed: int = 1
    maker_fee_bps: Decimal = Decimal("10")
    taker_fee_bps: Decimal = Decimal("10")
    fee_tiers: tuple[FeeTier, ...] = ()
    """If given, instead of the two above."""
    flow: FlowConfig | None = FlowConfig()
    replays: tuple[ReplayConfig, ...] = ()
    forward: ForwardConfig | None = None
    """Every symbol that is not replayed follows this venue; then there is no flow."""
    limits: LimitsConfig = LimitsConfig()
    faults: bool = False
    admin_token: str | None = field(default=None, repr=False)
    """What the doors that `faults` opens want to see; they may be open without one on loopback only."""
    journal: str | None = None
    """Where to remember: a directory, sqlite:///file or postgresql://host/name. Without one a restart forgets."""
    journal_sync: bool = True
    """Whether a commit waits for the disk: without it the journal survives a killed process, not a power cut."""

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.symbols]
        if not names or len(set(names)) != len(names):
            raise InputError(f"symbols must be given once each, found {names}")
        keys = [key for a in self.accounts for key in (a.api_key, a.withdraw_api_key) if key is not None]
        if len(set(keys)) != len(keys):
            raise InputError("two accounts share an API key")
        if len({account.name for account in self.accounts}) != len(self.accounts):
            raise InputError("two accounts share a name")
        if self.faults and not self.admin_token and not _is_loopback(self.host):
            raise InputError(
                f"faults for everybody who reaches {self.host}", hint="set an admin token, or listen on 127.0.0.1"
            )
        self._check_replays(names)
        if self.flow:
            for asset in {asset for spec in self.symbols for asset in (spec.base, spec.quote)}:
                if asset not in self.flow.start_prices:
                    raise InputError(f"flow has no start price for {asset}")

    def _check_replays(self, names: list[str]) -> None:
        for replay in self.replays:
            if replay.symbol not in names:
                raise InputError(f"replay symbol {replay.symbol} is not among {names}")
        if len({replay.symbol for replay in self.replays}) != len(self.replays):
            raise InputError("two recordings are to be played into one symbol")
        if len({replay.speed for replay in self.replays}) > 1:
            raise InputError("recordings of one exchange are played at one speed")


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def symbol_specs(names: list[str]) -> tuple[SymbolSpec, ...]:
    """Look symbols up by name.

    Raises:
        InputError: A name is not among `KNOWN_SYMBOLS`.
    """
    unknown = [name for name in names if name not in KNOWN_SYMBOLS]
    if unknown:
        raise InputError(f"unknown symbols {', '.join(unknown)}", hint=f"known are {', '.join(KNOWN_SYMBOLS)}")
    return tuple(KNOWN_SYMBOLS[name] for name in names)
