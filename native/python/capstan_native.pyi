"""Capstan's Rust core: order matching, the L2 book, keys and threshold signing.

Prices are integer ticks, sizes integer lots.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any, Final, TypeAlias, final

__version__: Final[str]

BUY: Final = 0
SELL: Final = 1

LIMIT: Final = 0
LIMIT_MAKER: Final = 1
MARKET: Final = 2

GTC: Final = 0
IOC: Final = 1
FOK: Final = 2

STP_NONE: Final = 0
STP_EXPIRE_MAKER: Final = 1
STP_EXPIRE_TAKER: Final = 2
STP_EXPIRE_BOTH: Final = 3
STP_DECREMENT: Final = 4

# Commands of a batch record.
SUBMIT: Final = 0
CANCEL: Final = 1
REDUCE: Final = 2
REPLACE: Final = 3

# Kinds of events.
TRADED: Final = 1
PREVENTED: Final = 2
RESTED: Final = 3
EXPIRED: Final = 4
CANCELED: Final = 5
REDUCED: Final = 6
REJECTED: Final = 7
LEVEL: Final = 8
REFILLED: Final = 9

# Reasons of a rejection.
DUPLICATE_ID: Final = 1
UNKNOWN_ID: Final = 2
WOULD_TAKE: Final = 3
BAD_PRICE: Final = 4
BAD_SIZE: Final = 5

Row: TypeAlias = tuple[int, int, int, int, int, int]
"""An event: (kind, id, other, price, lots, left). A name for type checkers; the module itself has no such attribute.

TRADED     taker, maker, price, lots traded, lots the maker has left
PREVENTED  order, the order of its owner that it met, price, lots it lost (0 for a quote budget that is gone), lots
           left; with none left it is gone; of a quote budget, what it still buys at this price
RESTED     order, 0, price, lots the book shows, lots left in all
EXPIRED    order, 0, 0, lots (0 for a quote budget), 0
CANCELED   order, 0, price, lots it still had, 0
REDUCED    order, 0, price, 0, lots left
REJECTED   order, reason, 0, 0, 0
LEVEL      side, 0, price, lots, lots: the new size of a price level, of what is shown
REFILLED   iceberg, 0, price, lots it shows now, behind the others at its price, lots left in all
"""

@final
class MatchingEngine:
    """Price-time priority for one instrument. Knows no money, names or clocks. Ids and owners lie in 0..2**63-1.

    Codes that are none of this module's raise ValueError; an order that cannot be accepted yields a REJECTED event.
    """

    def __new__(cls) -> MatchingEngine: ...
    def submit(
        self,
        order_id: int,
        owner: int,
        side_code: int,
        price: int,
        lots: int,
        kind_code: int = 0,
        tif_code: int = 0,
        stp_code: int = 0,
        quote: int = 0,
        display: int = 0,
    ) -> list[Row]:
        """Match an order. Market orders ignore the price; with `quote` > 0 (ticks x lots) they spend that budget.

        With `display` > 0 what rests is an iceberg that shows so many lots at a time.
        """

    def put_back(
        self, order_id: int, owner: int, side_code: int, price: int, lots: int, hidden: int = 0, display: int = 0
    ) -> list[Row]:
        """Let an order wait again that waited in an engine before this one; one that would trade is rejected."""

    def cancel(self, order_id: int) -> list[Row]: ...
    def reduce(self, order_id: int, left: int) -> list[Row]:
        """Take an order's open size down to `left` lots; it keeps its place in the queue."""

    def run(self, commands: bytes) -> bytes:
        """Run a batch; a malformed record raises ValueError before anything is run.

        A command is eight little-endian int64: code, id, owner, price, lots, quote, other, display, where `code` is
        command | side << 8 | kind << 16 | tif << 24 | stp << 32, and REPLACE cancels `other` for the new order.
        An event is the six int64 of a `Row`.
        """

    def best(self, side_code: int) -> tuple[int, int] | None:
        """Best price and the lots there."""

    def levels(self, side_code: int, n: int) -> list[tuple[int, int]]:
        """The best `n` levels as (price, lots), best first."""

    def lots_at(self, side_code: int, price: int) -> int: ...
    def orders(self, side_code: int) -> list[tuple[int, int, int, int, int]]:
        """Every waiting order as (id, owner, price, lots shown, lots hidden), in priority order."""

    def cost_of(self, side_code: int, lots: int, owner: int) -> tuple[int, int]:
        """What a market order would take from others: (lots found, ticks times lots)."""

    def lots_for(self, side_code: int, quote: int, owner: int) -> int:
        """How many lots a market order with a budget (ticks times lots) would trade with others."""

@final
class DecodeError(ValueError):
    """A message that could not be read. Nothing was changed."""

@final
class L2Book:
    """The book of one instrument from Binance-protocol bytes: `depthUpdate` diffs and snapshots, bare or wrapped.

    Stale until a snapshot, and again after a gap (`U > last + 1`) or when crossed; a stale book has no prices. Diffs
    that arrive while stale are kept (bounded) and applied after the snapshot. Levels are (ticks, lots): prices must lie
    on the tick, sizes are rounded down to whole lots (old orders may be finer than today's lot).

    Raises:
        ValueError: Tick or lot size is not a positive decimal.
    """

    def __new__(cls, tick_size: str, lot_size: str, symbol: str | None = None) -> L2Book: ...
    def apply_snapshot(self, message: bytes) -> bool:
        """Load a snapshot (REST depth or partial depth stream); return whether the book is valid now.

        False means that it is older than the diffs kept: fetch a newer one.

        Raises:
            DecodeError: Nothing was changed.
        """

    def apply_diff(self, message: bytes) -> bool:
        """Apply a diff; return whether the book changed (not when old, not while stale).

        Raises:
            DecodeError: Nothing was changed.
        """

    def invalidate(self, reason: str) -> None:
        """Declare the book stale until the next snapshot, and forget the diffs kept."""

    def best_bid(self) -> tuple[int, int] | None: ...
    def best_ask(self) -> tuple[int, int] | None: ...
    def top(self, n: int) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """The best `n` bids and asks, best first."""

    @property
    def is_valid(self) -> bool: ...
    @property
    def stale_reason(self) -> str | None: ...
    @property
    def last_update_id(self) -> int: ...

