"""What stable and weighted pools share: a balance of each token, which swaps, joins and exits move."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar, Final, Self

from dex.replicas.base import Piece, PoolReplica
from dex.replicas.weighted_math import ONE
from domain.errors import InputError, InvariantError, Refused
from domain.events import PoolBalancesSynced, PoolEvent, PoolSnapshotted

_EMPTY: Final = "it lacks one of its tokens"


class BalancePool(PoolReplica):
    """A pool of two or more tokens whose price follows from its balances.

    It is no constant product anywhere: optimisers use `marginal_price` and exact quotes.
    """

    has_pieces: ClassVar[bool] = False

    def __init__(self, pool_id: str, tokens: tuple[str, ...], fee_pips: int) -> None:
        super().__init__(pool_id, tokens, fee_pips)
        self.balances: tuple[int, ...] = (0,) * len(tokens)
        """Raw."""
        self.fee_raw = 0
        """In the contract's unit."""
        self._scales = (ONE,) * len(tokens)
        self.places = {token[-40:].lower(): place for place, token in enumerate(tokens)}
        """Where a token stands, by its contract as logs have it: the last forty digits of its id."""

    def quote_exact_in_down(self, token_in: str, amount_in: int, token_out: str = "") -> int:
        source, target = self._pair(token_in, token_out)
        self._check(amount_in)
        try:
            return self._out_down(source, target, amount_in)
        except (OverflowError, ZeroDivisionError):
            raise self._too_deep(amount_in, token_in, "in") from None

    def quote_exact_out_up(self, token_out: str, amount_out: int, token_in: str = "") -> int:
        target, source = self._pair(token_out, token_in)
        self._check(amount_out)
        try:
            if amount_out < self.balances[target]:
                return self._in_up(source, target, amount_out)
        except (OverflowError, ZeroDivisionError):
            pass
        raise self._too_deep(amount_out, token_out, "out")

    def after_exact_in(self, token_in: str, amount_in: int, token_out: str = "") -> Self:
        source, target = self._pair(token_in, token_out)
        amount_out = self.quote_exact_in_down(token_in, amount_in, token_out)
        return self._with(self.balances_after(source, target, amount_in, amount_out))

    def after_exact_out(self, token_out: str, amount_out: int, token_in: str = "") -> Self:
        target, source = self._pair(token_out, token_in)
        amount_in = self.quote_exact_out_up(token_out, amount_out, token_in)
        return self._with(self.balances_after(source, target, amount_in, amount_out))

    def balances_after(self, source: int, target: int, amount_in: int, amount_out: int) -> tuple[int, ...]:
        """Give the balances after a swap of these amounts, of the tokens at two places."""
        changed = list(self.balances)
        changed[source] += amount_in
        changed[target] -= amount_out
        return tuple(changed)

    def marginal_price(self, token_in: str, token_out: str = "", amount_in: int = 0) -> float:
        source, target = self._pair(token_in, token_out)
        self._ensure_valid()
        try:
            return self._slope(source, target, amount_in)
        except (OverflowError, ZeroDivisionError, Refused):
            return 0.0

    def pieces(self, token_in: str, token_out: str = "") -> Iterator[Piece]:
        raise InputError(
            f"pool {self.id} has no constant-product pieces", hint="Ask `has_pieces`, and use `marginal_price`."
        )

    def difference(self, snapshot: PoolSnapshotted) -> str:
        theirs = tuple(int(balance) for balance in snapshot.balances)
        if theirs != self.balances:
            return f"balances {self.balances}, on chain {theirs}"
        if int(snapshot.fee_raw) != self.fee_raw:
            return f"fee {self.fee_raw}, on chain {snapshot.fee_raw}"
        return snapshot.suspended

    @property
    def gamma(self) -> float:
        return 1 - self._fee

    @property
    @abstractmethod
    def _fee(self) -> float:
        """The fee as a share."""

    @abstractmethod
    def _out_down(self, source: int, target: int, amount_in: int) -> int:
        """Quote the tokens at two places; raises OverflowError where the contract reverts for its size."""

    @abstractmethod
    def _in_up(self, source: int, target: int, amount_out: int) -> int: ...

    @abstractmethod
    def _slope(self, source: int, target: int, amount_in: int) -> float: ...

    def _renewed(self) -> None:
        """Forget what was computed from the balances before."""

    def _with(self, balances: tuple[int, ...]) -> Self:
        fork = self._fork()
        fork._set(balances)
        return fork

    def _set(self, balances: tuple[int, ...]) -> None:
        self.balances = balances
        self._renewed()

    def _scaled(self) -> list[int]:
        """Balances with 18 decimals."""
        return [balance * scale // ONE for balance, scale in zip(self.balances, self._scales, strict=True)]

    def _ensure_same_pool(self, snapshot: PoolSnapshotted) -> None:
        # The fee may change; the snapshot carries it exactly.
        if snapshot.tokens != self.tokens:
            raise InvariantError(f"pool {self.id}: the snapshot is of {snapshot.tokens}, expected {self.tokens}")

    def _load(self, snapshot: PoolSnapshotted) -> str:
        count = len(self.tokens)
        if len(snapshot.balances) != count or len(snapshot.scales) != count:
            return "the snapshot lacks a balance or a scale"
        self.fee_raw = int(snapshot.fee_raw)
        self._scales = tuple(int(scale) for scale in snapshot.scales)
        self._set(tuple(int(balance) for balance in snapshot.balances))
        if snapshot.suspended:
            return snapshot.suspended
        if not 0 <= self._fee < 1:
            return f"a fee of {self.fee_raw} cannot be"
        return _EMPTY if min(self.balances) <= 0 else ""

    def _change(self, event: PoolEvent) -> None:
        if not isinstance(event, PoolBalancesSynced):
            raise InvariantError(f"pool {self.id} was given {type(event).__name__}")
        balances = tuple([int(balance) for balance in event.balances])
        if len(balances) != len(self.tokens):
            raise InvariantError(f"pool {self.id} was given {len(balances)} balances")
        self._set(balances)
        if min(balances) <= 0:
            self.invalid_reason = _EMPTY

    def _undo(self, event: PoolEvent) -> PoolEvent | None:
        if not isinstance(event, PoolBalancesSynced):
            return None
        return PoolBalancesSynced(
            time_ns=event.time_ns,
            pool=event.pool,
            block_number=event.block_number,
            balances=tuple([str(balance) for balance in self.balances]),
        )
