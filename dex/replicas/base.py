"""What every pool replica has: its identity, whether it may be believed, and the shape optimisers see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import ClassVar, NamedTuple, Self

from domain.errors import InputError, InvariantError, Refused
from domain.events import PoolEvent, PoolInvalidated, PoolSnapshotted


class Piece(NamedTuple):
    """A stretch of a pool on which it behaves as a constant product, for optimisers; settlement uses exact quotes.

    An input of `u` beyond `in_before` gives `out_before + reserve_out * g / (reserve_in + g)` with `g = gamma * u`,
    gamma being the pool's `gamma_of(token_in)`. Raw units, floats on purpose.
    """

    in_before: float
    out_before: float
    reserve_in: float
    reserve_out: float
    in_size: float
    """How much input fits; infinite on the last piece of a V2 pool."""


class PoolReplica(ABC):
    """A local copy of one pool, kept by events. Pure: no clock, no network.

    Tokens are named as the snapshot names them (asset ids); amounts are raw integers. Where a pool has two tokens, the
    second one of a question may be left out. Events of blocks the snapshot already holds are ignored, as is everything
    but a snapshot while the replica is invalid.
    """

    has_pieces: ClassVar[bool] = True
    """Whether `pieces` describes it; pools that are no constant product anywhere have `marginal_price` alone."""

    def __init__(self, pool_id: str, tokens: tuple[str, ...], fee_pips: int) -> None:
        if not 0 <= fee_pips < 1_000_000:
            raise InputError(f"pool {pool_id}: fee must lie in 0..999999 pips, found {fee_pips}")
        if len(tokens) < 2 or len(set(tokens)) != len(tokens):
            raise InputError(f"pool {pool_id}: needs at least two tokens, each named once, found {tokens}")
        self.id = pool_id
        self.tokens = tokens
        """In the contract's order."""
        self.token0, self.token1 = tokens[:2]
        self.fee_pips = fee_pips
        self.block_number = -1
        """The last block whose events are in."""
        self.invalid_reason = "no snapshot yet"
        self.snapshot_block = -1
        """The block of the last snapshot: events up to it are in it."""

    @property
    def is_valid(self) -> bool:
        """Whether quotes may be used for execution."""
        return not self.invalid_reason

    def apply(self, event: PoolEvent) -> None:
        """Take one event of this pool.

        Raises:
            InvariantError: The event is another pool's, or of a kind this pool cannot have.
        """
        if event.pool != self.id:
            raise InvariantError(f"replica {self.id} was given an event of {event.pool}")
        if isinstance(event, PoolInvalidated):
            self.invalid_reason = event.reason or "invalidated"
            return
        if isinstance(event, PoolSnapshotted):
            self._ensure_same_pool(event)
            self.invalid_reason = self._load(event)
            self.snapshot_block = self.block_number = event.block_number
            return
        if self.is_valid and event.block_number > self.snapshot_block:
            self._change(event)
            self.block_number = event.block_number

    def undo_of(self, event: PoolEvent) -> PoolEvent | None:
        """Give the event that takes this one back, were it applied now; None when only a snapshot can.

        Events that would be ignored are taken back by nothing: None too.
        """
        if not self.is_valid or isinstance(event, PoolInvalidated | PoolSnapshotted):
            return None
        return self._undo(event) if event.block_number > self.snapshot_block else None

    @abstractmethod
    def quote_exact_in_down(self, token_in: str, amount_in: int, token_out: str = "") -> int:
        """Give the output of a swap of exactly `amount_in`, equal to the contract's to the last unit.

        Raises:
            InputError: The amount is not positive, or a token is not the pool's.
            Refused: The replica is stale (`stale_replica`), or the pool cannot take it all (`pool_depth`).
        """

    @abstractmethod
    def quote_exact_out_up(self, token_out: str, amount_out: int, token_in: str = "") -> int:
        """Give the input that buys exactly `amount_out`, fee included, equal to the contract's to the last unit.

        Raises:
            InputError: The amount is not positive, or a token is not the pool's.
            Refused: The replica is stale (`stale_replica`), or the pool does not hold so much (`pool_depth`).
        """

    @abstractmethod
    def after_exact_in(self, token_in: str, amount_in: int, token_out: str = "") -> Self:
        """Give a replica in the state that this swap leaves, exact too. Cheap; this one stays as it is.

        Raises:
            InputError: As `quote_exact_in_down`.
            Refused: As `quote_exact_in_down`.
        """

    @abstractmethod
    def after_exact_out(self, token_out: str, amount_out: int, token_in: str = "") -> Self:
        """Give a replica in the state that buying exactly `amount_out` leaves.

        That may differ by a unit from the state after putting in what it costs.

        Raises:
            InputError: As `quote_exact_out_up`.
            Refused: As `quote_exact_out_up`.
        """

    @abstractmethod
    def mid_price_raw(self, token_in: str = "", token_out: str = "") -> Fraction:
        """Raw `token_out` per raw `token_in` at the margin, fee aside; token 1 per token 0 when nothing is said.

        Exact for this state, save for pools whose contract itself only approaches it (stable ones).

        Raises:
            InputError: A token is not the pool's.
            Refused: The replica is stale.
        """

    @abstractmethod
    def marginal_price(self, token_in: str, token_out: str = "", amount_in: int = 0) -> float:
        """What one more raw unit in would bring out, fee included, after `amount_in` went in; for optimisers.

        Zero where the pool cannot take so much.

        Raises:
            InputError: A token is not the pool's.
            Refused: The replica is stale.
        """

    @abstractmethod
    def pieces(self, token_in: str, token_out: str = "") -> Iterator[Piece]:
        """Walk the pool away from its price, piece by piece, best first; lazily, so take only what is needed.

        Raises:
            InputError: The token is not the pool's, or the pool has no pieces (`has_pieces`).
            Refused: The replica is stale.
        """

    @abstractmethod
    def difference(self, snapshot: PoolSnapshotted) -> str:
        """Say how this replica differs from the chain's state; empty when it does not."""

    @property
    def gamma(self) -> float:
        """What is left of an input after the fee."""
        return 1 - self.fee_pips / 1_000_000

    def gamma_of(self, token_in: str) -> float:
        """What is left of an input of this token after the fee: V4's protocol fee may depend on the direction."""
        self._index(token_in)
        return self.gamma

    def other(self, token: str) -> str:
        """The other token of a pool that has two.

        Raises:
            InputError: The token is not the pool's, or several others are.
        """
        index = self._index(token)
        if len(self.tokens) > 2:
            raise InputError(f"pool {self.id} has {len(self.tokens)} tokens: name both of a swap")
        return self.tokens[1 - index]

    @abstractmethod
    def _load(self, snapshot: PoolSnapshotted) -> str:
        """Take the whole state; give the reason when it cannot be right, else empty text."""

    @abstractmethod
    def _change(self, event: PoolEvent) -> None: ...

    @abstractmethod
    def _undo(self, event: PoolEvent) -> PoolEvent | None:
        """Give the event that restores what `_change(event)` would change, by the same block number."""

    def _ensure_same_pool(self, snapshot: PoolSnapshotted) -> None:
        if (snapshot.token0, snapshot.token1, snapshot.fee_pips) != (self.token0, self.token1, self.fee_pips):
            raise InvariantError(
                f"pool {self.id}: the snapshot is of {snapshot.token0}/{snapshot.token1} at {snapshot.fee_pips} pips, "
                f"expected {self.token0}/{self.token1} at {self.fee_pips}"
            )

    def _fork(self) -> Self:
        """Give a copy that shares everything; what changes in it must be replaced, never altered in place."""
        fork = object.__new__(type(self))
        fork.__dict__.update(self.__dict__)
        return fork

    def _index(self, token: str) -> int:
        try:
            return self.tokens.index(token)
        except ValueError:
            raise InputError(f"pool {self.id} does not trade {token}") from None

    def _pair(self, known: str, other: str) -> tuple[int, int]:
        """Places of a token and of its counterpart, which may be left out where there are two."""
        index = self._index(known)
        if other:
            counterpart = self._index(other)
        elif len(self.tokens) == 2:
            counterpart = 1 - index
        else:
            raise InputError(f"pool {self.id} has {len(self.tokens)} tokens: name both of a swap")
        if index == counterpart:
            raise InputError(f"pool {self.id}: {known} cannot be swapped for itself")
        return index, counterpart

    def _zero_is(self, token: str, other: str = "") -> bool:
        """Whether a token of a pool of two is token 0; checks its counterpart where one is named."""
        if token == self.token0:
            if other and other != self.token1:
                self._pair(token, other)
            return True
        if token != self.token1 or (other and other != self.token0):
            self._pair(token, other)
        return False

    def _ensure_valid(self) -> None:
        if self.invalid_reason:
            raise Refused(f"pool {self.id} is not quotable: {self.invalid_reason}", rule="stale_replica")

    def _check(self, amount: int) -> None:
        if self.invalid_reason:
            raise Refused(f"pool {self.id} is not quotable: {self.invalid_reason}", rule="stale_replica")
        if amount <= 0:
            raise InputError(f"pool {self.id}: amount must be positive, found {amount}")

    def _too_deep(self, amount: int, token: str, side: str) -> Refused:
        return Refused(
            f"pool {self.id}: {amount} of {token} {side} exceeds its liquidity",
            rule="pool_depth",
            hint="Ask for less; the contract would fill this only in part.",
        )