@final
class SigningKey:
    """One secp256k1 private key, held in Rust and wiped when dropped. Signs deterministically (RFC 6979), with low s.

    Every signature has recovered to the key before it is returned; one that does not raises ArithmeticError.

    Raises:
        ValueError: Not 32 bytes between zero and the curve's order.
    """

    def __new__(cls, secret: bytes) -> SigningKey: ...
    @property
    def public_key(self) -> bytes:
        """X and y (64 bytes)."""

    def reveal(self) -> bytes:
        """The private key, for the one purpose of encrypting it. The interpreter does not wipe what it is given."""

    def sign_digest_unchecked(self, digest: bytes) -> bytes:
        """Sign 32 bytes that the caller has hashed from a payload it has read: r, s and the parity (65 bytes)."""

    def sign_transaction(self, kind: int, chain_id: int, body: bytes) -> tuple[bytes, bytes]:
        """Sign a transaction of type 0, 1, 2 or 4, given its own fields in RLP, joined without their list's prefix.

        Gives the raw bytes and their hash.
        """

def keccak256(data: bytes) -> bytes:
    """Hash as Ethereum does."""

def address_of(public_key: bytes) -> str:
    """The account of a public key (x and y, 64 bytes), with its EIP-55 checksum."""

def complete_signature(raw: bytes, digest: bytes, public_key: bytes) -> bytes:
    """Make s low and find the parity of a device's raw r and s (64 bytes); gives r, s and the parity (65 bytes).

    Args:
        public_key: X and y (64 bytes), to which the result recovers.

    Raises:
        ArithmeticError: It recovers to another key.
    """

@final
class MpcAbort(Exception):
    """A session ended without a result. `args` is (reason, culprit).

    A culprit (a party's index) sealed a message that fails a check; with ECDSA that told it bits of this party's
    long-lived state: it must be banned for good. None blames nobody: a message was lost, changed or misplaced on its
    way.
    """

@final
class MpcIdentity:
    """A party's static key for envelopes (X25519). Leaves the module encrypted only."""

    @staticmethod
    def generate() -> MpcIdentity: ...
    @staticmethod
    def open(blob: bytes, kek: bytes, party: int) -> MpcIdentity:
        """Decrypt what `seal` gave.

        Raises:
            ValueError: Wrong key, or another party's.
        """

    def seal(self, kek: bytes, party: int) -> bytes:
        """Encrypt (AES-256-GCM under 32 bytes of `kek`), bound to the party."""

    @property
    def public_key(self) -> bytes:
        """The 32 bytes that peers pin."""

@final
class MpcShare:
    """One party's share of a wallet's key in one epoch. Leaves the module encrypted only; wiped when dropped."""

    @staticmethod
    def open(blob: bytes, kek: bytes, wallet: str, party: int, epoch: int, kind: str = "secp256k1") -> MpcShare:
        """Decrypt what `seal` gave. `kind` is `secp256k1` (ECDSA by DKLs23) or `ed25519` (FROST).

        Raises:
            ValueError: Wrong key, or a blob of another wallet, party, epoch or kind.
        """

    def seal(self, kek: bytes) -> bytes:
        """Encrypt (AES-256-GCM under 32 bytes of `kek`), bound to wallet, party and epoch."""

    def public_key(self, path: str) -> bytes:
        """X and y (64 bytes) at a path of non-hardened BIP-32 steps: `m`, `m/0/7`. Ed25519: 32 bytes, at `m` only.

        Raises:
            ValueError: Not such a path, or not in its one spelling.
        """

    @property
    def chain_code(self) -> bytes:
        """Of a secp256k1 key; another has none (`ValueError`)."""

    @property
    def kind(self) -> str: ...
    @property
    def wallet(self) -> str: ...
    @property
    def epoch(self) -> int: ...
    @property
    def party(self) -> int: ...
    @property
    def threshold(self) -> int: ...
    @property
    def parties(self) -> int: ...

@final
class MpcPresignature:
    """This party's part of an ECDSA signature that lacks only what is signed. Signs once; never leaves the memory."""

    @property
    def presignature_id(self) -> bytes:
        """The id of the session that made it: the same at every party."""

