"""What every pool replica has: its identity, whether it may be believed, and the shape optimisers see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from domain.errors import InputError, InvariantError, Refused
from domain.events import PoolEvent, PoolInvalidated, PoolSnapshotted


class Piece(NamedTuple):
    """A stretch of a pool on which it behaves as a constant product, for optimisers; settlement uses exact quotes.

    An input of `u` beyond `in_before` gives `out_before + reserve_out * g / (reserve_in + g)` with `g = gamma * u`.
    Raw units, floats on purpose.
    """

    in_before: float
    out_before: float
    reserve_in: float
    reserve_out: float
    in_size: float
    """How much input fits; infinite on the last piece of a V2 pool."""


class PoolReplica(ABC):
    """A local copy of one pool, kept by events. Pure: no clock, no network.

    Tokens are named as the snapshot names them (asset ids); amounts are raw integers. Events of blocks the snapshot
    already holds are ignored, as is everything but a snapshot while the replica is invalid.
    """

    def __init__(self, pool_id: str, token0: str, token1: str, fee_pips: int) -> None:
        if not 0 <= fee_pips < 1_000_000:
            raise InputError(f"pool {pool_id}: fee must lie in 0..999999 pips, found {fee_pips}")
        self.id = pool_id
        self.token0 = token0
        self.token1 = token1
        self.fee_pips = fee_pips
        self.block_number = -1
        """The last block whose events are in."""
        self.invalid_reason = "no snapshot yet"
        self._snapshot_block = -1

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
            if (event.token0, event.token1, event.fee_pips) != (self.token0, self.token1, self.fee_pips):
                raise InvariantError(
                    f"pool {self.id}: the snapshot is of {event.token0}/{event.token1} at {event.fee_pips} pips, "
                    f"expected {self.token0}/{self.token1} at {self.fee_pips}"
                )
            self.invalid_reason = self._load(event)
            self._snapshot_block = self.block_number = event.block_number
            return
        if self.is_valid and event.block_number > self._snapshot_block:
            self._change(event)
            self.block_number = max(self.block_number, event.block_number)

    @abstractmethod
    def quote_exact_in_down(self, token_in: str, amount_in: int) -> int:
        """Give the output of a swap of exactly `amount_in`, equal to the contract's to the last unit.

        Raises:
            InputError: The amount is not positive, or the token is not the pool's.
            Refused: The replica is stale (`stale_replica`), or the pool cannot take it all (`pool_depth`).
        """

    @abstractmethod
    def quote_exact_out_up(self, token_out: str, amount_out: int) -> int:
        """Give the input that buys exactly `amount_out`, fee included, equal to the contract's to the last unit.

        Raises:
            InputError: The amount is not positive, or the token is not the pool's.
            Refused: The replica is stale (`stale_replica`), or the pool does not hold so much (`pool_depth`).
        """

    @abstractmethod
    def mid_price_raw(self) -> Fraction:
        """Raw token 1 per raw token 0 at the margin, fee aside; exact.

        Raises:
            Refused: The replica is stale.
        """

    @abstractmethod
    def pieces(self, token_in: str) -> Iterator[Piece]:
        """Walk the pool away from its price, piece by piece, best first; lazily, so take only what is needed."""

    @abstractmethod
    def difference(self, snapshot: PoolSnapshotted) -> str:
        """Say how this replica differs from the chain's state; empty when it does not."""

    @property
    def gamma(self) -> float:
        """What is left of an input after the fee."""
        return 1 - self.fee_pips / 1_000_000

    def other(self, token: str) -> str:
        """The pool's other token."""
        return self.token1 if self._is_token0(token) else self.token0

    @abstractmethod
    def _load(self, snapshot: PoolSnapshotted) -> str:
        """Take the whole state; give the reason when it cannot be right, else empty text."""

    @abstractmethod
    def _change(self, event: PoolEvent) -> None: ...

    def _is_token0(self, token: str) -> bool:
        if token == self.token0:
            return True
        if token == self.token1:
            return False
        raise InputError(f"pool {self.id} does not trade {token}")

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
