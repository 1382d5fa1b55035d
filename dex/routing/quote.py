"""A quote: what a swap would give at one block, and the way it takes. Routing makes it, execution carries it out."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from dex.pools import PoolSpec
from domain.assets import Asset
from domain.errors import InvariantError
from domain.ids import ChainId


@dataclass(frozen=True, slots=True)
class Hop:
    """One swap on one pool, in raw units, exact for the state it was quoted on."""

    pool: PoolSpec
    token_in: Asset
    token_out: Asset
    amount_in: int
    amount_out: int


@dataclass(frozen=True, slots=True)
class Path:
    """Hops one after the other, each taking all that the former gave.

    Where one hop gives the chain's coin and the next takes its ERC-20 form, or the reverse, the same amount is wrapped
    or unwrapped between them.
    """

    hops: tuple[Hop, ...]

    def __post_init__(self) -> None:
        for before, after in pairwise(self.hops):
            given, taken = before.token_out.id, after.token_in.id
            is_wrapping = given != taken and "/slip44:" in given + taken
            if before.amount_out != after.amount_in or not (given == taken or is_wrapping):
                raise InvariantError(f"a path breaks between {before.pool.id} and {after.pool.id}")

    @property
    def amount_in(self) -> int:
        return self.hops[0].amount_in

    @property
    def amount_out(self) -> int:
        return self.hops[-1].amount_out


@dataclass(frozen=True, slots=True)
class Quote:
    """A swap's exact outcome at one block, when its paths are carried out one after the other in this order.

    Paths may share pools: each was quoted on the state the former leave behind.
    """

    id: str
    """The same through plan, transaction and receipt."""
    chain_id: ChainId
    block_number: int
    block_hash: str
    token_in: Asset
    token_out: Asset
    amount_in: int
    """Raw; of an exact-output quote what is to be paid, rounded up by the contracts."""
    amount_out: int
    is_exact_out: bool
    paths: tuple[Path, ...]
    mid_price: Fraction
    """Raw output per raw input at the margin, before fees, over the best path."""
    gas_units: int
    gas_cost: int
    """Raw, in the output token (of an exact-output quote in the input token), rounded up; not taken off the amounts."""
    by_call: tuple[str, ...] = ()
    """Pools that were quoted by asking the chain instead of a replica (hooks, dynamic fees)."""

    @property
    def impact_bps(self) -> float:
        """How much worse than the mid price the whole is, fees included; for reading, not for deciding."""
        if not self.mid_price or not self.amount_in:
            return 0.0
        return float((1 - Fraction(self.amount_out, self.amount_in) / self.mid_price) * 10_000)