@final
class MpcSession:
    """One party's side of key generation, refresh or signing. Does no I/O; envelopes in, envelopes out.

    `peers` maps every other party of the session to its pinned envelope key. `attempt` is the caller's nonce: with all
    else equal, it must never come twice. What the parties do not agree on (wallet, epoch, path, digest, party set,
    attempt) gives different sessions, whose envelopes do not open.

    Raises:
        ValueError: The arguments do not fit one another.
    """

    @staticmethod
    def generate(
        identity: MpcIdentity,
        party: int,
        peers: dict[int, bytes],
        wallet: str,
        threshold: int,
        attempt: bytes,
        kind: str = "secp256k1",
    ) -> MpcSession: ...
    @staticmethod
    def refresh(identity: MpcIdentity, share: MpcShare, peers: dict[int, bytes], attempt: bytes) -> MpcSession: ...
    @staticmethod
    def repair(
        identity: MpcIdentity,
        party: int,
        share: MpcShare | None,
        peers: dict[int, bytes],
        wallet: str,
        epoch: int,
        target: int,
        attempt: bytes,
        kind: str = "secp256k1",
    ) -> MpcSession:
        """Rebuild the target's share with t helpers. The target gives no share and gets one, which cannot sign.

        A refresh by all parties has to follow. Helpers have nothing to take when done.
        """

    @staticmethod
    def sign(
        identity: MpcIdentity, share: MpcShare, peers: dict[int, bytes], path: str, digest: bytes, attempt: bytes
    ) -> MpcSession:
        """Sign a digest of 32 bytes, which the caller has computed from a pre-image it judged itself."""

    @staticmethod
    def presign(
        identity: MpcIdentity, share: MpcShare, peers: dict[int, bytes], path: str, attempt: bytes
    ) -> MpcSession:
        """Make a presignature for a key at a path with exactly these peers."""

    @staticmethod
    def sign_presigned(
        identity: MpcIdentity,
        presignature: MpcPresignature,
        party: int,
        peers: dict[int, bytes],
        digest: bytes,
        attempt: bytes,
    ) -> MpcSession:
        """Use a presignature up for a digest that the caller has computed from a pre-image it judged itself.

        Raises:
            ValueError: It was used before, or is of other peers. It is gone either way.
        """

    @staticmethod
    def sign_ed25519(
        identity: MpcIdentity, share: MpcShare, peers: dict[int, bytes], message: bytes, attempt: bytes
    ) -> MpcSession:
        """Sign bytes that the caller has built from a payload it judged itself (RFC 8032, no pre-hash)."""

    @property
    def session_id(self) -> bytes: ...
    @property
    def is_done(self) -> bool: ...
    def step(self, inbound: list[bytes]) -> list[tuple[int, bytes]]:
        """Take a round's envelopes (none at first); return the next round's with their recipients, or none when done.

        Releases the interpreter lock. Any abort ends the session for good.

        Raises:
            MpcAbort: See there.
        """

    def take_share(self) -> MpcShare:
        """Take the result of generation or refresh, once."""

    def take_presignature(self) -> MpcPresignature:
        """Take the result of presigning, once."""

    def take_signature(self) -> bytes:
        """Take the result of signing, once, already verified: r, s (low), recovery id (0 or 1); Ed25519: R, s."""

def record_layouts() -> tuple[list[tuple[str, int, int]], list[tuple[str, int, int]]]:
    """Offset and size of each field of an event and of a command, as Rust lays them out."""

def event_kinds() -> list[tuple[int, str]]:
    """Every kind of event Rust knows: its number and its name in capitals."""

# --- automated market makers

class PoolDepthError(ValueError):
    """A pool cannot take or give so much. Nothing changed."""

@final
class AmmPool:
    """A Uniswap V2 pair or V3 pool in exact integers; raw token units, `zero_for_one` sells token 0.

    Quotes equal `getAmountOut`, `getAmountIn` and QuoterV2, swaps what the pool would do, to the last unit.

    Raises:
        ValueError: An amount is zero, or a state that no pool can have.
        PoolDepthError: Beyond the pool's liquidity.
        OverflowError: A number is negative or exceeds its width (256 bits, 128 for liquidity).
    """

    @staticmethod
    def from_reserves(reserve0: int, reserve1: int, fee_pips: int) -> AmmPool: ...
    @staticmethod
    def from_ticks(
        sqrt_price_x96: int,
        tick: int,
        liquidity: int,
        fee_pips: int,
        tick_spacing: int,
        ticks: list[tuple[int, int, int]],
    ) -> AmmPool:
        """`ticks`: (number, net liquidity, gross liquidity)."""

    @property
    def state(self) -> tuple[int, ...]:
        """(reserve 0, reserve 1) of a pair, (square-root price, tick, liquidity) of a V3 pool."""

    def quote_exact_in_down(self, zero_for_one: bool, amount_in: int) -> int: ...
    def quote_exact_out_up(self, zero_for_one: bool, amount_out: int) -> int: ...
    def swap_exact_in(self, zero_for_one: bool, amount_in: int) -> int: ...
    def move_to(self, sqrt_price_x96: int, tick: int, liquidity: int) -> None:
        """Take what a `Swap` log tells of a V3 pool."""

    def change_liquidity(self, tick_lower: int, tick_upper: int, delta: int) -> None:
        """Take a mint, or a burn (negative), of a V3 range."""

# --- market data (native/engine/src/feed)

@final
class FeedDecoder:
    """One connection's Binance-protocol messages to event records (`engine.records.EVENT`), with the sequence checked.

    Reads combined (`{"stream","data"}`) and bare messages of spot, USD-M and COIN-M: depthUpdate, snapshots, trade,
    aggTrade, bookTicker, markPriceUpdate. A source is (symbol, instrument index, tick size, lot size): prices must lie
    on the tick, sizes are rounded down to the lot, marks down to the tick.

    Raises:
        ValueError: A tick or lot size is not a positive decimal.
    """

    def __new__(cls, sources: list[tuple[str, int, str, str]]) -> FeedDecoder: ...
    def decode(self, message: bytes, time_local_ns: int, asked: int | None = None) -> tuple[str, bytes]:
        """Read a message; return what became of it and its records.

        `asked` is the instrument of an answer to a question, such as a REST snapshot. Outcomes: "events", "old" (the
        book has it), "kept" (a diff waits for a snapshot: ask for one), "gap" (the records are one STALE: ask for a
        snapshot), "too_old" (the snapshot is older than the diffs kept: ask again), "ignored" (no market data).

        Raises:
            DecodeError: Nothing was changed.
        """

    def disconnected(self, time_local_ns: int) -> bytes:
        """Declare every book stale until its next snapshot; return the STALE records."""

    def is_following(self, instrument: int) -> bool: ...

@final
class Capture:
    """One instrument's recorded stream: lines of `<time of receipt in ns> <message>`.

    Lines without a stream name are answers to a question (REST snapshots) and are taken where they stand. `shift_ns` is
    added to the times of receipt; local times never go back. Recordings read one after another continue one another.
    """

    def __new__(cls, symbol: str, instrument: int, tick_size: str, lot_size: str, shift_ns: int = 0) -> Capture: ...
    def read(self, lines: bytes) -> bytes:
        """Read whole lines into event records.

        Raises:
            DecodeError: A line could not be read; the message says which. The lines before it are lost too.
        """

    def follow(self, lines: bytes) -> int:
        """Read whole lines into the book, keeping no records; return how often its best bid or ask changed."""

    def follow_messages(self, messages: list[bytes], time_local_ns: int) -> int:
        """Read messages that came at one time into the book, as `follow` does; return how often its best changed."""

    def best(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Best bid and ask of what was followed; nothing while the book is stale."""

    @property
    def tally(self) -> list[tuple[str, int]]:
        """Messages and records read, and how many messages were taken, old, kept, gaps, too old, ignored."""

def touches(events: bytes, instrument: int) -> bytes:
    """Put one instrument's records through a book; return its best prices after every message that moved it.

    Seven int64 a row: the record's index, its sequence, local time, bid, lots, ask, lots. Zeros where the book is stale
    or a side is empty.

    Raises:
        ValueError: Not whole 64-byte records.
    """

def fuse(events: bytes) -> bytes:
    """Let each instrument's BBO move the touch of its book between diffs: see native/engine/src/feed/fuse.rs.

    Raises:
        ValueError: Not whole 64-byte records.
    """

def bars(events: bytes, instrument: int, rule: str, size: int) -> bytes:
    """Make bars of one instrument's TRADE records, by exchange time.

    A rule is "time" (size in ns; aligned, none for an empty period), "ticks" (trades), "volume" (lots) or "value"
    (ticks times lots); the trade that reaches a threshold counts in whole. Ten int64 a row: begin, end, open, high,
    low, close, lots, lots bought by takers, value, trades. A bar that is not over is left out.

    Raises:
        ValueError: An unknown rule, a size that is not positive, or not whole 64-byte records.
        OverflowError: A sum exceeds 63 bits.
    """

@final
class FlatBook:
    """Price levels in a flat window around the touch. Sides are BUY and SELL; a size of zero takes a level away.

    Raises:
        ValueError: Another side.
    """

    def __new__(cls) -> FlatBook: ...
    def set(self, side_code: int, price: int, size: int) -> None: ...
    def clear(self, side_code: int) -> None: ...
    def best(self, side_code: int) -> tuple[int, int] | None: ...
    def size_at(self, side_code: int, price: int) -> int: ...
    def levels(self, side_code: int) -> list[tuple[int, int]]:
        """Every level as (price, size), best first."""

    def depth_until(self, side_code: int, price: int) -> int:
        """Lots at this price and better; saturates."""

# --- risk gate

class RiskGate:
    """The risk gate by itself, for the test that compares it with `tests/reference/risk.py`; see docs/risk.md.

    Configuration and views are dictionaries of whole numbers, named as in native/engine/src/risk. A refusal is (rule,
    figure, limit); a breach is (rule, strategy or None for the whole run, figure, limit, stage).

    Raises:
        ValueError: The configuration makes no sense; also `KeyError` and `TypeError`.
    """

    def __new__(cls, config: dict[str, Any]) -> RiskGate: ...
    def check(
        self,
        ask: dict[str, Any],
        *,
        instrument: int,
        side: int,
        price: int,
        size: int,
        market: bool = False,
        reduce_only: bool = False,
    ) -> tuple[int, int, int] | None:
        """Judge an order; what passes takes one message of its venue's budget."""

    def check_swap(
        self, ask: dict[str, Any], *, pool: int, asset_in: int, amount_in: int, asset_out: int, amount_out: int
    ) -> tuple[int, int, int] | None:
        """Judge a swap."""

    def count_message(self, venue: int, now_ns: int) -> None:
        """Charge a message that leaves whatever the budget says."""

    def wait_ns(self, venue: int, now_ns: int) -> int:
        """Nanoseconds until an order would pass the venue's budget."""

    def on_fill(self, now_ns: int, strategy: int, first: bool) -> tuple[int, int | None, int, int, int] | None:
        """Count an execution."""

    def on_mark(self, now_ns: int, results: list[int]) -> list[tuple[int, int | None, int, int, int]]:
        """Take each strategy's result."""

    def raise_stage(self, now_ns: int, strategy: int | None, to: int) -> tuple[int, int | None, int, int, int] | None:
        """Go up to a stage."""

    def lower_stage(self, now_ns: int, strategy: int | None, to: int) -> bool:
        """An operator's word: go down to a stage, accept what was lost."""

    def stages(self) -> tuple[int, bytes]:
        """The whole run's stage, and the one that holds for each strategy, a byte each."""

    def restart(self) -> None:
        """Go on with a new gate that loaded what this one saved."""

# --- the simulated venue (native/engine/src/sim); the contract is docs/simulation.md

@final
class SimulatedVenue:
    """One venue's simulated matching, on events and commands as 64-byte records (`engine.records`).

    Settings, all optional: `venue` (index), `queue` ("risk_averse", "power1" to "power4", "log", "fifo"), `latency`
    ({"place", "amend", "cancel", "ask": (entry_ns, response_ns) or {"recorded" | "drawn": [(time_ns, entry_ns,
    response_ns)]}, "per_message_ns", "in_order"}; "place" stands for those left out), `fees` ({"tiers": [(volume_from,
    maker, taker)], "asset": "settlement" | "base" | "received" | "other", "other_price": (units, per_quote_units),
    "volume_before"}), `impact` ({"slippage_ticks", "coefficient", "half_life_ns"}), `limits` ([{"window_ns", "max",
    "place", "amend", "cancel"}]), `open_max`, `faults` ({"seed", "request_lost_ppm", "report_lost_ppm",
    "duplicate_ppm", "delayed_ppm", "delay_ns", "disconnect_ppm", "down_ns", "cancel_on_disconnect"}), `liquidation`
    ({"collateral", "maintenance", "fee"}), `positions` ([(instrument, lots)]). Rates are in 1e-8.

    An instrument: `symbol`, `venue`, `base`, `quote` (asset indices), `tick`, `lot`, `face` (decimal text), `contract`
    ("spot", "linear", "inverse"), `notional_min`, `maker_fee`, `taker_fee` (1e-8), `base_decimals`, `quote_decimals`.

    Raises:
        ValueError: A setting is unknown or out of range, or amounts would not be whole.
    """

    def __new__(cls, settings: dict[str, Any], instruments: list[dict[str, Any]]) -> SimulatedVenue: ...
    def feed(self, events: bytes) -> None:
        """Take market events in the order of the venue's time; commands that arrived earlier go first.

        Raises:
            OverflowError: A sum of money no longer fits.
        """

    def submit(self, commands: bytes, now_ns: int) -> int:
        """Send commands at a local time; return how many are a venue's business."""

    def advance(self, now_ns: int) -> None:
        """Let what is due by a time on the venue arrive."""

    def reports(self, now_ns: int) -> bytes:
        """Take the reports and fills known by a local time."""

    def run(self, events: bytes, commands: bytes) -> bytes:
        """Feed events and submit commands in the order of their times, events first, to the end; return the reports."""

    def next_ns(self) -> int | None:
        """When the next command arrives or the next report is known, whichever is first."""

    def account(self, instrument: int) -> tuple[int, int, list[int], int] | None:
        """Position in lots; cash, fees (in settlement, base, third asset) and funding in smallest units."""

    def orders(self, instrument: int) -> list[tuple[int, int, int, int, int, int]]:
        """Open orders: (client id, side, price, size, filled, 1/65,536 lots ahead), bids then asks, best first."""

# --- hot: orders to signed bytes

class SigningRefused(Exception):
    """Nothing was signed. `args` are the rule's name and the reason."""

HotInstrument: TypeAlias = tuple[int, str, int, int, int, int]
"""Number in the run, venue's symbol, digits and scale of the tick (1, 2 is 0.01) and of the lot. For type checkers."""

@final
class HotKey:
    """A key that signs orders. It goes to one signer, shows itself to nobody and is wiped when dropped.

    Raises:
        SigningRefused: `untrusted`: no key of that kind.
    """

    def __new__(cls, kind: str, secret: str) -> HotKey:
        """Read a key: `hmac` (the venue's text), `ed25519` or `secp256k1` (32 bytes in hex)."""

    @property
    def name(self) -> str:
        """How certificates name it: its kind and its public part; of a shared secret, a fingerprint."""

@final
class FreezeSwitch:
    """Stops every signer that holds it from giving orders; what takes orders back is still signed.

    It cannot be turned back: a new process asks custody whether it may start.
    """

    def __new__(cls) -> FreezeSwitch: ...
    def freeze(self) -> None: ...
    @property
    def is_frozen(self) -> bool: ...

@final
class SessionWarden:
    """Holds one key to the certificate that custody signed (see `custody.session_keys`).

    Nothing is signed before the first allotment. Times are UTC nanoseconds and never go back.

    Raises:
        SigningRefused: `untrusted`: not signed by the authority, malformed, or about another key.
    """

    def __new__(
        cls, certificate: bytes, signature: bytes, authority: bytes, key: HotKey, switch: FreezeSwitch
    ) -> SessionWarden: ...
    @property
    def key_id(self) -> int: ...
    @property
    def instance(self) -> str:
        """This signer's name for this life, 32 hex digits; allotments are for it alone."""

    def allot(self, allotment: bytes, signature: bytes, now_ns: int) -> None:
        """Take a block that custody allotted, or make the one of this number last longer."""

    def allotted(self, now_ns: int) -> tuple[int, int]:
        """Give value and number of orders that are allotted and not used."""

    def newest(self, now_ns: int) -> tuple[int, int, int, int] | None:
        """Give the newest block while it lasts: its number, value and orders left, and until when."""

    @property
    def is_closed(self) -> bool: ...

@final
class OrderSigner:
    """Turns commands (records of 64 bytes, see `engine.records.COMMAND`) into the signed bytes one venue takes.

    API keys of a venue take a `switch`; certified keys take their `warden`. An Amend replaces the order by one whose id
    is in `aux[0]`, with that order's own size; the kernel's amend in place (`aux[0]` 0) is refused as unsupported.
    """

    @staticmethod
    def binance(
        venue: str,
        key: HotKey,
        instruments: list[HotInstrument],
        *,
        door: str,
        api_key: str,
        host: str = "",
        recv_window_ms: int = 5_000,
        switch: FreezeSwitch | None = None,
        warden: SessionWarden | None = None,
    ) -> OrderSigner:
        """Sign for Binance spot.

        `door` is `rest` (whole HTTP/1.1 requests to `host`), `websocket` (messages of `/ws-api/v3`, each signed) or
        `session` (the same after `logon`, unsigned).
        """

    @staticmethod
    def hyperliquid(
        venue: str,
        key: HotKey,
        instruments: list[tuple[HotInstrument, int]],
        *,
        warden: SessionWarden,
        host: str | None = None,
        is_mainnet: bool = False,
    ) -> OrderSigner:
        """Sign as an agent of Hyperliquid; each instrument with the venue's asset number.

        Whole HTTP/1.1 requests when there is a `host`, else messages for the WebSocket.
        """

    def encode(self, command: bytes, now_ns: int) -> list[bytes]:
        """Encode and sign one command: one frame, of a cancel-all one per instrument.

        Raises:
            SigningRefused: See its rule; nothing is to be sent.
            ValueError: A price, size, side or instrument cannot be written.
        """

    def logon(self, now_ns: int) -> bytes:
        """Sign the message that logs a `session` on."""

    def set_offset(self, offset_ns: int) -> None:
        """Move the requests' time by what the venue's clock is ahead."""

    def close(self) -> None:
        """Wipe the key; nothing is signed any more."""

@final
class ContractCaller:
    """Signs EIP-1559 calls of the contracts and functions that a certificate lists."""

    def __new__(cls, chain_id: int, key: HotKey, warden: SessionWarden) -> ContractCaller: ...
    def sign(
        self,
        *,
        nonce: int,
        to: bytes,
        value_wei: int,
        data: bytes,
        gas_limit: int,
        max_fee_per_gas_wei: int,
        max_priority_fee_per_gas_wei: int,
        now_ns: int,
    ) -> bytes:
        """Give the raw transaction.

        Raises:
            SigningRefused: See its rule.
            ValueError: The call has no such argument, or sends value beside it.
        """

    def close(self) -> None: ...

# --- the kernel (native/engine, docs/kernel.md)

class KernelBroken(Exception):
    """An event contradicts what is known: stop trading and tell someone. The kernel must not be used any more."""

class Kernel:
    """One run's whole decision state: `commands = step(events)`, deterministic. Not for two threads at once.

    Events and commands are records of 64 bytes (`engine.records`), events followed by their payload padded to whole
    records. Prices are ticks, sizes lots, amounts smallest units; sides are 0 (buy) and 1 (sell). Strategies,
    instruments, assets, venues and pools are numbered by their place in the configuration.

    The configuration is a dictionary: `run`, `assets` (`id`, `decimals`, `economic`), `economics` (`symbol`, `mark`),
    `venues` (`name`, `fee_asset`, `can_amend`), `instruments` (`symbol`, `venue`, `base`, `quote`, `tick` and `lot` as
    (digits, scale), `contract`, `face`, `notional_min`, `maker_fee`, `taker_fee`), `strategies` (`name`, `capital`,
    `subscriptions` of (instrument or None, reasons)), and optionally `seed`, `value_decimals`, `gas_asset`, `pools`
    (`id`, `token0`, `token1`, `fee_pips`), `order_lots_max`, `blacklist`, `patience`, `limits` (without: none).

    Raises:
        ValueError: The configuration makes no sense; it says where.
        KeyError: A key is missing.
    """

    def __init__(self, config: Mapping[str, object]) -> None: ...
    def step(self, events: bytes | bytearray | memoryview) -> bytes:
        """Take events and return the commands the kernel itself gives: questions, repeated cancels, stages.

        Strategies act between `ingest` and `take_commands`.

        Raises:
            KernelBroken: See there.
            ValueError: Not whole records with whole payloads.
        """

    def ingest(self, events: bytes | bytearray | memoryview) -> tuple[int, int]:
        """Take events; return who is to be woken (a bit per strategy) and why (`wakes.rs`). Errors as in `step`."""

    def take_commands(self) -> bytes:
        """Return the commands since they were last taken."""

    def place(
        self,
        strategy: int,
        instrument: int,
        side: int,
        price: int,
        size: int,
        *,
        order_type: int = 1,
        time_in_force: int = 0,
        reduce_only: bool = False,
    ) -> int | None:
        """Put an order through the gate; return its client id, or None when it was refused, which is a command too.

        `order_type`: 0 limit, 1 post-only, 2 market; `time_in_force`: 0 GTC, 1 IOC, 2 FOK.
        """

    def amend(self, client_id: int, price: int, size: int) -> bool:
        """Change price and size (filled lots included) of a resting order; return whether it went out."""

    def cancel(self, client_id: int) -> None:
        """Cancel an order. Asked for again while one is under way, nothing is sent; the kernel repeats it itself."""

    def set_targets(
        self, strategy: int, instrument: int, bids: Sequence[tuple[int, int]], asks: Sequence[tuple[int, int]]
    ) -> None:
        """Make a strategy's resting orders what it wants: (price, open lots) of each, in the fewest messages."""

    def timer(self, strategy: int, at_ns: int, tag: int) -> None:
        """Ask to be woken at an instant; the command must come back as a timer event."""

    def swap(
        self,
        strategy: int,
        payload: bytes,
        pool: int,
        asset_in: int,
        amount_in: int,
        asset_out: int,
        amount_out: int,
    ) -> int | None:
        """Put a swap through the gate; return its id or None. `payload` is what custody reads."""

    def join(self, strategy: Mapping[str, object], shares: Sequence[int]) -> None:
        """Take another strategy (`name`, `subscriptions`) behind the others; `shares` are all parts of the capital.

        A kernel that was changed gives no snapshot: it is rebuilt from its journal.

        Raises:
            ValueError: It cannot be; nothing changed.
        """

    def set_limits(
        self, limits: Mapping[str, object], own: Sequence[Mapping[str, object]], shares: Sequence[int]
    ) -> None:
        """Take other limits: the run's, named as in the configuration, and what holds for each strategy
        (`order_value_max`, `swap_value_max`, `position_value_max`, `open_orders_max`, `losses`; what is left out is as
        for all). Losses are judged by them at once; windows, messages and executions stay.

        Raises:
            ValueError: They cannot be; nothing changed.
        """

    def usage(self) -> list[dict[str, int | None]]:
        """How much each strategy, and at last the run, uses: `position`, `exposure` (of a strategy its share), and how
        far results fell: `drawdown`, `total`, `daily`, `velocity`. None where something has no price or no limit.
        """

    @property
    def now_ns(self) -> int: ...
    @property
    def events(self) -> int:
        """How many events were taken."""

    @property
    def epoch(self) -> int: ...
    @property
    def stage(self) -> int:
        """How far the run is stopped: 0 running, 1 reduce, 2 cancel, 3 flatten, 4 freeze."""

    def stage_of(self, strategy: int) -> int: ...
    @property
    def is_stopping(self) -> bool: ...
    @property
    def is_idle(self) -> bool:
        """No order open, no swap unsettled."""

    @property
    def head(self) -> tuple[int, int, int]:
        """Number, time in seconds and base fee in wei of the last block."""

    def best(self, instrument: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
        """Best bid and ask of a valid book."""

    def book_is_valid(self, instrument: int) -> bool: ...
    def mark(self, instrument: int) -> int:
        """Twice the mid an instrument was last seen at, in ticks; 0 before there was one."""

    def position(self, strategy: int, instrument: int) -> int:
        """Lots gained or owed since the start, fees left out. Strategy 255 is what nobody here ordered."""

    def balance(self, asset: int) -> int: ...
    def moved(self, strategy: int, asset: int) -> int:
        """What a strategy gained (+) or owes (-) of an asset since the start."""

    def value(self, asset: int, raw: int) -> int | None:
        """An amount in units of account of `10**-value_decimals`, rounded down; None while it has no mark."""

    def result(self, strategy: int | None = None) -> int | None:
        """Profit and loss since the start, as `value`; None while something held has no mark."""

    def reserved(self, strategy: int, instrument: int) -> tuple[int, int, int]:
        """Lots that open orders may still buy and sell, and what the buys may cost in ticks times lots."""

    def order(self, client_id: int) -> dict[str, object] | None: ...
    def orders(self) -> list[dict[str, object]]:
        """Every order that is remembered, in the order in which they were placed."""

    def open_orders(self) -> list[dict[str, object]]: ...
    def swaps(self) -> list[tuple[int, int]]:
        """Unsettled swaps: id and strategy."""

    def swap_payload(self, client_id: int) -> bytes | None: ...
    def timers(self) -> list[tuple[int, int, int]]:
        """Instants that strategies wait for: strategy, time, tag."""

    def knows_trade(self, fill: bytes) -> bool:
        """Whether a fill's record is booked already, or predates the run."""

    @property
    def trades(self) -> int:
        """How many trades are known."""

    @property
    def reconciliation(self) -> dict[str, object]:
        """`passes`, `changes` of the last whole answer, and `findings`: what nobody here ordered (`reconcile.rs`)."""

    def digest(self) -> bytes:
        """SHA-256 over every command, fill and settlement so far."""

    def state_hash(self) -> bytes:
        """SHA-256 over everything that decides."""

    def snapshot(self) -> bytes | None:
        """The state as bytes; None in the middle of a book's message."""

    def restore(self, state: bytes) -> None:
        """Take a snapshot back, into a new kernel of the same configuration.

        Raises:
            ValueError: It is cut, or of another configuration; the kernel must not be used.
        """

class KernelJournal:
    """A journal of records at `path`, and a snapshot beside it. Nobody else can have it open.

    `append` before the kernel takes the events, `flush` before what they led to leaves: then `kill -9` loses nothing
    that was acted on. `config` is the SHA-256 of what the run was made of.

    Raises:
        BlockingIOError: Another process writes it.
        ValueError: Not a journal, another run's, or damaged before its tail.
        OSError: See there.
    """

    def __init__(self, path: str | PathLike[str], run: int, seed: int, config: bytes) -> None: ...
    @property
    def count(self) -> int:
        """Events it holds, those not yet flushed included."""

    def recovered(self, skip: int = 0) -> list[bytes]:
        """What it held when it was opened, event by event with payload, without the first `skip`."""

    def append(self, events: bytes | bytearray | memoryview) -> None: ...
    def flush(self) -> None:
        """Hand what was appended to the operating system: it survives the process from here on."""

    def sync(self) -> None:
        """Force it to the disk."""

    def write_snapshot(self, state: bytes) -> None:
        """Flush, and keep the state after all appended events; the old snapshot stays until the new one is whole."""

    def read_snapshot(self) -> tuple[int, bytes] | None:
        """Events and state of the last snapshot; None when there is no whole one of this run."""

# --- strategies in the kernel (engine/sdk/)

class StrategyContext:
    """The kernel as one Python strategy sees it; `engine.sdk.Context` tells what its members mean."""

class BookView:
    """The latest book of one instrument; see `engine.sdk.BookView`."""

class EventView:
    """The record at hand; see `engine.sdk.EventView`."""

class OpenOrder:
    """A copy of one open order; see `engine.sdk.OpenOrder`."""

class Memory:
    """Memory that Rust fills, for NumPy to look at through the buffer protocol; read-only."""

def replay_backtest(
    config: dict[str, Any],
    strategies: tuple[Any, ...],
    events: Any,
    journal: tuple[str | PathLike[str], bytes],
    *,
    pools: Sequence[Any] = ...,
) -> str:
    """Have a fresh engine take what a backtest's journal and its feed say; return SHA-256 over what it decided.

    Raises:
        ValueError: The journal is of another run, damaged, or does not fit the feed.
        RuntimeError: The kernel found a contradiction.
    """

class Backtest:
    """An engine with its strategies on simulated venues, over recorded events.

    Args:
        config: What `engine.sdk.run.engine_config` makes.
        strategies: In the order of the configuration; each an `engine.sdk.Strategy`, or (kind, parameters) of a
            native kernel.
        venues: Settings of each simulated venue, see `docs/simulation.md`.
        capital: (asset's index, raw units) held at the start.
        tick_ns: The regular tick, in local time; 0 for none.
        settle_ns: For how long ticks and timers go on after the feed's end.
        records: Keep fills and commands.
        journal: A new file for the run's journal, and the 32 bytes that say what the run is made of (a digest of its
            configuration and its feed). What the feed tells is journaled by reference, everything else as it came.
        pools: An `engine.sdk.pools.PoolTerms` for each pool of the configuration, or none: then `ctx.pool` has none.
        chain: How the chain treats swaps, see `docs/simulation.md`: `reach_ns`, `tell_ns`, `order` (first or last),
            `gas_swap`, `gas_reverted`, `tip_wei`, `missed_ppm`, `sandwiched_ppm`, `seed`. Without it no swap settles.

    Raises:
        ValueError: A configuration that is none.
        OSError: The journal cannot be begun, or holds a run already.
    """

    def __init__(
        self,
        config: dict[str, Any],
        strategies: tuple[Any, ...],
        venues: list[dict[str, Any]],
        *,
        capital: list[tuple[int, int]] = ...,
        tick_ns: int = 0,
        settle_ns: int = 0,
        records: bool = True,
        journal: tuple[str | PathLike[str], bytes] | None = None,
        pools: Sequence[Any] = ...,
        chain: dict[str, Any] | None = None,
    ) -> None: ...
    def run(self, events: Any, every: int, limit: int | None = None) -> bool:
        """Run over the next `limit` records (all when none); return whether more is left.

        The state is looked at every `every` records. `events` is a buffer of bytes, the same in every call. The
        interpreter lock is given back while strategies do not call Python often. What a callback raised is raised here.

        Raises:
            ValueError: The buffer is no run of 64-byte records.
            RuntimeError: The kernel or a venue found a contradiction.
        """

    def settlements(self) -> list[tuple[int, bool, int, int, int, int, str]]:
        """What became of each swap: its id, whether it was mined, what went in and came out, gas in wei, block, reason.

        Kept as fills are.
        """

    def signals(self) -> tuple[list[tuple[int, int, str, float, dict[str, Any] | None]], int]:
        """Signals since this was last asked (time, strategy, name, value, inputs), and how many were not kept."""

    def balances(self) -> list[int]:
        """What is held of each asset of the configuration, in raw units."""

    def pool(self, index: int) -> AmmPool | None:
        """A copy of a pool as the chain has it, our swaps included; None while it is not known.

        Raises:
            ValueError: There is no chain, or no such pool.
        """

    def position(self) -> int:
        """How many records of the feed the engine has passed."""

    def digest(self) -> str:
        """SHA-256 over every command, fill and settlement so far."""

    def records(self) -> tuple[bytes, bytes]:
        """Fills as told (those told twice included) and commands, as 64-byte records."""

    def samples(self) -> list[list[int]]:
        """States looked at: time, result in all and of each strategy (1e-8 of the account's unit), then lots and twice
        the mid in ticks of each instrument."""

    def states(self) -> list[bytes]:
        """Each strategy's state as a snapshot keeps it."""

    def restore(self, states: list[bytes]) -> None:
        """Take up states that `states` gave, in a run of the same strategies.

        Raises:
            ValueError: The states of other strategies, or damaged ones.
        """

    def standing(self, strategy: int, instrument: int) -> tuple[int, int]:
        """Lots and number of open orders of a strategy in an instrument."""

# --- live: socket bytes to signed frames

@final
class LivePath:
    """One connection's market data, one engine, a signer for each venue: everything between receiving and sending.

    Each input forgets frames, commands and refusals of the one before, and gives the frames to be sent: venue, bytes.
    The shell writes `take_journal` before it sends them. What a signer refuses the kernel is told with the next input.

    Raises:
        DecodeError: A message is none; nothing was changed.
        KernelBroken: Stop, and replay the journal.
        Exception: What a strategy's callback raised; from then on it raises at every input.
    """

    def __new__(
        cls,
        config: dict[str, Any],
        strategies: Sequence[object],
        sources: Sequence[tuple[str, int, str, str]],
        signers: Sequence[tuple[int, OrderSigner]],
    ) -> LivePath:
        """Make an engine (see `engine.sdk.run.engine_config` and `Backtest`), fed by `sources` (see `FeedDecoder`).

        Orders of venues without a signer are commands for the shell.
        """

    def on_message(self, message: bytes, now_ns: int, asked: int | None = None) -> tuple[str, list[tuple[int, bytes]]]:
        """Take a message as the socket gave it; see `FeedDecoder.decode` for `asked` and the outcome."""

    def on_event(self, record: bytes) -> list[tuple[int, bytes]]:
        """Take one event record with its payload: a report, a fill, a timer, a person's word."""

    def on_disconnected(self, now_ns: int) -> list[tuple[int, bytes]]:
        """Take that the connection was lost."""

    @property
    def commands(self) -> bytes:
        """Every command of the last input, also those that became frames."""

    @property
    def refused(self) -> list[tuple[int, str, str]]:
        """What signers refused of the last input: client id, rule, reason."""

    def take_journal(self) -> bytes:
        """Give the records taken since the last call."""

    def digest(self) -> bytes: ...

@final
class BarRuns:
    """Many parameter sets over one market's bars. `engine.research.bar_runs` is the front of it.

    Columns are float64 arrays as bytes: open, high, low, close, funding due at the close, depth and slippage at the
    open.
    A set is a row of 11 numbers: rule, four parameters, whether it may be short, sizing, four parameters.
    """

    COLUMNS: list[str]

    def __new__(
        cls, columns: Sequence[bytes], *, equity: float, fee: float, half_spread: float, closes: bool
    ) -> BarRuns: ...
    def __len__(self) -> int: ...
    def evaluate(self, sets: bytes, begin: int, end: int, history: int | None = None) -> bytes:
        """Run each set over the bars `begin` to `end`; return rows of `COLUMNS`. Other threads go on meanwhile.

        Raises:
            ValueError: A set that contradicts itself, or a range that is not there.
        """

    def curve(self, set: bytes, begin: int, end: int, history: int | None = None) -> tuple[bytes, bytes, bytes]:
        """Run one set; return units held and result, bar by bar, and its row of `COLUMNS`."""
